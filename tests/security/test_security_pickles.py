"""No file makes hiergen run code: pickles wherever a file of weights, arrays or data may stand, and what the package's
own source may not contain."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import Ran
from PIL import Image

from hiergen.data.sources import open_data
from hiergen.errors import HiergenError
from hiergen.models.convert import convert
from hiergen.models.weights import load_trunk, load_weights, save_weights
from hiergen.models.weightsfile import read_weights, write_tensors
from hiergen.nestings.suggest.weights import read_tensors
from hiergen.training.checkpoint import load_checkpoint
from tests.nn.steering_cases import Nested
from tests.security.hostile import taxonomy

Run = Callable[..., Ran]
REPOSITORY = Path(__file__).parents[2]


class Evil:
    """Makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch '{self.mark}'",)


@pytest.fixture
def network() -> Nested:
    return Nested().eval()


def evil_files(folder: Path) -> dict[str, Path]:
    """The same payload in every wrapping; `mark` appears if one is run."""
    evil = Evil(folder / "mark")
    made = {}

    def add(name: str, raw: bytes) -> None:
        made[name] = folder / name
        made[name].write_bytes(raw)

    for protocol in (0, 2, 4):
        add(f"bare{protocol}.pt", pickle.dumps({"state_dict": evil}, protocol=protocol))
    buffer = io.BytesIO()
    torch.save({"state_dict": {"a": torch.zeros(2, 2), "b": evil}}, buffer)
    add("zip.pt", buffer.getvalue())
    buffer = io.BytesIO()
    torch.save({"state_dict": {"b": evil}}, buffer, _use_new_zipfile_serialization=False)
    add("legacy.pt", buffer.getvalue())
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:  # torch's oldest format
        for name in ("sys_info", "pickle", "storages", "tensors"):
            data = pickle.dumps(evil, protocol=2)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    add("tar.pt", buffer.getvalue())
    buffer = io.BytesIO()
    np.save(buffer, np.array([[evil, "a"]], dtype=object), allow_pickle=True)
    add("array.npy", buffer.getvalue())
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([evil], dtype=object))
    add("array.npz", buffer.getvalue())
    for name in ("bare2.pt", "zip.pt"):  # under another name
        add(f"{name[:-3]}.safetensors", made[name].read_bytes())
    return made


def test_the_files_are_dangerous(tmp_path: Path) -> None:
    """The trap itself works: unpickling does make the mark."""
    files = evil_files(tmp_path)
    pickle.loads(files["bare2.pt"].read_bytes())  # noqa: S301
    assert (tmp_path / "mark").exists()


def test_no_reader_of_weights_runs_a_pickle(tmp_path: Path, network: Nested) -> None:
    readers: dict[str, Callable[[Path], object]] = {
        "convert": lambda file: convert(file, tmp_path / "out.safetensors"),
        "--weights": lambda file: load_weights(network, file),
        "resume": lambda file: load_checkpoint(file, network),
        "--trunk-weights": lambda file: load_trunk(network, file),
        "suggest --weights": read_tensors,
        "read": read_weights,
    }
    for file in evil_files(tmp_path).values():
        for read in readers.values():
            with pytest.raises(HiergenError):
                read(file)
            assert not (tmp_path / "mark").exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_no_command_runs_a_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hiergen: Run) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.yaml").write_text(taxonomy("x"), "utf-8")
    for name in evil_files(tmp_path):
        for words in (
            ["convert", name, "-o", "o.safetensors"],
            ["suggest", "t.yaml", "--by", "weights", "--weights", name, "--out", "s.yaml"],
            ["import", name, "-o", "i.yaml"],
            ["import", name, "-o", "i.yaml", "--format", "paths"],
            ["validate", name],
            ["compare", "t.yaml", name],
            ["explore", "t.yaml", "--weights", name, "-o", "p.html"] if name.endswith("pt") else ["show", name],
        ):
            ran = hiergen(*words)
            # explore reads only names from weights; the pickle of protocol 0 is text, and so a table of labels
            assert ran.code == 2 or words[0] == "explore" or name == "bare0.pt", (words, ran)
            assert "Traceback" not in ran.err
            assert not (tmp_path / "mark").exists(), words


def test_pickles_beside_the_data_are_not_looked_at(tmp_path: Path, network: Nested) -> None:
    """timm's reader keeps a pickle beside a tar, and once read any that lay there (GHSA-pqww-w348-m542)."""
    for i in range(5):
        (tmp_path / "d" / f"c{i}").mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "d" / f"c{i}" / "0.png")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "d", arcname="d")
    raw = pickle.dumps(Evil(tmp_path / "mark"))
    for name in ("_a_tarinfos.pickle", "a_tarinfos.pickle", "_d_tarinfos.pickle", "d/class_to_idx.pkl"):
        (tmp_path / name).write_bytes(raw)
    for data in ("a.tar", "d"):
        images = open_data(tmp_path / data, network)
        assert [images.picture(i).size for i in range(5)] == [(9, 9)] * 5
    assert not (tmp_path / "mark").exists()


def test_torchvisions_pickles_are_those_that_it_knows(tmp_path: Path, network: Nested) -> None:
    """CIFAR's files are pickles: torchvision compares their checksums before it reads them."""
    for folder, names in {
        "cifar-10-batches-py": ["batches.meta", "test_batch", *(f"data_batch_{i}" for i in range(1, 6))],
        "cifar-100-python": ["meta", "train", "test"],
        "MNIST/processed": ["training.pt", "test.pt"],
    }.items():
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / folder / name).write_bytes(pickle.dumps(Evil(tmp_path / "mark"), protocol=2))
    for name in ("cifar10", "cifar100", "mnist", "qmnist", "kmnist"):
        with pytest.raises(HiergenError, match="its files are not there, or not whole"):
            open_data(f"torch/{name}", network, root=tmp_path)
        assert not (tmp_path / "mark").exists()


def test_scripts_of_data_sets_are_refused(network: Nested, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before version 4 the package datasets runs a script that lies in the folder; hiergen does not call it then."""

    def never(*_: object, **__: object) -> None:
        pytest.fail("called")

    old = SimpleNamespace(__version__="3.6.0", load_dataset=never, load_dataset_builder=never, load_from_disk=never)
    monkeypatch.setitem(sys.modules, "datasets", old)
    with pytest.raises(HiergenError, match=r"needs a newer datasets.*expected 4 or later, got 3.6.0"):
        open_data(f"hfds/{tmp_path}", network)


def test_a_row_may_name_no_pipe(tmp_path: Path) -> None:
    """A data set's table names files: a pipe or a device would be read for ever."""
    from hiergen.data.timmdata import HfRows

    os.mkfifo(tmp_path / "pipe")
    rows = [{"image": {"bytes": None, "path": str(path)}} for path in (tmp_path / "pipe", "/dev/zero")]
    for i in range(2):
        with pytest.raises(OSError, match="is not a regular file"):
            HfRows("x", "train", rows, "image").picture(i)


# what torch itself would do with a file


def test_a_little_file_does_not_become_much_memory(tmp_path: Path) -> None:
    """One number that stands for 10^10 (`expand`), one storage under many names, a compressed zip: all refused before
    memory is taken."""
    expanded = tmp_path / "expanded.pt"
    torch.save({"a": torch.zeros(1).expand(100_000, 100_000)}, expanded)
    shared = tmp_path / "shared.pt"
    one = torch.zeros(512, 512)
    torch.save({str(i): one for i in range(100)}, shared)
    plain = io.BytesIO()
    torch.save({"a": torch.zeros(4)}, plain)
    packed = tmp_path / "packed.pt"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for item in source.infolist():
            target.writestr(item.filename, source.read(item))
    for file, said in (
        (expanded, "far larger than the file"),
        (shared, "far larger than the file"),
        (packed, "is a compressed zip"),
    ):
        assert file.stat().st_size < 2_000_000
        for read in (lambda path: convert(path, tmp_path / "o.safetensors"), read_tensors):
            with pytest.raises(HiergenError, match=said):
                read(file)
    tied = tmp_path / "tied.pt"  # the good twin
    torch.save({"a": one, "b": one}, tied)
    assert convert(tied, tmp_path / "o.safetensors").tensors == 2


def rewritten(file: Path, how: int, change: Callable[[str, bytes], bytes] = lambda name, data: data) -> bytes:
    """A checkpoint's zip, with its members changed and stored as `how`."""
    made = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(made, "w", how) as target:
        for item in source.infolist():
            target.writestr(item.filename, change(item.filename, source.read(item)))
    return made.getvalue()


def test_a_zip_that_torch_alone_reads_does_not_grow(tmp_path: Path) -> None:
    """Python's zipfile refuses what asks for a later version of zip; torch does not look, and would unpack it."""
    file = tmp_path / "later.pt"
    torch.save({"a": torch.zeros(1000)}, file)
    raw = bytearray(rewritten(file, zipfile.ZIP_DEFLATED))
    at = -1
    while (at := raw.find(b"PK\x01\x02", at + 1)) >= 0:
        raw[at + 6 : at + 8] = (99).to_bytes(2, "little")
    assert len(torch.load(io.BytesIO(raw), weights_only=True)["a"]) == 1000
    file.write_bytes(raw)
    for read in (lambda path: convert(path, tmp_path / "o.safetensors"), read_tensors):
        with pytest.raises(HiergenError, match="is a truncated or corrupt checkpoint; zipfile says: zip file version"):
            read(file)


@pytest.mark.parametrize(
    ("name", "pickled"),
    [
        ("builtins.bytearray", b"\x80\x02cbuiltins\nbytearray\nJ\x00\x00\x10\x00\x85R."),
        ("__builtin__.bytearray", b"\x80\x02c__builtin__\nbytearray\nJ\x00\x00\x10\x00\x85R."),
        (
            "_codecs.encode",
            b"\x80\x02"
            + 20 * b"c_codecs\nencode\n("
            + b"X\x01\x00\x00\x00a"
            + b"X\x06\x00\x00\x00latin1tR"
            + 19 * b"X\x03\x00\x00\x00hextR"
            + b".",
        ),
    ],
    ids=["bytearray", "bytearray of Python 2", "encode"],
)
def test_a_little_pickle_does_not_become_much_memory(tmp_path: Path, name: str, pickled: bytes) -> None:
    """What torch lets a pickle call, and what it makes of a few bytes."""
    file = tmp_path / "a.pt"
    torch.save({"a": torch.zeros(4)}, file)
    raw = rewritten(file, zipfile.ZIP_STORED, lambda member, data: pickled if member.endswith("/data.pkl") else data)
    assert len(torch.load(io.BytesIO(raw), weights_only=True)) > 100 * len(raw)
    legacy = io.BytesIO()
    torch.save({"a": 1}, legacy, _use_new_zipfile_serialization=False)
    for made in (raw, legacy.getvalue() + pickled):
        file.write_bytes(made)
        for read in (lambda path: convert(path, tmp_path / "o.safetensors"), read_tensors):
            with pytest.raises(HiergenError, match=f"holds more than weights.*got '{name}'"):
                read(file)


def test_mappings_in_themselves_end(tmp_path: Path) -> None:
    """A checkpoint may hold a mapping that holds itself, or two of each level below: 2^60 ways to one tensor."""
    loop: dict[str, object] = {"fc.weight": torch.zeros(3, 3)}
    loop["again"] = loop
    below: dict[str, object] = {"fc.weight": torch.ones(3, 3)}
    for _ in range(60):
        below = {"a": below, "b": below}
    for name, data in (("loop", loop), ("wide", below)):
        torch.save(data, tmp_path / f"{name}.pt")
        found, _ = read_tensors(tmp_path / f"{name}.pt")
        assert [tensor.shape for tensor in found.values()] == [(3, 3)]


def test_headers_of_safetensors(tmp_path: Path, network: Nested) -> None:
    """Lengths beyond the file, brackets without end, numbers of thousands of digits, overlapping tensors."""

    def raw(header: bytes, data: bytes = b"\0" * 8, length: int | None = None) -> bytes:
        return (len(header) if length is None else length).to_bytes(8, "little") + header + data

    tensor = '{"dtype":"F32","shape":[%s],"data_offsets":[0,8]}'
    cases = {
        "length": raw(b"{}", length=1 << 60),
        "deep": raw(b'{"a":' + b"[" * 200_000 + b"}"),
        "digits": raw(('{"a":' + tensor % ("9" * 5000) + "}").encode()),
        "overlap": raw(('{"a":' + tensor % 2 + ',"b":' + tensor % 2 + "}").encode()),
        "huge shape": raw(('{"a":' + tensor % "4294967296,4294967296" + "}").encode()),
        "metadata": raw(b'{"__metadata__":{"format":"hiergen","classes":"' + b"[" * 100_000 + b'"}}', b""),
    }
    for name, content in cases.items():
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(content)
        with pytest.raises(HiergenError, match=name if name == "x" else "is "):
            load_weights(network, file)


def test_a_checkpoint_whose_state_is_no_state(tmp_path: Path, network: Nested) -> None:
    from hiergen.models.weights import identity

    for name, state, said in (
        ("network.x", "[" * 100_000, "its state is no JSON"),
        ("network.x", "9" * 5000, "its state is no JSON"),
        ("evil.x", "{}", "'evil.x' belongs to nothing"),
    ):
        file = tmp_path / "checkpoint.safetensors"
        write_tensors({name: torch.zeros(2)}, file, {**identity(network), "training": state})
        with pytest.raises(HiergenError, match=said):
            load_checkpoint(file, network)
    save_weights(network, tmp_path / "w.safetensors")
    with pytest.raises(HiergenError, match="is no checkpoint of a training"):
        load_checkpoint(tmp_path / "w.safetensors", network)


# the package's own source

_BANNED = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads", "marshal.loads"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "shelve.open", "joblib.load", "runpy.run_path"),
    *("torch.load", "torch.hub.load", "numpy.load", "np.load", "tempfile.mktemp", "xml.etree.ElementTree.parse"),
    *("subprocess.run", "subprocess.Popen", "subprocess.call", "urllib.request.urlopen", "shutil.unpack_archive"),
    *("importlib.import_module", "import_module", "pandas.read_pickle", "datasets.load_dataset"),
    *("tarfile.open", "zipfile.ZipFile", "Image.open"),
}
# Where one of them may stand, and why it is safe there.
_ALLOWED = {
    ("models/load.py", "exec"): "a generated file that the user names: it is code",
    ("models/load.py", "compile"): "likewise",
    ("models/load.py", "importlib.import_module"): "package.module:NAME, which the user names",
    ("models/convert.py", "torch.load"): "weights_only=True",
    ("models/convert.py", "zipfile.ZipFile"): "its list of members only",
    ("formats/rows.py", "np.load"): "allow_pickle=False",
    ("data/feature_cache.py", "np.load"): "likewise",
    ("costs/memory.py", "subprocess.run"): "this Python with a module of ours, no shell",
    ("data/images.py", "Image.open"): "a list of formats",
    ("nn/pictures.py", "Image.open"): "likewise",
    ("formats/importing.py", "Image.open"): "a list of formats; only the size is read",
    ("taxonomy/imagefolder.py", "tarfile.open"): "members are listed, none is unpacked",
    ("taxonomy/wordnet/files.py", "zipfile.ZipFile"): "four members by name, of bounded size",
    ("assets/wordnet_pack.py", "zipfile.ZipFile"): "writes",
    ("nn/runtimes.py", "import_module"): "names of a list of its own",
    ("models/export/source.py", "exec"): "the source that it has just written, from a network that is code",
    ("models/export/source.py", "compile"): "likewise",
    ("data/timmdata.py", "datasets.load_dataset"): "version 4 or later, which runs no scripts",
}


def dotted(node: ast.expr) -> str:
    """ "a.b.c", or "" for what is no plain name."""
    if isinstance(node, ast.Attribute):
        above = dotted(node.value)
        return f"{above}.{node.attr}" if above else ""
    return node.id if isinstance(node, ast.Name) else ""


def calls() -> dict[tuple[str, str], list[ast.Call]]:
    found: dict[tuple[str, str], list[ast.Call]] = {}
    for path in sorted((REPOSITORY / "hiergen").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = dotted(node.func)
                constant = bool(node.args) and isinstance(node.args[0], ast.Constant)
                if name in _BANNED and not (name == "import_module" and constant):
                    found.setdefault((path.relative_to(REPOSITORY / "hiergen").as_posix(), name), []).append(node)
    return found


def test_the_package_runs_nothing_and_unpickles_nothing() -> None:
    found = calls()
    assert set(found) == set(_ALLOWED)

    def option(where: tuple[str, str], name: str) -> set[str]:
        return {ast.unparse(k.value) for node in found[where] for k in node.keywords if k.arg == name}

    assert option(("models/convert.py", "torch.load"), "weights_only") == {"True"}
    assert option(("formats/rows.py", "np.load"), "allow_pickle") == {"False"}
    assert option(("data/feature_cache.py", "np.load"), "allow_pickle") == {"False"}
    assert option(("data/images.py", "Image.open"), "formats") == {"formats()"}
    assert option(("nn/pictures.py", "Image.open"), "formats") == {"formats()"}
    assert option(("formats/importing.py", "Image.open"), "formats") == {"formats()"}
    text = "".join(path.read_text("utf-8") for path in (REPOSITORY / "hiergen").rglob("*.py"))
    for word in (
        "shell=True",
        "extractall",
        "weights_only=False",
        "allow_pickle=True",
        "trust_remote_code=True",
        "|safe",
    ):
        assert word not in text, word


def test_importing_hiergen_opens_no_connection_and_no_file_to_write() -> None:
    """Every module of the package, in a process whose sockets, children and writes are watched."""
    code = """
import sys, pkgutil, json
seen = []
def hook(event, args):
    if event in {"socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.fork"}:
        seen.append((event, str(args)[:200]))
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+") and "/dev/" not in str(args[0]):
        seen.append((event, str(args)[:200]))
import torch, timm  # they look at the machine, and are not ours
sys.addaudithook(hook)
import hiergen
for module in pkgutil.walk_packages(hiergen.__path__, "hiergen."):
    if not module.name.endswith(("__main__", "wordnet_pack")):
        __import__(module.name)
print(json.dumps(seen))
"""
    ran = subprocess.run(
        [sys.executable, "-B", "-W", "ignore", "-c", code],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ran.stdout) == []
