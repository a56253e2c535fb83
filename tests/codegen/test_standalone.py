"""Source that stands alone: the same numbers without hiergen, in a process that cannot import it."""

from __future__ import annotations

import importlib.util
import inspect
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import timm
import torch

import hiergen.nn
from hiergen.codegen.build import Built, build
from hiergen.codegen.standalone import standalone
from hiergen.errors import HiergenError
from tests.helpers import check_lint, imported, printed_twice

DATA = Path(__file__).parent.parent / "golden"
MBCONV = """  MBConv:
    trunk: {backbone: resnet18, until: layer2}
    input_size: 32
    branches: [[{block: mbconv, width: 12, out: 8, kernel: 5}, {width: 4, out: 8}], [{width: 4, out: 8}]]
"""
TOYS = ("PHL", "N2HL", "N3HL", "OneBranch", "MBConv")
# file → (models, pixels, a cutout); the toys have every kind of block
SAME = {"imagenet100.py": (("N2HL",), 96, [3, 40, 41]), "toy.py": (TOYS, 32, ["pug", "goldfish"])}


def outputs(path: str, name: str, pixels: int, classes: list[str]) -> list[torch.Tensor]:
    """A network's logits, those of its cutout, and all gradients, with weights from a seed and no zero among them."""
    if path not in sys.modules:
        spec = importlib.util.spec_from_file_location(path, path)
        sys.modules[path] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[path])
    model = getattr(sys.modules[path], name)().eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0.5, 0.3) if p.ndim <= 2 else p.normal_(0, (2 / p[0].numel()) ** 0.5)
        x = torch.randn(2, 3, pixels, pixels)
        results = [model(x), model.cutout(classes)(x)]
    model.train()(x).square().mean().backward()
    return [*results, *(p.grad for p in model.parameters())]


ALONE = f"""
import sys
for name in ("hiergen", "pydantic", "networkx", "nltk", "jinja2", "typer", "scipy", "sklearn"):
    sys.modules[name] = None  # cannot be imported
import importlib.util, torch
torch.set_num_threads(1)
{inspect.getsource(outputs)}
"""


def alone(folder: Path, code: str) -> None:
    """Run code in a fresh process in that folder, where hiergen and what only hiergen needs cannot be imported."""
    command = [sys.executable, "-W", "error", "-c", "from __future__ import annotations\n" + ALONE + code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("generated")
    (folder / "toy.yaml").write_text((DATA / "toy.yaml").read_text("utf-8") + MBCONV, encoding="utf-8")
    return build(folder / "toy.yaml", folder / "toy_with_hiergen.py")


@pytest.fixture(autouse=True)
def only_models_of_this_test() -> Iterator[None]:
    """Other tests build the same models from other files: during a test timm knows its own only."""
    registry = timm.models._registry._model_entrypoints
    before = {name: registry.pop(name) for name in list(registry) if name.startswith(("toy_", "imagenet100_"))}
    yield
    for name in [name for name in registry if name.startswith(("toy_", "imagenet100_"))]:
        del registry[name]
    registry.update(before)


def test_the_same_bits_without_hiergen(toy: Built, tmp_path: Path) -> None:
    sources = {"toy.py": toy.source, "imagenet100.py": Path("generated/imagenet100.py").read_text("utf-8")}
    for file, source in sources.items():
        (tmp_path / file).write_text(standalone(source), encoding="utf-8")
    cases = [(file, name, pixels, cut) for file, (names, pixels, cut) in SAME.items() for name in names]
    code = f"torch.save([outputs(*case) for case in {cases!r}], 'outputs.pt')\n"
    # words are WordNet's, which is not installed there
    code += "try:\n    sys.modules['toy.py'].N3HL().cutout('domestic cat')\nexcept Exception as error:\n"
    alone(tmp_path, code + "    assert type(error).__name__ == 'HiergenError' and 'domestic cat' in str(error)\n")
    paths = {"toy.py": str(toy.path), "imagenet100.py": "generated/imagenet100.py"}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for case, results in zip(cases, torch.load(tmp_path / "outputs.pt", weights_only=True), strict=True):
            want = outputs(paths[case[0]], *case[1:])
            assert all(torch.equal(a, b) for a, b in zip(results, want, strict=True)), case
            assert want[0].std() > 0.001
    finally:
        torch.set_num_threads(threads)


def test_no_two_names_clash(tmp_path: Path) -> None:
    """Every shipped file, and everything that generated code can import, is written and imported."""
    sources = {path.stem: path.read_text("utf-8") for path in sorted(Path("generated").glob("*.py"))}
    sources["everything"] = f"from hiergen.nn import {', '.join(hiergen.nn.__all__)}\n"
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(standalone(source), encoding="utf-8")
    code = f"sys.path.insert(0, '.')\nmodules = [importlib.import_module(file) for file in {list(sources)}]\n"
    alone(tmp_path, code + f"assert all(hasattr(modules[-1], name) for name in {hiergen.nn.__all__})\n")


@pytest.mark.parametrize("file", ["toy", "imagenet100", "imagenet1k"])
def test_it_is_lint_clean_and_says_where_it_is_from(toy: Built, file: str, tmp_path: Path) -> None:
    source = toy.source if file == "toy" else Path(f"generated/{file}.py").read_text("utf-8")
    text = standalone(source)
    (tmp_path / "alone.py").write_text(text, encoding="utf-8")
    check_lint(tmp_path / "alone.py")
    for words in ("Written by hiergen 0.", "stands alone", "Apache-2.0", "Contains parts of hiergen 0."):
        assert words in text[:2000]
    assert text.endswith(source[source.index("# fmt: off") :])


def test_same_bytes_under_other_hash_seeds() -> None:
    code = (
        "from pathlib import Path; from hiergen.codegen.standalone import standalone\n"
        "print(standalone(Path('generated/imagenette.py').read_text()))"
    )
    assert len(printed_twice(code)) > 100_000


A, B = "from hiergen.nn.a import f\n", "from hiergen.b import g\n"
REFUSED = {  # the source, hiergen/nn/a.py, what is said
    "two definitions": (A, f"{B}def f(): ...\nX = 1", "hiergen/nn/a.py:3: 'X' is a name of hiergen/b.py:2 too"),
    "the source's own": (f"{A}class X: ...", "X = f = 1", "the source:2: 'X' is a name of hiergen/nn/a.py:1 too"),
    "timm's name": (f"{A}register(N, 'n_hl')", "n_hl = f = 1", "the source:2: 'n_hl' is a name of hiergen/nn/a.py:1"),
    "an import and a name": (A, f"{B}from math import pi as X, e as f", "a.py:2: 'X' is a name of hiergen/b.py:2 too"),
    "Python's own": (f"{A}class len: ...", "f = 1", "the source:2: 'len' hides Python's own"),
    "another name": (f"{A[:-1]} as h", "", "the source:1: 'from hiergen.nn.a import f as h' cannot be copied"),
    "a star": (A, "from hiergen.b import *", r"hiergen/nn/a.py:1: 'from hiergen.b import \*' cannot be copied"),
    "a module": (A, "def f():\n    import hiergen.b", "hiergen/nn/a.py:2: 'import hiergen.b' cannot be copied"),
    "a module's value": ("from hiergen import b", "", "the source:1: 'from hiergen import b': there is no such name"),
    "no module": ("from hiergen.c import f", "", "the source:1: 'from hiergen.c import f': there is no such name"),
    "relative": (A, "from .b import g", "hiergen/nn/a.py:1: needs '.b'"),
    "a dependency": (A, "import yaml", "hiergen/nn/a.py:1: needs 'yaml', so the file could not stand alone"),
    "one in a function": (A, "def f():\n    import yaml", "hiergen/nn/a.py:2: needs 'yaml'"),
    "no Python": (A, "def f(:", "hiergen/nn/a.py:1: is not Python"),
}
MAY_FAIL = "    try:\n        import hiergen.d\n    except ImportError:\n        return g() + p\n"
FOLLOWED = {
    "__init__": "from hiergen.nn.a import f\n\n__all__ = ['f']\n",
    "nn/a": '"""What a is."""\n\nfrom math import pi as p\nfrom typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n'
    "    from hiergen.b import C\n    from hiergen.c import D\n\n\n# above f\ndef f(c: C | D | None = None) -> float:\n"
    f"    from hiergen.b import g  # a circle\n\n{MAY_FAIL}",
    "b": "from hiergen.nn.a import f\n\nC = float\nK = f\n\n\ndef g() -> int:\n    return 38\n",
}
WRITTEN = (
    "from math import pi as p\nfrom typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from hiergen.c import D\n\n"
    "# hiergen/nn/a.py\n# What a is.\n\n\n# above f\ndef f(c: C | D | None = None) -> float:\n"
    f"{MAY_FAIL}\n\n# hiergen/b.py\n\n\nC = float\nK = f\n\n\ndef g() -> int:\n    return 38\n\n\nX = f()\n"
)


def write_package(folder: Path, modules: dict[str, str]) -> None:
    (folder / "nn").mkdir()
    for file, text in {"__init__": "", "nn/__init__": "", "b": "def g(): ...\nX = 2", **modules}.items():
        (folder / f"{file}.py").write_text(text)


@pytest.mark.parametrize(("source", "module", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_copied_is_refused(tmp_path: Path, source: str, module: str, message: str) -> None:
    write_package(tmp_path, {"nn/a": module})
    with pytest.raises(HiergenError, match=message):
        standalone(source, tmp_path)


def test_what_is_followed(tmp_path: Path) -> None:
    """Re-exports, imports in functions, for type checkers, and those that may fail."""
    write_package(tmp_path, FOLLOWED)
    text = standalone('"""Doc."""\n\nfrom hiergen import f\n\nX = f()\n', tmp_path)
    assert text.partition("annotations\n\n")[2] == WRITTEN
    names: dict[str, float] = {}
    exec(compile(text, "alone", "exec"), names)  # our own text
    assert 41.1 < names["X"] < 41.2


@pytest.mark.parametrize("order", [1, -1])
def test_timms_name_means_the_package_where_both_are_imported(toy: Built, tmp_path: Path, order: int) -> None:
    path = tmp_path / f"copy_{order % 3}.py"
    path.write_text(standalone(toy.source), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        package, copy = [imported(path) for path in [toy.path, path][::order]][::order]
    assert type(timm.create_model("toy_n2hl")) is package.N2HL
    assert copy.toy_n2hl.hiergen_class is copy.N2HL
    assert isinstance(copy.toy_n2hl(), copy.N2HL)


def test_another_network_of_that_name_still_warns(toy: Built, tmp_path: Path) -> None:
    imported(toy.path)
    (tmp_path / "other_copy.py").write_text(standalone(toy.source.replace("depth=2", "depth=3")), encoding="utf-8")
    with pytest.warns(UserWarning, match="Overwriting toy_n2hl"):
        other = imported(tmp_path / "other_copy.py")
    assert type(timm.create_model("toy_n2hl")) is other.N2HL


def test_build_writes_it_beside_nothing_else(
    hiergen: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = (DATA / "toy.yaml").resolve()
    monkeypatch.chdir(tmp_path)
    assert hiergen("build", file, "--standalone").code == 0
    assert [str(p) for p in Path().rglob("*.py")] == ["standalone/toy.py"]
    assert hiergen("build", file, "--standalone", "--check").code == 0
    assert hiergen("build", file, "--check").code == 1
    refused = hiergen("build", file, "-o", "standalone")
    assert refused.code == 2
    assert "standalone/toy.py: is the file of 'hiergen build --standalone'; expected a new path" in refused.err
    assert hiergen("build", file).code == 0
    assert "is the file of 'hiergen build'" in hiergen("build", file, "-o", "generated", "--standalone").err
    assert "from hiergen" in Path("generated/toy.py").read_text("utf-8")
