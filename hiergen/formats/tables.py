"""Tables of labels: one row a class, its columns the way from the root to it; what else a table may be is recognised.

A header by its words, or because its first cell is empty (pandas' index); an index column by its running numbers;
one-hot columns by 0 and 1; columns from the leaf to the root by their names or numbers of values. Each such decision is
a note. Cells that are empty, NaN or None are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from hiergen.errors import SpecError, TaxonomyError, listed, nearest, quoted
from hiergen.formats.tree import Tree, add, new_tree, text

Row = tuple[str, list[str]]  # "file:line" and the cells

TOP = "0"
_NULLS = {"NaN", "nan", "None", "NULL", "<NA>"}  # empty, in columns with other empty cells
# columns of a class tree by their rank from the root
_RANKS = (
    ("domain", "superkingdom", "root"),
    ("kingdom",),
    ("phylum", "division"),
    ("superclass", "supercategory", "coarse", "coarse label", "category group", "oberklasse", "superclass name"),
    ("level 0", "level0", "level 1", "level1", "manufacturer", "make"),
    ("class", "klasse"),
    ("order", "level 2", "level2", "ordnung"),
    ("family", "level 3", "level3", "familie"),
    ("subfamily", "tribe"),
    ("genus", "gattung"),
    ("category", "group", "type", "kategorie", "gruppe", "supercategory name"),
    ("subcategory", "subclass", "subgroup", "model", "unterklasse"),
    ("species", "variant", "art"),
    ("name", "label", "class name", "fine", "fine label", "leaf", "title", "breed", "sign name", "scientific name"),
    ("common name",),
)
_RANK = {word: rank for rank, words in enumerate(_RANKS) for word in words}
_NUMBERS = {"id", "index", "idx", "no", "nr", "number", "#", "unnamed: 0", "count", "anzahl", "target", ""}
_ASIDE = {"description", "image", "img", "file", "filename", "path", "url", "fold", "split", "train", "val", "src file"}
_TAXONOMIC = {"kingdom", "phylum", "order", "family", "genus", "species"}


def _word(head: str) -> str:
    """ "ClassId", "class_id" and "Class ID" are "class id"."""
    return re.sub(r"[\s_-]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", head)).strip().lower()


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[-+]?[0-9]+([.,][0-9]+)?%?", cell) is not None


@dataclass
class _Table:
    head: list[str]  # "" where there is no header
    rows: list[Row]
    notes: list[str]

    def column(self, i: int) -> list[str]:
        return [row[i] if i < len(row) else "" for _, row in self.rows]

    def keep(self, columns: Sequence[int]) -> None:
        self.head = [self.head[i] for i in columns]
        self.rows = [(place, [row[i] if i < len(row) else "" for i in columns]) for place, row in self.rows]


def read_table(rows: Iterable[Row], path: Path, *, header: bool | None = None, columns: Sequence[str] = ()) -> Tree:
    """The tree of a table; its root has no name.

    `header` says whether the first row names the columns (None: as it looks), `columns` which of them to take, from the
    root to the classes. Raises SpecError for columns that are not there, TaxonomyError for a table that is empty or
    one-hot with rows in several columns.
    """
    table = _read(rows, path, True if columns else header)
    words = [_word(name) for name in table.head]
    if not columns and (edges := _edge_columns(words)):
        return _edges(table, words, edges, path)
    if columns:
        _choose(table, columns, path)
        return _tree(table, path)
    _drop_numbers(table)
    _one_hot(table, path)
    _order(table)
    tree = _tree(table, path)
    if len(table.head) == 1 and table.head[0]:
        tree.graph["format"] = "names"  # a list, which says nothing of groups
    return tree


def _read(rows: Iterable[Row], path: Path, header: bool | None) -> _Table:
    cells = [(place, [cell.strip() for cell in row]) for place, row in rows]
    width = max((len(row) for _, row in cells), default=0)
    holes = {i for _, row in cells for i in range(width) if any(row) and (i >= len(row) or not row[i])}
    nulls = sorted({cell for _, row in cells for i, cell in enumerate(row) if i in holes and cell in _NULLS})
    kept = [(place, ["" if i in holes and c in _NULLS else c for i, c in enumerate(row)]) for place, row in cells]
    kept = [(place, row) for place, row in kept if any(row)]
    if not kept:
        raise TaxonomyError("is empty", place=str(path), expected="rows of labels, from the root to a class")
    notes = [f"cells {listed(nulls)} count as empty"] if nulls else []
    if header or (header is None and _is_header(kept)):
        head = kept.pop(0)[1]
        if header is None:
            notes.append(f"the first row is taken for names of columns: {listed(filter(None, head))}")
        return _Table(head + [""] * (width - len(head)), kept, notes)
    return _Table([""] * width, kept, notes)


def _is_header(rows: list[Row]) -> bool:
    """The first row names columns: no cell is a label further down, and some are words for columns, or text above
    numbers."""
    first = rows[0][1]
    words = [_word(cell) for cell in first]
    if len(rows) < 2 or len(set(words)) < len(words) or any(map(_is_number, filter(None, first))):
        return False
    below = {cell.lower() for _, row in rows[1:] for cell in row}
    if {cell.lower() for cell in first if cell} & below:
        return False
    named = any(word in _RANK or word in _ASIDE or word.endswith(" id") or word == "parent" for word in words)
    columns = ([row[i] for _, row in rows[1:] if i < len(row) and row[i]] for i in range(len(first)))
    return named or any(cells and all(map(_is_number, cells)) for cells in columns)


def _edge_columns(words: Sequence[str]) -> tuple[int, int] | None:
    """The columns of a node and of its parent."""
    above = next((i for i, word in enumerate(words) if word in ("parent", "parent id", "parent name")), None)
    below = next((i for w in ("child", "id", "name", "label") for i, word in enumerate(words) if word == w), None)
    return None if above is None or below is None else (below, above)


def _edges(table: _Table, words: Sequence[str], columns: tuple[int, int], path: Path) -> Tree:
    """The graph of a table with a row for each node and its parent."""
    below, above = columns
    graph = new_tree(path, "isa")
    graph.graph["forest"] = True
    name = next((i for w in ("name", "label") for i, word in enumerate(words) if word == w), below)
    for place, row in table.rows:
        cells = [*row, *[""] * (len(words) - len(row))]
        if cells[below]:
            graph.add_node(cells[below], id=cells[name] or cells[below], name="", place=place)
    for place, row in table.rows:
        cells = [*row, *[""] * (len(words) - len(row))]
        if cells[above] and cells[below]:
            if cells[above] not in graph:
                graph.add_node(cells[above], id=cells[above], name="", place=place)
            graph.add_edge(cells[above], cells[below])
    return graph


def _choose(table: _Table, columns: Sequence[str], path: Path) -> None:
    places = {name.lower(): i for i, name in enumerate(table.head)}
    for name in columns:
        if name.lower() not in places:
            raise SpecError(
                f"no column {quoted(name)}",
                place=str(path),
                expected=f"--columns of {', '.join(filter(None, table.head))}",
                nearest=nearest(name, table.head),
            )
    table.keep([places[name.lower()] for name in columns])


def _drop_numbers(table: _Table) -> None:
    """Columns that number or describe the rows, and say nothing of a tree."""
    aside: list[str] = []
    kept: list[int] = []
    named = any(table.head)
    flags = [i for i in range(1, len(table.head)) if set(table.column(i)) <= {"0", "1", ""} and table.head[i]]
    for i, head in enumerate(table.head):
        cells, word = [cell for cell in table.column(i) if cell], _word(head)
        numbers = bool(cells) and all(map(_is_number, cells))
        whole = numbers and all(cell.isdecimal() and len(cell) < 16 for cell in cells) and len(cells) == len(table.rows)
        running = whole and [int(c) for c in cells] == list(range(int(cells[0]), int(cells[0]) + len(cells)))
        unique = len(set(cells)) == len(table.rows) > 1
        says_nothing = word in _ASIDE or (word == "id" and unique) or (numbers and word not in _RANK)
        if (running and i == 0) or (named and says_nothing and not (i in flags and len(flags) > 1)):
            aside.append(head or f"column {i + 1}")
        else:
            kept.append(i)
    if kept and aside:
        table.notes.append(f"left out, as they say nothing of groups: columns {listed(aside)}; --columns takes them")
        table.keep(kept)


def _one_hot(table: _Table, path: Path) -> None:
    """Columns of 0 and 1 become the name of the column with the 1."""
    flags = [i for i in range(1, len(table.head)) if set(table.column(i)) <= {"0", "1", ""} and table.head[i]]
    if len(flags) < 2 or not any("1" in table.column(i) for i in flags):
        return
    labels = [i for i in range(len(table.head)) if i not in flags]
    rows = []
    for place, row in table.rows:
        groups = [table.head[i] for i in flags if i < len(row) and row[i] == "1"]
        if len(groups) > 1:
            raise TaxonomyError(
                f"{quoted(row[labels[0]])} is in {len(groups)} columns: {listed(groups)}",
                place=place,
                expected="one: a tree has each class once",
            )
        rows.append((place, [*groups, *(row[i] for i in labels if i < len(row))]))
    table.notes.append(f"columns {listed(table.head[i] for i in flags)} of 0 and 1 are groups")
    table.head, table.rows = ["group", *(table.head[i] for i in labels)], rows


def _order(table: _Table) -> None:
    """From the root to the classes: as they stand where that is a tree that widens, else by the columns' names, without
    them by their numbers of values."""
    width = len(table.head)
    words = [_word(name) for name in table.head]
    if any(words) and any(word in _RANK for word in words) and not all(word in _RANK for word in words):
        kept = [i for i, word in enumerate(words) if word in _RANK]
        aside = listed(name for name, word in zip(table.head, words, strict=True) if word not in _RANK)
        table.notes.append(f"columns of unknown names are left out: {aside}; --columns takes them")
        table.keep(kept)
        width, words = len(kept), [words[i] for i in kept]
    if width > 1 and all(word in _RANK for word in words):
        ranks = dict(_RANK)
        if not _TAXONOMIC & set(words):  # a class is what is classified where it is no rank of biology
            ranks.update({"class": len(_RANKS), "klasse": len(_RANKS)})
        order = sorted(range(width), key=lambda i: ranks[words[i]])
    elif width > 1 and not any(words) and _is_reversed(table):
        order = list(range(width))[::-1]
    else:
        return
    if order != list(range(width)) and not _widens(table):
        names = " > ".join(table.head[i] or f"column {i + 1}" for i in order)
        table.notes.append(f"columns are read from the root to the classes: {names}")
        table.keep(order)


def _widens(table: _Table) -> bool:
    """Whether each column has more values than the one before it, each beside one value of that."""
    columns = [table.column(i) for i in range(len(table.head))]
    counts = [len(set(column)) for column in columns]
    within = all(len(set(zip(a, b, strict=True))) == len(set(b)) for a, b in pairwise(columns))
    return within and all(a <= b for a, b in pairwise(counts)) and counts[0] < counts[-1]


def _is_reversed(table: _Table) -> bool:
    """Every column has fewer values than the one before it, and each of its values stands beside several of that."""
    counts = [len({cell for cell in table.column(i) if cell}) for i in range(len(table.head))]
    if not all(a > b > 0 for a, b in pairwise(counts)):
        return False
    pairs = ((table.column(i), table.column(i + 1)) for i in range(len(counts) - 1))
    return all(len(set(zip(inner, outer, strict=True))) == len(set(inner)) for inner, outer in pairs)


def _tree(table: _Table, path: Path) -> Tree:
    tree = new_tree(path, "paths")
    tree.graph["notes"] += table.notes
    add(tree, TOP, place=f"{path}:1")
    below: dict[tuple[str, str], str] = {}
    ends: dict[str, str] = {}
    holes = 0
    for place, row in table.rows:
        labels = [cell for cell in row if cell]
        holes += "" in row[: len(row) - next((i for i, cell in enumerate(reversed(row)) if cell), 0)]
        key = TOP
        for label in labels:
            if (key, label) not in below:
                below[key, label] = add(tree, str(len(below) + 1), key, id=label, place=place)
            key = below[key, label]
        ends.setdefault(key, place)
    if holes:
        tree.graph["notes"].append(f"empty cells before a label are skipped, in {holes} row{'s' * (holes != 1)}")
    short = [key for key in ends if key != TOP and tree.succ[key]]
    tree.graph["notes"] += [f"a row ends at {quoted(text(tree, k, 'id'))}, which has more below it" for k in short]
    return tree
