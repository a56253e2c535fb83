"""wordnet_files.py: a user's own WordNet, damaged ones beside a good one; and the script that packs ours."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from hiergen.assets import wordnet_pack
from hiergen.errors import TaxonomyError
from hiergen.taxonomy.wordnet.nouns import WordNet, default


@pytest.fixture(scope="module")
def texts() -> dict[str, bytes]:
    with resources.files("hiergen.assets").joinpath("wordnet", "nouns.zip").open("rb") as file:
        archive = zipfile.ZipFile(file)
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def small(texts: dict[str, bytes]) -> dict[str, bytes]:
    """A whole WordNet of the first 400 synsets, the index cut down to them; some relations lead out of it."""
    lines = texts["data.noun"].splitlines(keepends=True)[:429]
    inside = {line[:8] for line in lines if not line.startswith(b"  ")}
    index = []
    for line in texts["index.noun"].splitlines(keepends=True):
        if line.startswith(b"  "):
            continue
        lemma, pos, count, *rest = line.split()
        kept = [offset for offset in rest[-int(count) :] if offset in inside]
        if kept:
            number = b"%d" % len(kept)
            index.append(
                b" ".join([lemma, pos, number, *rest[: -int(count) - 2], number, rest[-int(count) - 1], *kept])
            )
    licence = [line for line in lines if line.startswith(b"  ")]
    return {
        **texts,
        "data.noun": b"".join(lines),
        "index.noun": b"".join([*licence, *(row + b"  \n" for row in index)]),
    }


def _folder(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_bytes(text)
    return folder


def _zip(file: Path, files: dict[str, bytes], prefix: str = "") -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in files.items():
            archive.writestr(prefix + name, text)
    return file


@pytest.mark.parametrize("shape", ["folder", "dict", "zip", "zip/wordnet", "crlf", "unsorted", "two files"])
def test_own_copy(tmp_path: Path, small: dict[str, bytes], shape: str) -> None:
    files = dict(small)
    if shape == "crlf":
        files = {name: text.replace(b"\n", b"\r\n") for name, text in files.items()}
    if shape == "unsorted":
        files["index.noun"] = b"".join(reversed(files["index.noun"].splitlines(keepends=True)))
    if shape == "two files":
        files = {name: files[name] for name in ("data.noun", "index.noun")}
    if shape.startswith("zip"):
        path = _zip(tmp_path / "own.zip", files, "wordnet/" if shape == "zip/wordnet" else "")
    else:
        path = tmp_path / "own"
        _folder(path / "dict" if shape == "dict" else path, files)
    own = WordNet(path)
    assert own.version == "3.0"
    wnids = [f"n{line[:8].decode()}" for line in small["data.noun"].splitlines() if line[:1] != b" "]
    assert len(wnids) == 400
    for wnid in wnids:
        assert own.resolve(own.synset_name(wnid)) == wnid
        assert own.hypernyms(wnid) == default().hypernyms(wnid)
        assert own.gloss(wnid) == default().gloss(wnid)


def _edit(name: str, old: bytes, new: bytes) -> Callable[[dict[str, bytes]], None]:
    def edit(files: dict[str, bytes]) -> None:
        assert old in files[name]
        files[name] = files[name].replace(old, new, 1)

    return edit


# each changes the good copy of test_own_copy in one place
DAMAGED: list[tuple[Callable[[dict[str, bytes]], object], str]] = [
    (lambda files: files.pop("data.noun"),
     "not a WordNet: no data.noun there, nor one folder"),
    (lambda files: files.pop("index.noun"), "index.noun is missing beside data.noun"),
    (_edit("data.noun", b"that which", b"that  which"),
     r"data\.noun:31: the ids do not fit the file.*expected 00001931, got 00001930"),
    (_edit("data.noun", b"00001930 03 n", b"00001930 03 v"),
     r"data\.noun:31: not a noun synset; expected .*got '0000"),
    (_edit("data.noun", b" | that which", b"   that which"), r"data\.noun:30: not a noun synset"),
    (lambda files: files.update({"data.noun": files["data.noun"][:-40]}),
     r"data\.noun:429: not a noun synset"),
    (lambda files: files.update({"data.noun": b"".join(files["data.noun"].splitlines(True)[:-9])}),
     r"index\.noun:\d+: .* leads to no synset of data\.noun; got offset \d{8}"),
    (lambda files: files.update({"data.noun": b""}), r"data\.noun: no synset at all"),
    (lambda files: files.update({"index.noun": b""}), r"index\.noun: no lemma at all"),
    (_edit("index.noun", b"\nentity n 1", b"\nentity n 2"),
     r"index\.noun:\d+: not an index line; .*got 'entity n 2"),
    (_edit("lexnames", b"03\tnoun.Tops", b"04\tnoun.Tops"), r"lexnames:4: not a lexname"),
    (lambda files: files.update({"data.noun": b"\x00\xff" * 99}), r"data\.noun:1: not a noun synset"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_copy(
    tmp_path: Path, small: dict[str, bytes], damage: Callable[[dict[str, bytes]], object], message: str
) -> None:
    files = dict(small)
    damage(files)
    for path in (_folder(tmp_path / "own", files), _zip(tmp_path / "own.zip", files)):
        with pytest.raises(TaxonomyError, match=message) as caught:
            WordNet(path)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)


def test_not_even_a_zip(tmp_path: Path, small: dict[str, bytes]) -> None:
    whole = _zip(tmp_path / "whole.zip", small).read_bytes()
    WordNet(tmp_path / "whole.zip")
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "bad.zip").write_bytes(whole[:5000] + b"?" + whole[5001:])  # checksum
    for name in ("cut.zip", "bad.zip"):
        with pytest.raises(TaxonomyError, match=f"{name}: not a readable zip"):
            WordNet(tmp_path / name)
    with pytest.raises(TaxonomyError, match=r"none: cannot read this WordNet \(No such file or directory\)"):
        WordNet(tmp_path / "none")
    _folder(tmp_path / "both" / "a", small)
    _folder(tmp_path / "both" / "b", small)
    with pytest.raises(TaxonomyError, match=r"several WordNets; got .*both/a', .*both/b'"):
        WordNet(tmp_path / "both")


def test_unfitting_index_and_cycle_are_told_when_met(tmp_path: Path, small: dict[str, bytes]) -> None:
    files = dict(small)
    _edit("index.noun", b"physical_entity n", b"physical_entitx n")(files)
    _edit("data.noun", b"~ 00001930 n 0000 ~ 00002137", b"@ 00001930 n 0000 ~ 00002137")(files)
    own = WordNet(_folder(tmp_path / "own", files))
    assert own.synset_name("n00001740") == "entity.n.01"
    with pytest.raises(TaxonomyError, match="at byte 1930: the synset cannot be read"):
        own.synset_name("n00001930")
    assert set(own.closure(["n00001930"])) == {"n00001740", "n00001930"}
    with pytest.raises(TaxonomyError, match=r"hypernyms in a cycle: n0000.* > n0000"):
        own.depth("n00001930")


def test_an_id_inside_a_line_is_none(tmp_path: Path, small: dict[str, bytes]) -> None:
    files = dict(small)
    inside = files["data.noun"].index(b"that which")
    _edit("data.noun", b"that which", b"%08d w" % inside)(files)
    own = WordNet(_folder(tmp_path / "own", files))
    assert own.resolve(f"n{inside:08d}") is None
    assert own.resolve("n00001740") == "n00001740"


def test_another_release_is_said(tmp_path: Path, small: dict[str, bytes]) -> None:
    files = dict(small)
    _edit("data.noun", b"WordNet 3.0 Copyright", b"WordNet 3.1 Copyright")(files)
    with pytest.raises(TaxonomyError, match=r"this is WordNet 3\.1, ImageNet's ids are of 3\.0"):
        WordNet(_folder(tmp_path / "own", files)).hypernyms("n02123045")


def test_own_copy_pickles_by_path(tmp_path: Path, small: dict[str, bytes]) -> None:
    own = pickle.loads(pickle.dumps(WordNet(_folder(tmp_path / "own", small))))  # noqa: S301
    assert own.resolve("entity.n.01") == "n00001740"
    assert own.resolve("tabby.n.01") is None


# the script that made nouns.zip


def test_pack_makes_the_shipped_zip(
    tmp_path: Path, texts: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _folder(tmp_path / "dos", {name: text.replace(b"\n", b"\r\n") for name, text in texts.items()})
    output = tmp_path / "nouns.zip"
    assert wordnet_pack.main([str(folder), "--output", str(output)]) == 0
    assert capsys.readouterr().out == f"{output}: {output.stat().st_size} bytes\n"
    assert output.stat().st_size < 8_000_000
    # not the packed bytes, which depend on the zlib at hand
    with zipfile.ZipFile(output) as made, zipfile.ZipFile(wordnet_pack.OUTPUT) as shipped:
        for archive in (made, shipped):
            assert archive.namelist() == sorted(texts)
            assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {name: made.read(name) for name in texts} == texts
    output.unlink()

    (folder / "lexnames").write_bytes(texts["lexnames"].replace(b"noun.Tops", b"noun.tops"))
    assert wordnet_pack.main([str(folder), "--output", str(output)]) == 1
    assert "lexnames: not WordNet 3.0's file: as long, but other bytes" in capsys.readouterr().err
    (folder / "data.noun").write_bytes(texts["data.noun"][:-1])
    assert wordnet_pack.main([str(folder), "--output", str(output)]) == 1
    assert "expected 15300280 bytes without carriage returns, got 15300279" in capsys.readouterr().err
    (folder / "data.noun").unlink()
    assert wordnet_pack.main([str(folder), "--output", str(output)]) == 1
    assert "data.noun: cannot read (No such file" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dos"]
