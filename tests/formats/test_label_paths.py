"""Label paths: CSV, TSV and NumPy tables as hiclass takes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from random_trees import shape

from hiergen import formats
from hiergen.errors import HiergenError
from hiergen.formats.tree import leaves

Write = Callable[..., Path]
PETS = ("", (("animal", (("cat", (("tabby", ()), ("other", ()))), ("dog", (("other", ()),)))), ("car", ())))


def test_rows_may_be_short_or_filled_and_may_repeat(write: Write) -> None:
    rows = [["animal", "cat", "tabby"], ["animal", "dog", "other"], ["car"], ["animal", "cat", "other"], ["car"]]
    for name, mark in (("t.csv", ","), ("t.csv", ";"), ("t.tsv", "\t"), ("t.csv", ", ")):
        short = write("\n".join(mark.join(row) for row in rows) + "\n", name)
        assert shape(formats.read(short)) == PETS
        full = write("\n".join(mark.join(row + [""] * (4 - len(row))) for row in rows) + "\r\n", name)
        assert shape(formats.read(full)) == PETS


def test_a_row_that_ends_above_a_leaf_adds_nothing(write: Write) -> None:
    tree = formats.read(write("a,b\na,\n,\na,c\n", "t.csv"))
    assert shape(tree) == ("", (("a", (("b", ()), ("c", ()))),))
    assert tree.graph["notes"] == ["a row ends at 'a', which has more below it"]


def test_a_header_is_left_out_when_one_says_so(write: Write) -> None:
    file = write("level 1,level 2\na,b\n", "t.csv")
    assert shape(formats.read(file, header=True)) == ("", (("a", (("b", ()),)),))
    assert len(leaves(formats.read(file))) == 1  # as it looks
    assert len(leaves(formats.read(file, header=False))) == 2
    with pytest.raises(HiergenError, match="newick has no header"):
        formats.read(file, "newick", header=True)
    with pytest.raises(HiergenError, match="an array has no header"):
        formats.read("y.npy", header=True)


def test_quoted_cells_with_commas_quotes_and_lines(write: Write) -> None:
    tree = formats.read(write('"a,b","say ""x"""\n\nc,d\n', "t.csv"))
    assert shape(tree) == ("", (("a,b", (('say "x"', ()),)), ("c", (("d", ()),))))
    assert [tree.nodes[k]["place"].rsplit(":", 1)[1] for k in leaves(tree)] == ["1", "3"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (",,\n", "t.csv: is empty; expected rows of labels"),
        ("", "t.csv: is empty; expected rows of labels"),
        ('a,b\nc,"d\n', "t.csv:2: is no table (unexpected end of data)"),
        ('a,"b"c\n', "t.csv:1: is no table ("),
        ("a," + "b" * 200_000, "t.csv:1: is no table (field larger than field limit"),
    ],
)
def test_bad_tables(write: Write, monkeypatch: pytest.MonkeyPatch, text: str, problem: str) -> None:
    monkeypatch.chdir(write(text, "t.csv").parent)
    with pytest.raises(HiergenError) as caught:
        formats.read("t.csv")
    assert str(caught.value).startswith(problem)


def test_semicolons_are_marks_only_where_every_row_has_as_many(write: Write) -> None:
    def ids(text: str) -> list[str]:
        tree = formats.read(write(text, "t.csv"))
        return [tree.nodes[key]["id"] for key in formats.tree.leaves(tree)]

    assert ids("x;a\nx;b\n\ny;c\n") == ["a", "b", "c"]
    assert ids("a;b\nc\n") == ["a;b", "c"]
    assert ids("a\nb;c\n") == ["a", "b;c"]
    assert ids("d;e\nx;a;b\nx;c\n") == ["e", "b", "c"]
    assert ids('"a;b"\n"c;d"\n') == ["a;b", "c;d"]
    tree = formats.read(write('"a;b"\n"c;d"\n', "t.csv"))
    assert formats.files.written(tree, "paths") == '"a;b"\n"c;d"\n'


def test_arrays(tmp_path: Path) -> None:
    rows = [["animal", "cat", "tabby"], ["animal", "dog", "other"], ["car", "", ""], ["animal", "cat", "other"]]
    for table in (np.array(rows), np.char.encode(np.array(rows), "utf-8")):
        np.save(tmp_path / "y.npy", table)
        assert shape(formats.read(tmp_path / "y.npy")) == PETS
    np.save(tmp_path / "y.npy", np.array([[1, 10], [2, 20], [1, 11]]))
    assert shape(formats.read(tmp_path / "y.npy")) == ("", (("1", (("10", ()), ("11", ()))), ("2", (("20", ()),))))
    np.save(tmp_path / "y.npy", np.array(["a", "b", "a"]))
    assert shape(formats.read(tmp_path / "y.npy")) == ("", (("a", ()), ("b", ())))


def test_bad_arrays(tmp_path: Path) -> None:
    file = tmp_path / "y.npy"
    np.save(file, np.array([["a"], ["b", "c"]], dtype=object), allow_pickle=True)
    with pytest.raises(HiergenError, match=r"y.npy: is no NumPy array of text or numbers; save it as text: numpy.save"):
        formats.read(file)
    file.write_bytes(b"\x93NUMPY\x01\x00nonsense")
    with pytest.raises(HiergenError, match=r"y.npy: is no NumPy array"):
        formats.read(file)
    file.write_bytes(b"")
    with pytest.raises(HiergenError, match=r"y.npy: is no NumPy array"):
        formats.read(file)
    for bad in (np.zeros((2, 2, 2), dtype=int), np.zeros((2, 2)), np.array("a")):
        np.save(file, bad)
        with pytest.raises(HiergenError, match=r"y.npy: is no table of labels; expected text or whole numbers"):
            formats.read(file)
    np.save(file, np.array([["a", "b"]] * 3))
    whole = file.read_bytes()
    file.write_bytes(whole[:-4])
    with pytest.raises(HiergenError, match=r"y.npy: is no NumPy array"):
        formats.read(file)
    np.save(file, np.array([[b"\xff"]]))
    with pytest.raises(HiergenError, match=r"y.npy: has labels that are not UTF-8"):
        formats.read(file)
