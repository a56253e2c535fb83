"""A tree of classes that nestings may have to be consistent with: only merges and cuts of its groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hiergen.taxonomy.load import Taxonomy


@dataclass(frozen=True)
class ClassTree:
    """`children[v]` are the children of node v, `leaf[v]` is its class index or -1; node 0 is the root, and children
    come after their parents. `classes`: how many. Nodes have classes below them; single children are allowed."""

    name: str
    children: tuple[tuple[int, ...], ...]
    leaf: tuple[int, ...]

    @property
    def classes(self) -> int:
        return sum(c >= 0 for c in self.leaf)


def class_tree(taxonomy: Taxonomy, classes: Sequence[str] | None = None) -> ClassTree:
    """The merged tree of a taxonomy file, over its classes in logit order, or in the order of these ids.

    Raises TaxonomyError, with the difference, where the ids are others than the file's.
    """
    from hiergen.errors import TaxonomyError, listed
    from hiergen.taxonomy.tree import ROOT

    ids = [c.id for c in taxonomy.classes]
    place = {c: i for i, c in enumerate(ids if classes is None else classes)}
    if set(ids) != set(place):
        lacks, more = sorted(set(place) - set(ids)), sorted(set(ids) - set(place))
        parts = [f"{len(lacks)} not in it ({listed(lacks)})"] if lacks else []
        parts += [f"{len(more)} only in it ({listed(more)})"] if more else []
        raise TaxonomyError(f"is over other classes: {'; '.join(parts)}", place=str(taxonomy.path))
    tree = taxonomy.tree
    order: dict[str, int] = tree.graph["order"]
    keys = [ROOT]
    for key in keys:  # grows while it is read: breadth first
        keys.extend(tree.succ[key])
    number = {key: i for i, key in enumerate(keys)}
    children = tuple(tuple(number[child] for child in tree.succ[key]) for key in keys)
    return ClassTree(
        str(taxonomy.path), children, tuple(place[ids[order[key]]] if key in order else -1 for key in keys)
    )
