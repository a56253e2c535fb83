"""Small input that would take much memory or time: one sentence that names the file, before either is taken."""

from __future__ import annotations

import importlib
import io
import re
import resource
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Ran, Write
from PIL import Image

import hiergen as hiergen_package
from hiergen.data.sources import open_data
from hiergen.errors import HiergenError
from tests.nn.steering_cases import Nested
from tests.security.hostile import ending, taxonomy

Run = Callable[..., Ran]
N = 100_000


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A black PNG of 1 bit a pixel: 30,000 × 30,000 of them in 110 kB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, data, row = zlib.compressobj(9), b"", b"\0" * (1 + (width + 7) // 8)
    for _ in range(height):
        data += packer.compress(row)
    data += packer.flush()
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), *(chunk(*c) for c in chunks)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.fixture
def network() -> Nested:
    return Nested().eval()


def peak() -> int:
    """The most memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [13_000, 30_000])  # PIL refuses the second itself, and warns of the first
@pytest.mark.parametrize("how", ["folder", "tar", "shard"])
def test_an_image_of_many_pixels(side: int, how: str, tmp_path: Path, network: Nested) -> None:
    import tarfile

    bomb = png(side, side)
    assert len(bomb) < 120_000
    good = io.BytesIO()
    Image.new("RGB", (9, 9)).save(good, "PNG")
    files = {f"c{i}/0.png": good.getvalue() for i in range(5)} | {"c0/bomb.png": bomb}
    for name, data in files.items():
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / name).write_bytes(data)
    data = str(tmp_path / "d")
    if how == "tar":
        data = f"{data}.tar"
        with tarfile.open(data, "w") as tar:
            tar.add(tmp_path / "d", arcname="")
    if how == "shard":
        data = f"wds/{tmp_path / 's.tar'}"
        with tarfile.open(tmp_path / "s.tar", "w") as tar:
            for i, (name, content) in enumerate(files.items()):
                for ending, raw in ((".png", content), (".cls", name[:2].encode())):
                    info = tarfile.TarInfo(f"{i}{ending}")
                    info.size = len(raw)
                    tar.addfile(info, io.BytesIO(raw))
    images = open_data(data, network)
    before = peak()
    said = []
    for i in range(len(images)):
        try:
            images.picture(i)
        except HiergenError as error:
            said.append(str(error))
    (one,) = said
    assert ("bomb.png" if how != "shard" else "s.tar:5.png") in one
    assert "cannot be read as an image" in one
    assert "pixels" in one
    assert peak() - before < 200


def test_an_image_to_look_at(tmp_path: Path, network: Nested) -> None:
    from hiergen.views.draw.maps import read_image

    (tmp_path / "bomb.png").write_bytes(png(30_000, 30_000))
    with pytest.raises(HiergenError, match=r"bomb.png: cannot be read as an image \(Image size \(900000000 pixels\)"):
        read_image(tmp_path / "bomb.png", network)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_texts_in_an_image_that_unpack(kind: bytes, tmp_path: Path, network: Nested) -> None:
    """100 MB of zeros in 100 kB of a chunk."""
    packed = zlib.compress(b"\0" * 100_000_000, 9)
    body = b"k\0\1\0\0\0" + packed if kind == b"iTXt" else b"k\0\0" + packed
    for i in range(5):
        (tmp_path / f"c{i}").mkdir()
        (tmp_path / f"c{i}" / "0.png").write_bytes(png(9, 9, (kind, body)))
    before = peak()
    images = open_data(tmp_path, network)
    try:
        said = str(images.picture(0).size)
    except HiergenError as error:
        said = str(error)
    assert said == "(9, 9)" or "c0/0.png: cannot be read as an image" in said
    assert peak() - before < 90


@pytest.mark.parametrize(
    "raw",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(x) (w) file\n",
        b"\xc5\xd0\xd3\xc6" + b"\0" * 26 + b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"P7\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        b"GIMP",
        b"",
    ],
)
def test_formats_that_are_not_tried(
    raw: bytes, tmp_path: Path, network: Nested, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An EPS named .png would make PIL run Ghostscript on it."""
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript is run"))
    for i in range(5):
        (tmp_path / f"c{i}").mkdir()
        (tmp_path / f"c{i}" / "0.png").write_bytes(raw)
    with pytest.raises(HiergenError, match="cannot be read as an image"):
        open_data(tmp_path, network).picture(0)


def test_a_wordnet_zip_that_unpacks_to_much(tmp_path: Path, write: Write, hiergen: Run) -> None:
    bomb = tmp_path / "wn.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        with archive.open("data.noun", "w", force_zip64=True) as file:
            for _ in range(21):
                file.write(b"\0" * 10_000_000)
        archive.writestr("index.noun", b"x")
        archive.writestr("../../evil", b"x")
    path = write(taxonomy("x", sources=[{"wordnet": "wn.zip"}]))
    before = peak()
    ran = hiergen("validate", path)
    assert ran.code == 2
    assert "data.noun is too large" in ran.out
    # the directory says 100 bytes, the member has 210 MB
    raw = bytearray(bomb.read_bytes())
    at = raw.rindex(b"data.noun") - 46
    assert raw[at : at + 4] == b"PK\x01\x02"
    raw[at + 24 : at + 28] = struct.pack("<I", 100)
    bomb.write_bytes(raw)
    ran = hiergen("validate", path)
    assert ran.code == 2
    assert "wn.zip" in ran.out
    assert not (tmp_path.parent / "evil").exists()
    assert peak() - before < 150


def test_an_index_line_without_end(tmp_path: Path, write: Write, hiergen: Run) -> None:
    """A pattern that took 40 s for 200 kB is words now."""
    from hiergen.taxonomy.wordnet import files as wordnet_files

    files = wordnet_files.shipped()
    (tmp_path / "wn").mkdir()
    (tmp_path / "wn" / "data.noun").write_bytes(files.data)
    for line in (b"x n 3 " + b" 00001740" * (N * 20 // 9) + b"x\n", b"x n " + b"9" * 5000 + b" 1 1 00001740\n"):
        (tmp_path / "wn" / "index.noun").write_bytes(line)
        with ending("reading the index"):
            ran = hiergen("validate", write(taxonomy("x", sources=[{"wordnet": "wn"}])))
        assert ran.code == 2
        assert "index.noun:1: not an index line" in ran.out


def test_newick_comments_of_quotes(tmp_path: Path, hiergen: Run) -> None:
    """Each quote in a comment looked for its end: 7 s for 20 kB, hours for 1 MB."""
    file = tmp_path / "t.nwk"
    file.write_text(f"[{chr(39) * (10 * N)}](a,b)c;")
    assert hiergen("import", file, "-o", tmp_path / "t.yaml").code == 0
    file.write_text(f"[{chr(39) * (10 * N)}")
    assert "a '[' is never closed" in hiergen("import", file, "-o", tmp_path / "u.yaml").err


TEXTS = {
    "spaces": " " * N,
    "words": "a " * (N // 2),
    "letters": "a" * N + "!",
    "dots": "a.n.1" * (N // 5),
    "hyphens": "a-" * (N // 2) + "!",
    "quotes": "'" * N + "x",
    "double": '"' * N + "x",
    "escapes": '"' + '\\"' * (N // 2),
    "braces": "{" * N,
    "items": '{ "item' * (N // 8),
    "thoughts": "<think>" * (N // 7),
    "ends": "<think></think" * (N // 14),
    "ticks": "`" * N,
    "slashes": " /" * (N // 2),
    "digits": "1" * N,
    "numbers": "1a" * (N // 2),
    "offsets": " 00001740" * (N // 9),
    "brackets": "[" * N,
    "breaks": "\n" * N,
    "tabs": "00\t" * (N // 3),
    "pipes": "00000000 00 n 00 a 0 " + "|" * N,
    "dates": "Mon, " * (N // 5),
}


def patterns() -> dict[str, tuple[re.Pattern[str] | re.Pattern[bytes], bool]]:
    """All regular expressions of the package that have a name, and whether they are looked for anywhere in
    a text (else only from its beginning)."""
    root = Path(hiergen_package.__path__[0])
    found = {}
    for path in sorted(root.rglob("*.py")):
        source = path.read_text("utf-8")
        if "re.compile(" in source:
            module = importlib.import_module("hiergen." + ".".join(path.relative_to(root).with_suffix("").parts))
            for name, value in vars(module).items():
                if isinstance(value, re.Pattern):
                    anywhere = re.search(rf"\b{name}(?: if .*)?\)?\.(?:search|find|sub|split)", source) is not None
                    found[f"{module.__name__}.{name}"] = value, anywhere
    assert len(found) >= 15
    return found


def test_no_pattern_is_slow_on_any_text() -> None:
    """Each on texts of 100 kB made to have it try again and again; a quadratic one would take minutes.

    JSON strings are looked for only in what json has read, in which each has its end.
    """
    for name, (pattern, anywhere) in patterns().items():
        for kind, text in TEXTS.items():
            if name.endswith("json_trees._STRING") and kind == "escapes":
                continue
            subject: Any = text.encode() if isinstance(pattern.pattern, bytes) else text
            with ending((name, kind)):
                pattern.fullmatch(subject)
                for _ in pattern.finditer(subject) if anywhere else ():
                    pass


def test_texts_are_read_in_a_time_near_their_length(
    tmp_path: Path, hiergen: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The readers themselves, on the same texts: a sentence or success."""
    monkeypatch.chdir(tmp_path)
    for kind, text in TEXTS.items():
        for name in ("t.yaml", "t.nwk", "t.csv", "t.json", "wordnet.is_a.txt"):
            Path(name).write_text(text)
            words = ("validate", name) if name == "t.yaml" else ("import", name, "-o", "o.yaml", "--force")
            with ending((kind, name)):
                ran = hiergen(*words)
            assert ran.code in {0, 2}, ran.err
            assert "Traceback" not in ran.err


@pytest.mark.parametrize("text", ["[" * N, '{"a":' * N, "9" * 5000, '{"label": ' + "9" * 5000 + "}"])
def test_json_without_end(text: str, tmp_path: Path, network: Nested, write: Write, hiergen: Run) -> None:
    import tarfile

    assert hiergen("import", write(text, "t.json"), "-o", tmp_path / "o.yaml").code == 2
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, raw in (("0.png", png(9, 9)), ("0.json", text.encode())):
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    with pytest.raises(HiergenError, match=r"its .json is no JSON"):
        open_data(f"wds/{tmp_path / 'a.tar'}", network)
