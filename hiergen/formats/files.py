"""Which format a file has, and reading and writing it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hiergen.errors import SpecError, nearest, quoted
from hiergen.files import read_text, write_text
from hiergen.formats import graphml, isa, labelpaths, nbdt, newick, treejson
from hiergen.formats.dag import to_tree
from hiergen.formats.tree import Tree

READ = ("nbdt", "isa", "paths", "newick", "json")
WRITE = ("newick", "graphml", "json", "nbdt", "isa", "paths")
ENDINGS = {"newick": ".nwk", "graphml": ".graphml", "json": ".json", "nbdt": ".json", "isa": ".txt", "paths": ".csv"}
_BY_ENDING = {
    **dict.fromkeys((".nwk", ".newick", ".nh", ".tre", ".tree"), "newick"),
    **dict.fromkeys((".csv", ".tsv", ".npy"), "paths"),
}


def read(path: str | Path, format: str | None = None, *, join_roots: bool = False, header: bool = False) -> Tree:
    """The tree of a file, its format by its name and beginning unless it is said (one of `READ`).

    `join_roots` puts several roots side by side; `header` leaves out the first row of label paths. Raises SpecError or
    TaxonomyError, with file and line, for a file that cannot be read or is no tree.

    >>> tree = read("pets.nwk")  # (cat,dog)pet;
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
        return labelpaths.read_path_array(file)
    text = read_text(file)
    kind = format or _guess(file, text)
    if kind == "paths":
        return labelpaths.read_paths(text, file, header=header)
    readers: dict[str, Callable[[str, Path], Tree]] = {
        "nbdt": nbdt.read_nbdt,
        "isa": isa.read_isa,
        "newick": newick.read_newick,
        "json": treejson.read_tree_json,
    }
    return readers[kind](text, file)


def written(tree: Tree, format: str, *, mark: str = ",") -> str:
    """The text of a tree in one of the formats `WRITE`."""
    check(format, WRITE)
    if format == "paths":
        return labelpaths.paths_text(tree, mark)
    writers: dict[str, Callable[[Tree], str]] = {
        "newick": newick.newick_text,
        "graphml": graphml.graphml_text,
        "json": treejson.tree_json,
        "nbdt": nbdt.nbdt_text,
        "isa": isa.isa_text,
    }
    return writers[format](tree)


def write(tree: Tree, path: str | Path, format: str) -> None:
    """Write a tree. Raises OutputError where the file cannot be written, TaxonomyError for a tree that the format
    cannot hold."""
    write_text(Path(path), written(tree, format, mark="\t" if str(path).endswith(".tsv") else ","))


def check(format: str | None, known: tuple[str, ...]) -> None:
    """Raises SpecError for a format that is not one of these."""
    if format is not None and format not in known:
        raise SpecError(
            f"no format {quoted(format)}", expected=f"one of {', '.join(known)}", nearest=nearest(format, known)
        )


def _guess(path: Path, text: str) -> str:
    start = text.lstrip()[:1]
    ending = path.suffix.lower()
    if ending in _BY_ENDING:
        return _BY_ENDING[ending]
    if start == "{" or (start and ending == ".json"):
        return "json" if f'"{treejson.FORMAT}"' in text[:1000] else "nbdt"
    if start in ("(", "["):
        return "newick"
    if ending == ".txt" and start:
        return "isa"
    problem = "cannot tell its format" if start else "is empty"
    raise SpecError(problem, place=str(path), expected=f"--format {'|'.join(READ)}")
