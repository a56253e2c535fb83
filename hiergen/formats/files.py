"""Which format a file has, and reading and writing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hiergen.errors import SpecError, nearest, quoted
from hiergen.files import read_text, write_text
from hiergen.formats import folders, json_trees, newick, outlines, rows
from hiergen.formats.nested_json import read_structured
from hiergen.formats.tree import Tree, to_tree


@dataclass(frozen=True)
class TreeFormat:
    """One format: `endings` of its files (the first for new ones; () where the beginning of a file tells), and how it
    is read and written (None: it is not)."""

    endings: tuple[str, ...]
    read: Callable[[str, Path], Tree] | None
    write: Callable[[Tree], str] | None
    new: str = ""

    @property
    def ending(self) -> str:
        """Of a file that is written."""
        return self.new or self.endings[0]


FORMATS = {
    "nbdt": TreeFormat((), json_trees.read_nbdt, json_trees.nbdt_text, new=".json"),
    "isa": TreeFormat((), rows.read_pairs, rows.isa_text, new=".txt"),
    "child-parent": TreeFormat((), rows.read_child_parent, None),
    "paths": TreeFormat((".csv", ".tsv", ".npy"), rows.read_paths, rows.paths_text),
    "separated": TreeFormat((), outlines.read_separated, None),
    "outline": TreeFormat((), outlines.read_outline, None),
    "grouped": TreeFormat((), outlines.read_grouped, None),
    "names": TreeFormat((), outlines.read_names, None),
    "newick": TreeFormat((".nwk", ".newick", ".nh", ".tre", ".tree"), newick.read_newick, newick.newick_text),
    "json": TreeFormat((), json_trees.read_tree_json, json_trees.tree_json, new=".json"),
    "nested": TreeFormat((".json", ".yaml", ".yml"), read_structured, None),
    "graphml": TreeFormat((".graphml",), None, newick.graphml_text),
}
READ = tuple(name for name, kind in FORMATS.items() if kind.read)
WRITE = tuple(name for name, kind in FORMATS.items() if kind.write)


def read(path: str | Path, format: str | None = None, *, join_roots: bool = False, header: bool | None = None) -> Tree:
    """The tree of a file, its format by its name and beginning unless it is said (one of `READ`).

    `join_roots` puts several roots side by side; `header` says whether a table's first row names its columns (None: as
    it looks). A folder is one of images: folders in folders are groups. Raises SpecError or
    TaxonomyError, with file and line, for a file that cannot be read or is no tree.

    >>> _ = Path("pets.nwk").write_text("(cat,dog)pet;")
    >>> tree = read("pets.nwk")
    >>> [tree.nodes[key]["id"] for key in tree]
    ['pet', 'cat', 'dog']
    """
    return to_tree(read_graph(path, format, header=header), join_roots=join_roots)


def read_graph(
    path: str | Path, format: str | None = None, *, header: bool | None = None, columns: Sequence[str] = ()
) -> Tree:
    """As `read`, before several parents and roots are settled: what the file says."""
    file = Path(path)
    check(format, READ)
    if file.is_dir():
        return folders.read_folder(file)
    if file.suffix == ".npy" and format in (None, "paths"):
        if header or columns:
            raise SpecError("an array has no header", expected="--header with a table of label paths")
        if not file.is_file():
            read_text(file)  # says what is wrong with it
        return rows.read_path_array(file)
    text = read_text(file)
    kind = format or _guess(file, text)
    if (header or columns) and kind != "paths":
        raise SpecError(f"{kind} has no header", expected="--header with a table of label paths")
    if kind == "paths":
        return rows.read_paths(text, file, header=header, columns=columns)
    reader = FORMATS[kind].read
    assert reader is not None
    return reader(text, file)


def written(tree: Tree, format: str, *, mark: str = ",") -> str:
    """The text of a tree in one of the formats `WRITE`."""
    check(format, WRITE)
    writer = FORMATS[format].write
    assert writer is not None
    return rows.paths_text(tree, mark) if format == "paths" else writer(tree)


def write(tree: Tree, path: str | Path, format: str) -> None:
    """Write a tree. Raises OutputError where the file cannot be written, TaxonomyError for a tree that the format
    cannot hold."""
    write_text(Path(path), written(tree, format, mark="\t" if str(path).endswith(".tsv") else ","))


def check(format: str | None, formats: tuple[str, ...]) -> None:
    """Raises SpecError for a format that is not one of these."""
    if format is not None and format not in formats:
        raise SpecError(
            f"no format {quoted(format)}", expected=f"one of {', '.join(formats)}", nearest=nearest(format, formats)
        )


def _guess(path: Path, text: str) -> str:
    start = text.lstrip()[:1]
    ending = path.suffix.lower()
    by_ending = next((name for name in READ if ending in FORMATS[name].endings), None)
    if by_ending is not None and by_ending != "nested":
        return by_ending
    if not start:
        raise SpecError("is empty", place=str(path), expected="a class tree or a list of names")
    if ending == ".json" or (start in "{[" and not _is_newick(text)):
        return _guess_json(text)
    if by_ending is not None:
        return by_ending
    return "newick" if start in ("(", "[") else _guess_lines(text)


def _guess_json(text: str) -> str:
    if f'"{json_trees.FORMAT}"' in text[:1000]:
        return "json"
    is_graph = '"links"' in text or '"edges"' in text or ('"nodes"' in text and '"parent' not in text)
    return "nbdt" if is_graph else "nested"


def _is_newick(text: str) -> bool:
    return text.rstrip().endswith(";")


def _guess_lines(text: str) -> str:
    """Of a file of lines: by what stands in all of them."""
    lines = [line.strip() for _, line in outlines.lines_of(text)]
    if all("\t" in line for line in lines):
        return "isa"
    if outlines.is_outline(text):
        return "outline"
    if outlines.is_grouped(text):
        return "grouped"
    if outlines.mark_of(text):
        return "separated"
    if all("," in line for line in lines):
        counts = {line.count(",") for line in lines}
        return "isa" if counts == {1} else "paths"
    words = [line.split() for line in lines]
    if all(len(pair) == 2 for pair in words) and _are_pairs([(a, b) for a, b in words]):
        return "isa"
    return "names"


def _are_pairs(words: list[tuple[str, str]]) -> bool:
    """Whether pairs of words are edges, and no names of two words: one end is nearly always another, the other is one
    of few."""
    first, second = [a for a, _ in words], [b for _, b in words]
    if 2 * len(set(first) - set(second)) <= len(set(first)) and set(first) & set(second):  # edges go on from edges
        return True
    for inner, outer in ((second, first), (first, second)):
        if len(set(inner)) > 0.95 * len(words) - 1 and 2 * len(set(outer)) <= len(words) + 1:
            return True
    return False
