"""The job of `hiergen export` on taxonomy files: a merged tree or a nesting → a file."""

from __future__ import annotations

from pathlib import Path

from hiergen.errors import OutputError, SpecError
from hiergen.formats.files import ENDINGS, WRITE, check, write, written
from hiergen.formats.taxonomytree import merged_tree, nesting_tree
from hiergen.formats.tree import Tree
from hiergen.taxonomy.load import load_taxonomy


def export_tree(
    taxonomy: str | Path,
    path: str | Path | None = None,
    *,
    format: str | None = None,
    model: str | None = None,
) -> tuple[Path, Tree]:
    """Write the merged tree of a taxonomy file, or the nesting of one of its models; gives the file and the tree.

    `format` may be left out where the path's ending says it; without a path the file is called as the taxonomy (and the
    model), in this folder, and replaces none that is there; the path "-" is standard output. Raises HiergenError as
    `load_taxonomy` does, and for a format or path that cannot be.
    """
    target = None if path is None else Path(path)
    ending = target.suffix.lower() if target is not None and not target.is_dir() else ""
    kind = format or {".nwk": "newick", ".newick": "newick", ".tre": "newick"}.get(ending, ending.removeprefix("."))
    kind = "paths" if format is None and ending in {".csv", ".tsv"} else kind
    if not kind:
        raise SpecError("no format given", expected=f"--format {'|'.join(WRITE)}, or a file that ends in one")
    check(kind, WRITE)
    loaded = load_taxonomy(taxonomy)
    tree = merged_tree(loaded) if model is None else nesting_tree(loaded, model)
    if target == Path("-"):
        print(written(tree, kind), end="")
        return target, tree
    if target is None or target.is_dir() or not target.suffix:
        name = loaded.spec.name if model is None else f"{loaded.spec.name}-{model}"
        target = (target or Path()) / f"{name}{ENDINGS[kind]}"
        if target.exists():
            raise OutputError("is there already", place=str(target), hint=f"-o {target} writes over it")
    if target.exists() and target.samefile(taxonomy):
        raise OutputError("is the taxonomy itself", place=str(target), hint="name another file with -o")
    write(tree, target, kind)
    return target, tree
