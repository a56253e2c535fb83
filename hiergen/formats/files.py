"""Which format a file has, and reading and writing it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hiergen.errors import SpecError, nearest, quoted
from hiergen.files import read_text, write_text
from hiergen.formats import json_trees, newick, rows
from hiergen.formats.tree import Tree, to_tree


@dataclass(frozen=True)
class TreeFormat:
    """One format: `endings` of its files (the first for new ones; () where the beginning of a file tells), and how it
    is read and written (None: it is not)."""

    endings: tuple[str, ...]
    read: Callable[[str, Path], Tree] | None
    write: Callable[[Tree], str]
    new: str = ""

    @property
    def ending(self) -> str:
        """Of a file that is written."""
        return self.new or self.endings[0]


FORMATS = {
    "nbdt": TreeFormat((), json_trees.read_nbdt, json_trees.nbdt_text, new=".json"),
    "isa": TreeFormat((), rows.read_isa, rows.isa_text, new=".txt"),
    "paths": TreeFormat((".csv", ".tsv", ".npy"), rows.read_paths, rows.paths_text),
    "newick": TreeFormat((".nwk", ".newick", ".nh", ".tre", ".tree"), newick.read_newick, newick.newick_text),
    "json": TreeFormat((), json_trees.read_tree_json, json_trees.tree_json, new=".json"),
    "graphml": TreeFormat((".graphml",), None, newick.graphml_text),
}
READ = tuple(name for name, kind in FORMATS.items() if kind.read)
WRITE = tuple(FORMATS)


def read(path: str | Path, format: str | None = None, *, join_roots: bool = False, header: bool = False) -> Tree:
    """The tree of a file, its format by its name and beginning unless it is said (one of `READ`).

    `join_roots` puts several roots side by side; `header` leaves out the first row of label paths. Raises SpecError or
    TaxonomyError, with file and line, for a file that cannot be read or is no tree.

    >>> _ = Path("pets.nwk").write_text("(cat,dog)pet;")
    >>> tree = read("pets.nwk")
    >>> [tree.nodes[key]["id"] for key in tree]
    ['pet', 'cat', 'dog']
    """
    return to_tree(read_graph(path, format, header=header), join_roots=join_roots)


def read_graph(path: str | Path, format: str | None = None, *, header: bool = False) -> Tree:
    """As `read`, before several parents and roots are settled: what the file says."""
    file = Path(path)
    check(format, READ)
    if header and (format not in (None, "paths") or file.suffix == ".npy"):
        kind = "an array" if file.suffix == ".npy" else format
        raise SpecError(f"{kind} has no header", expected="--header with a table of label paths")
    if file.suffix == ".npy" and format in (None, "paths"):
        if not file.is_file():
            read_text(file)  # says what is wrong with it
        return rows.read_path_array(file)
    text = read_text(file)
    kind = format or _guess(file, text)
    reader = partial(rows.read_paths, header=header) if kind == "paths" else FORMATS[kind].read
    assert reader is not None
    return reader(text, file)


def written(tree: Tree, format: str, *, mark: str = ",") -> str:
    """The text of a tree in one of the formats `WRITE`."""
    check(format, WRITE)
    return rows.paths_text(tree, mark) if format == "paths" else FORMATS[format].write(tree)


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
    if by_ending is not None:
        return by_ending
    if start == "{" or (start and ending == ".json"):
        return "json" if f'"{json_trees.FORMAT}"' in text[:1000] else "nbdt"
    if start in ("(", "["):
        return "newick"
    if ending == ".txt" and start:
        return "isa"
    problem = "cannot tell its format" if start else "is empty"
    raise SpecError(problem, place=str(path), expected=f"--format {'|'.join(READ)}")
