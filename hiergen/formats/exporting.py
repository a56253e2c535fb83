"""The job of `hiergen export` on taxonomy files: a merged tree or a nesting → a file."""

from __future__ import annotations

from pathlib import Path

from hiergen.errors import OutputError, SpecError
from hiergen.formats.files import FORMATS, WRITE, check, write, written
from hiergen.formats.tree import Tree, add, new_tree
from hiergen.taxonomy import tree as classes
from hiergen.taxonomy.classes import ClassEntry
from hiergen.taxonomy.load import Taxonomy, load_taxonomy


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
    by_ending = next((name for name in WRITE if ending in FORMATS[name].endings), ending.removeprefix("."))
    kind = format or by_ending
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
        target = (target or Path()) / f"{name}{FORMATS[kind].ending}"
        if target.exists():
            raise OutputError("is there already", place=str(target), hint=f"-o {target} writes over it")
    if target.exists() and target.samefile(taxonomy):
        raise OutputError("is the taxonomy itself", place=str(target), hint="name another file with -o")
    write(tree, target, kind)
    return target, tree


def merged_tree(taxonomy: Taxonomy) -> Tree:
    """All groups of the merged tree, with who says so."""
    source = taxonomy.tree
    tree = new_tree(taxonomy.path)
    tree.graph["taxonomy"] = taxonomy.spec.name
    order = source.graph["order"]
    stack: list[tuple[str, str | None]] = [(classes.ROOT, None)]
    while stack:
        key, above = stack.pop()
        node = classes.info(source, key)
        add(tree, key, above, id=node.id, name=node.name, kind=node.kind)
        if node.synset:
            tree.nodes[key]["synset"] = node.synset
        if key in order:
            tree.nodes[key]["index"] = order[key]
            _say_synset(tree, key, taxonomy.classes[order[key]])
        if why := classes.provenance(source, key):
            tree.nodes[key]["why"] = str(why)
        stack += [(child, key) for child in reversed(list(source.succ[key]))]
    return tree


def nesting_tree(taxonomy: Taxonomy, model: str) -> Tree:
    """The groups of one model, level by level.

    Raises SpecError for a model that the file has not, TaxonomyError where the tree has too few levels.
    """
    nesting = taxonomy.nesting(model)
    tree = new_tree(taxonomy.path)
    tree.graph.update(taxonomy=taxonomy.spec.name, model=model)
    add(tree, "0", id=classes.ROOT, name=classes.ROOT, kind="root")
    for number, level in enumerate(nesting.levels, 1):
        for i, group in enumerate(level.groups):
            under = f"{number - 1}:{group.parent}" if number > 1 else "0"
            add(tree, f"{number}:{i}", under, id=group.name, name=group.name, kind="group", why=group.origin)
    for c, parent in zip(nesting.leaves, nesting.parents(nesting.depth), strict=True):
        entry = taxonomy.classes[c]
        under = f"{nesting.depth - 1}:{parent}" if nesting.levels else "0"
        add(tree, f"class:{c}", under, id=entry.id, name=entry.name, kind="class", index=c)
        _say_synset(tree, f"class:{c}", entry)
    return tree


def _say_synset(tree: Tree, key: str, entry: ClassEntry) -> None:
    """The class's synset; with ">" before it where the class is a kind of it."""
    if entry.synset:
        tree.nodes[key]["synset"] = entry.synset if entry.exact else f">{entry.synset}"
