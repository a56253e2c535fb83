"""Newick: against a tiny parser of another kind, and what is wrong with bad files."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from random_trees import random_tree, shape

from hiergen.errors import HiergenError
from hiergen.formats.newick import newick_text, read_newick
from hiergen.formats.tree import leaves, root, text, top_down


def parsed(source: str) -> Any:
    return shape(read_newick(source, Path("t.nwk")))


def rewritten(source: str) -> Any:
    """An independent reader: quoted names set aside first, then innermost brackets replaced until none is left."""
    names: list[str] = []
    trees: dict[str, Any] = {}

    def aside(match: re.Match[str]) -> str:
        names.append(match[0][1:-1].replace("''", "'"))
        return f"\x01{len(names) - 1}\x02"

    def name(piece: str) -> str:
        known = re.fullmatch("\x01(\\d+)\x02", piece)
        return names[int(known[1])] if known else piece

    def folded(match: re.Match[str]) -> str:
        children = tuple(trees.get(piece, (name(piece), ())) for piece in match[1].split(","))
        trees[f"\x03{len(trees)}\x04"] = (name(match[2]), children)
        return f"\x03{len(trees) - 1}\x04"

    plain = re.sub(r"'(?:[^']|'')*'", aside, source.strip()).removesuffix(";")
    count = 1
    while count:
        plain, count = re.subn(r"\(([^()]*)\)([^(),]*)", folded, plain)
    return trees[plain]


@pytest.mark.parametrize("seed", range(30))
def test_written_trees_are_read_alike_by_two_parsers(seed: int) -> None:
    tree = random_tree(seed)
    source = newick_text(tree)
    assert parsed(source) == rewritten(source) == shape(tree)


def test_biopython_reads_it_too() -> None:
    phylo = pytest.importorskip("Bio.Phylo")
    tree = random_tree(3)
    found = phylo.read(io.StringIO(newick_text(tree)), "newick")
    names = [text(tree, key, "id") for key in top_down(tree) if not tree.succ[key]]
    assert [leaf.name for leaf in found.get_terminals()] == names


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("(a,b)r;", ("r", (("a", ()), ("b", ())))),
        ("a;", ("a", ())),
        (" ( a , b ) ;\n", ("", (("a", ()), ("b", ())))),
        ("(a:1,b:2.5e-3)r:0;", ("r", (("a", ()), ("b", ())))),
        ("[&R](a[it's],b[a[b]c])r;", ("r", (("a", ()), ("b", ())))),
        ("('it''s',' b ')'';", ("", (("it's", ()), (" b ", ())))),
        ("(a_b,c)d;", ("d", (("a_b", ()), ("c", ())))),
        ("((a),b);", ("", (("", (("a", ()),)), ("b", ())))),
        ("(a\n,\nb)\n;", ("", (("a", ()), ("b", ())))),
        ("('(',';')',';", (",", (("(", ()), (";", ())))),
    ],
)
def test_what_newick_means(source: str, expected: Any) -> None:
    assert parsed(source) == expected


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("", "t.nwk: is empty"),
        ("[only a comment]", "t.nwk: is empty"),
        ("(a,\nb", "t.nwk:2: ends before its ';'"),
        ("(a,b)r", "t.nwk:1: ends before its ';'"),
        ("(a,\n(b,c);", "t.nwk:1: a '(' is never closed"),
        ("(a,b));", "t.nwk:1: unexpected ')'; expected ';'"),
        ("a,b;", "t.nwk:1: unexpected ','; expected ';'"),
        ("(a,\n,b);", "t.nwk:2: a leaf without a name"),
        ("(,);", "t.nwk:1: a leaf without a name"),
        ("();", "t.nwk:1: a leaf without a name"),
        ("(a b,c);", "t.nwk:1: unexpected 'b'"),
        ("(a:,b);", "t.nwk:1: a ':' without a length"),
        ("(a:x,b);", "t.nwk:1: branch length 'x' is no number"),
        ("(a:nan,b);", "t.nwk:1: branch length 'nan' is no number"),
        ("(a:1:2,b);", "t.nwk:1: unexpected ':'"),
        ("(a,b);\n(c,d);", "t.nwk:2: goes on after ';'"),
        ("(a,'b);", "t.nwk:1: a quote is never closed"),
        ("(a,\n[b);", "t.nwk:2: a '[' is never closed"),
        ("(a],b);", "t.nwk:1: unexpected ']'"),
        ("(a(b,c));", "t.nwk:1: unexpected '('"),
        ("(a,b)(c,d);", "t.nwk:1: unexpected '('"),
    ],
)
def test_bad_newick_is_one_sentence_with_its_line(source: str, problem: str) -> None:
    with pytest.raises(HiergenError) as caught:
        parsed(source)
    assert str(caught.value).startswith(problem)


def test_a_tree_of_any_depth() -> None:
    depth = 20_000
    tree = read_newick("(" * depth + "a" + ",b)" * depth + ";", Path("t.nwk"))
    assert len(leaves(tree)) == depth + 1
    assert newick_text(tree) == "(" * depth + "a" + ",b)" * depth + ";\n"
    assert text(tree, root(tree), "id") == ""
