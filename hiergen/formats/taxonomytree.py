"""A taxonomy's merged tree, or one model's nesting, as a tree that can be written to a file."""

from __future__ import annotations

from hiergen.formats.tree import Tree, add, new_tree
from hiergen.taxonomy import tree as classes
from hiergen.taxonomy.load import Taxonomy


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
    for level in range(1, nesting.levels):
        for i, (group, above) in enumerate(zip(nesting.groups[level - 1], nesting.parents(level), strict=True)):
            under = f"{level - 1}:{above}" if level > 1 else "0"
            add(tree, f"{level}:{i}", under, id=group.name, name=group.name, kind="group", why=group.origin)
    homes = nesting.parents(nesting.levels)
    for c in nesting.leaves:
        entry = taxonomy.classes[c]
        under = f"{nesting.levels - 1}:{homes[c]}" if nesting.levels > 1 else "0"
        add(tree, f"class:{c}", under, id=entry.id, name=entry.name, kind="class", index=c)
        if entry.synset:
            tree.nodes[f"class:{c}"]["synset"] = entry.synset
    return tree
