"""Sources, strongest first, merged into one tree: a weaker source decides only what the stronger ones left open.

What is left open is a node with several children. There the weaker source refines: each child stands, whole, at the
lowest node of the weaker tree that covers those of its classes that the weaker source knows, and the weaker nodes that
gather two or more children become groups between the node and them. A stronger group is never torn; a weaker group
that straddles one is recorded as a conflict, and what is left of it outside still counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from hiergen.taxonomy.classes import ClassEntry
from hiergen.taxonomy.sources import SourceTree
from hiergen.taxonomy.tree import (
    ROOT,
    Conflict,
    Node,
    Provenance,
    Tree,
    ancestors,
    bottom_up,
    class_key,
    class_sizes,
    contract,
    depths,
    info,
    leaves,
    new_tree,
    parent,
    provenance,
    sort_children,
)

_NEARLY_ALL = 0.75
TWIN = "\0"  # one weak node under several strong ones gets several keys; no name of a user contains a NUL


@dataclass(frozen=True)
class Merged:
    """`tree`: contracted, every class exactly once. `unplaced`: ids of classes no source knows (under the root)."""

    tree: Tree
    conflicts: tuple[Conflict, ...]
    unplaced: tuple[str, ...]


def merge(classes: tuple[ClassEntry, ...], sources: list[SourceTree]) -> Merged:
    """Merge source trees (strongest first) over the given classes; conflicts come in the order they arose."""
    tree = new_tree({class_key(c.id): i for i, c in enumerate(classes)})
    for entry in classes:
        tree.add_node(class_key(entry.id), info=Node("class", entry.id, entry.name, entry.synset))
        tree.add_edge(ROOT, class_key(entry.id), why=Provenance("classes", entry.place))
    conflicts: list[Conflict] = []
    placed: set[str] = set()
    for source in sources:
        refiner = _Refiner(tree, source)
        tree = contract(refiner.run())
        conflicts += refiner.conflicts
        placed.update(leaves(source.tree))
    unplaced = tuple(c.id for c in classes if class_key(c.id) not in placed)
    return Merged(_beside_unplaced(tree, unplaced), tuple(conflicts), unplaced)


def _beside_unplaced(tree: Tree, unplaced: tuple[str, ...]) -> Tree:
    """Where classes that no source knows stand beside a group of nearly all others, it says nothing: its children stand
    beside them."""
    while unplaced:
        sizes = class_sizes(tree)
        group = max(tree.succ[ROOT], key=sizes.__getitem__)
        if sizes[group] < _NEARLY_ALL * (sizes[ROOT] - len(unplaced)) or group.startswith("group:"):
            break
        if not tree.succ[group]:
            break
        tree = tree.copy()
        for child in list(tree.succ[group]):
            tree.add_edge(ROOT, child, **tree.edges[group, child])
        tree.remove_node(group)
        tree = sort_children(tree)
    return tree


class _Refiner:
    """One weaker source refines one stronger tree."""

    def __init__(self, strong: Tree, source: SourceTree) -> None:
        self._strong = strong
        self._weak = source.tree
        self._name = source.name
        self._weak_depth = depths(self._weak)
        self._weak_size = class_sizes(self._weak)
        self._spot = self._spots()
        self._shared: dict[str, int] = {}  # strong node → its classes that the weak source knows
        for node in bottom_up(strong):
            below = sum(self._shared[child] for child in strong.succ[node])
            self._shared[node] = below + (node in strong.graph["order"] and node in source.tree)
        self._weak_key: dict[str, str] = {}  # inserted group → the weak node that it stands for
        self.conflicts: list[Conflict] = []

    def run(self) -> Tree:
        done = self._strong.copy()
        for node in bottom_up(self._strong):
            children = list(self._strong.succ[node])
            if len(children) > 1:
                self._refine(done, node, children)
            if node != ROOT and children:
                self._report_straddling(node)
        self.conflicts.sort(key=lambda c: (c.kept, c.lost, c.classes))
        return done

    def _spots(self) -> dict[str, str | None]:
        """Strong node → the lowest weak node that covers those of its classes which the weak source knows."""
        spot: dict[str, str | None] = {}
        for node in bottom_up(self._strong):
            if node in self._strong.graph["order"]:
                spot[node] = node if node in self._weak else None
                continue
            spots = [s for child in self._strong.succ[node] if (s := spot[child]) is not None]
            lowest = spots[0] if spots else None
            for other in spots[1:]:
                lowest = self._meet(lowest, other)
            spot[node] = lowest
        return spot

    def _meet(self, a: str | None, b: str | None) -> str:
        """Lowest common ancestor in the weak tree."""
        while a != b:
            assert a is not None
            assert b is not None
            if self._weak_depth[a] >= self._weak_depth[b]:
                a = parent(self._weak, a)
            else:
                b = parent(self._weak, b)
        assert a is not None
        return a

    def _refine(self, done: Tree, node: str, children: list[str]) -> None:
        """Put the weak nodes that gather several of `children` between `node` and them."""
        here: dict[str, list[str]] = {}  # weak node → strong children that stand at it
        below: dict[str, set[str]] = {}  # weak node → weak nodes below it on the way to some child
        for child in children:
            spot = self._spot[child]
            if spot is None:
                continue
            here.setdefault(spot, []).append(child)
            self._mark(spot, below)
        if not here:
            return
        top = self._gather(done, ROOT, here, below)
        unknown = [c for c in children if self._spot[c] is None]
        if not unknown and len(top) == 1 and top[0] not in self._strong:
            group = top[0]  # gathers all of them: says no more than `node` does
            top = list(done.succ[group])
            done.remove_node(group)
        stay = set(top)
        for child in children:
            if self._spot[child] is not None and child not in stay:
                done.remove_edge(node, child)
        for child in top:
            if child not in self._strong or done.edges[node, child]["why"].source == "classes":
                done.add_edge(node, child, why=self._why(child))

    def _mark(self, spot: str, below: dict[str, set[str]]) -> None:
        for higher in ancestors(self._weak, spot):
            above = parent(self._weak, higher)
            if above is None:
                return
            marked = below.setdefault(above, set())
            if higher in marked:
                return
            marked.add(higher)

    def _gather(self, done: Tree, top: str, here: dict[str, list[str]], below: dict[str, set[str]]) -> list[str]:
        """The items that remain directly below `top`'s parent: bottom-up over the marked weak nodes."""
        order, stack = [], [top]
        while stack:
            current = stack.pop()
            order.append(current)
            stack.extend(sorted(below.get(current, ())))
        items: dict[str, list[str]] = {}
        for current in reversed(order):
            inside = [*here.get(current, []), *(i for b in sorted(below.get(current, ())) for i in items[b])]
            if len(inside) > 1 and current != ROOT and current not in self._weak.graph["order"]:
                inside = [self._insert(done, current, inside)]
            items[current] = inside
        return items[top]

    def _insert(self, done: Tree, weak_node: str, inside: list[str]) -> str:
        """Add a group for `weak_node` above `inside`. One weak node may serve under several strong ones."""
        key = weak_node
        while key in done or key in self._strong:
            key += TWIN
        self._weak_key[key] = weak_node
        done.add_node(key, info=info(self._weak, weak_node))
        for item in inside:
            why = self._why(item) if item not in self._strong else Provenance(self._name, self._place(weak_node, item))
            done.add_edge(key, item, why=why)
        return key

    def _place(self, weak_node: str, item: str) -> str:
        why = provenance(self._weak, item) if item in self._weak else provenance(self._weak, weak_node)
        return why.place if why else ""

    def _why(self, item: str) -> Provenance:
        weak_node = self._weak_key.get(item, item)
        why = provenance(self._weak, weak_node) if weak_node in self._weak else None
        return why or Provenance(self._name, "")

    def _report_straddling(self, node: str) -> None:
        """Weak groups that hold some of `node`'s classes, not all of them, and others besides."""
        spot = self._spot[node]
        if spot is None or self._shared[node] == self._weak_size[spot]:  # a class, or all that is below `spot`
            return
        torn: dict[str, list[str]] = {}
        for key in leaves(self._strong, node):
            if key in self._weak:
                for weak_node in ancestors(self._weak, parent(self._weak, key) or ROOT):
                    if weak_node == spot:
                        break
                    torn.setdefault(weak_node, []).append(key)
        for weak_node, keys in sorted(torn.items()):
            if len(keys) == self._weak_size[weak_node]:
                continue
            strong_why = provenance(self._strong, node)
            self.conflicts.append(
                Conflict(
                    kind="overlap",
                    subject=info(self._strong, node).name,
                    kept=info(self._strong, node).name,
                    kept_by=str(strong_why),
                    lost=info(self._weak, weak_node).name,
                    lost_by=str(provenance(self._weak, weak_node)),
                    rule="the stronger source wins",
                    classes=tuple(info(self._weak, k).id for k in keys),
                )
            )
