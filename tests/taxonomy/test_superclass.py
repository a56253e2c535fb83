"""superclass.py against the real files of s-kumano/imagenet-superclass, and bad copies beside good ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hiergen.assets import CLASS_LISTS, class_list
from hiergen.errors import TaxonomyError
from hiergen.taxonomy.sources import read_superclass_files, superclass_of, superclasses, ties
from hiergen.taxonomy.wordnet.nouns import default

REAL = Path(__file__).parents[3] / "shared" / "data" / "imagenet-superclass"
needs_real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no copy of imagenet-superclass at {REAL}")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The two files as hiergen's own rule would write them; needs no real copy."""
    wordnet, parents = default(), superclasses(default())
    order = sorted(set(parents.values()))
    (tmp_path / "superclass.txt").write_text("\n".join(str(order.index(parent)) for parent in parents.values()))
    names = (", ".join(wordnet.lemmas(parent)) for parent in parents.values())
    (tmp_path / "superclass_names.txt").write_text("\n".join(names) + "\n")
    return tmp_path


@needs_real
def test_all_1000_equal_the_real_files() -> None:
    wordnet, parents = default(), superclasses(default())
    names = (REAL / "superclass_names.txt").read_text().split("\n")
    numbers = (REAL / "superclass.txt").read_text().split("\n")
    assert [", ".join(wordnet.lemmas(parent)) for parent in parents.values()] == names
    # same number, same synset: as many pairs as there are numbers and as there are synsets
    pairs = set(zip(numbers, parents.values(), strict=True))
    assert len(pairs) == len(set(numbers)) == len(set(parents.values())) == 558
    assert len(set(names)) == 551


@needs_real
def test_real_files_read_to_the_same() -> None:
    read = read_superclass_files(REAL, default())
    assert {wnid: parent for wnid, (parent, _) in read.items()} == superclasses(default())
    assert read["n01440764"] == ("n01439121", "superclass_names.txt:1")
    assert [place for _, place in read.values()] == [f"superclass_names.txt:{i}" for i in range(1, 1001)]


def test_ties_are_the_classes_with_several_hypernyms() -> None:
    wordnet = default()
    several = {wnid for wnid in class_list("imagenet1k") if len(wordnet.hypernyms(wnid)) > 1}
    assert set(ties()) == several
    assert len(several) == 38
    assert all(parent in wordnet.hypernyms(wnid) for wnid, parent in ties().items())


def test_any_other_synset_takes_its_last_hypernym() -> None:
    wordnet = default()
    person = wordnet.resolve("person.n.01")
    assert person is not None
    assert wordnet.hypernyms(person) == ("n00004475", "n00007347")
    assert superclass_of(wordnet, person) == "n00007347"
    assert superclass_of(wordnet, "n02389559") == wordnet.hypernyms("n02389559")[0]
    assert superclass_of(wordnet, "n00001740") is None
    assert superclass_of(wordnet, "n02672831") == wordnet.resolve("free-reed_instrument.n.01")
    with pytest.raises(TaxonomyError, match="no noun synset 'n02672832'"):
        superclass_of(wordnet, "n02672832")


def test_class_lists() -> None:
    sizes = {name: len(class_list(name)) for name in CLASS_LISTS}
    expected = {
        "imagenet1k": 1000,
        "imagenet100": 100,
        "tiny-imagenet-100": 100,
        "imagenette": 10,
        "imagewoof": 10,
    }
    assert sizes == expected
    for name in CLASS_LISTS:
        assert list(class_list(name)) == sorted(set(class_list(name)))
        assert set(class_list(name)) <= set(class_list("imagenet1k"))
    with pytest.raises(TaxonomyError, match=r"no built-in class list 'imagenet10'.*nearest: imagenet100"):
        class_list("imagenet10")


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_good_copies(copy: Path, ends: str, bom: bytes) -> None:
    for file in copy.iterdir():
        file.write_bytes(bom + file.read_text().replace("\n", ends).encode())
    read = read_superclass_files(copy, default())
    assert {wnid: parent for wnid, (parent, _) in read.items()} == superclasses(default())


Change = Callable[[list[str]], None]


def _set(line: int, text: str) -> Change:
    def change(lines: list[str]) -> None:
        lines[line - 1] = text

    return change


# class 1 tench and 2 goldfish are both cyprinids, 3 is a shark; each bad line beside the good one of `copy`
BAD: list[tuple[str, Change, str]] = [
    (
        "superclass_names.txt",
        _set(3, "shark"),
        r"superclass_names\.txt:3: no direct hypernym of n01484850 \(great_"
        r"white_shark\.n\.01\) has this name; expected 'mackerel shark', got 'shark'",
    ),
    ("superclass_names.txt", _set(1, ""), r"superclass_names\.txt:1: .*got ''"),
    (
        "superclass_names.txt",
        list.pop,
        r"superclass_names\.txt: wrong number of lines; expected 1000,.* got 999",
    ),
    (
        "superclass.txt",
        lambda lines: lines.append("1"),
        r"superclass\.txt: wrong number of lines; .* got 1001",
    ),
    ("superclass.txt", _set(2, "x"), r"superclass\.txt:2: not a superclass number; expected digits, got 'x'"),
    ("superclass.txt", _set(2, "-1"), r"superclass\.txt:2: not a superclass number"),
    ("superclass.txt", _set(2, "²"), r"superclass\.txt:2: not a superclass number"),
    (
        "superclass.txt",
        _set(2, "999"),
        r"superclass\.txt:2: two numbers for one superclass; got for 'cyprinid, "
        r"cyprinid fish' \d+ in line 1 and 999 here",
    ),
]


@pytest.mark.parametrize(("name", "change", "message"), BAD, ids=range(len(BAD)))
def test_bad_copies(copy: Path, name: str, change: Change, message: str) -> None:
    lines = (copy / name).read_text().removesuffix("\n").split("\n")
    change(lines)
    (copy / name).write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(TaxonomyError, match=message):
        read_superclass_files(copy, default())


def test_one_number_for_two(copy: Path) -> None:
    numbers = (copy / "superclass.txt").read_text().split("\n")
    numbers[2] = numbers[0]
    (copy / "superclass.txt").write_text("\n".join(numbers))
    with pytest.raises(TaxonomyError, match=r"superclass\.txt:3: one number for two superclasses; got \d+ for 'cyp"):
        read_superclass_files(copy, default())


def test_unreadable_copies(copy: Path) -> None:
    names = copy / "superclass_names.txt"
    names.write_bytes(names.read_bytes().replace(b"mackerel", b"m\xe4ckerel", 1))
    with pytest.raises(TaxonomyError, match=r"superclass_names\.txt:3: not UTF-8"):
        read_superclass_files(copy, default())
    names.unlink()
    with pytest.raises(TaxonomyError, match=r"superclass_names\.txt: cannot read \(No such file"):
        read_superclass_files(copy, default())
    with pytest.raises(TaxonomyError, match=r"superclass\.txt: cannot read"):
        read_superclass_files(copy / "nowhere", default())
