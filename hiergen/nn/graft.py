"""Networks put together from branches of others, and classes taken out for good: what only separate branches allow."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from hiergen.errors import HiergenError, quoted
from hiergen.lookup.select import ClassSelection
from hiergen.nn.cutout import Memo, added_to, begin_part, copied_onto, prove, retyped, tensors_of
from hiergen.nn.generalist import Form, Generalist
from hiergen.nn.heads import ClassHeads, Gather
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.siblings import Siblings
from hiergen.taxonomy.nesting import Group, Level, Nesting, leaves_of

ALL = "all classes"  # the name of a branch that they share


@dataclass(frozen=True)
class ClassPart:
    """A class of a network that is put together: its `id` and `label`, the `groups` above it from the top down, and
    where its weights come from: class `index` of `network`, with the branches above."""

    id: str
    label: str
    synset: str | None
    groups: tuple[str, ...]
    network: HierarchicalNetwork
    index: int

    @classmethod
    def of(cls, network: HierarchicalNetwork, index: int) -> ClassPart:
        """A class as it is in a network."""
        nesting = network.nesting
        branch, names = nesting.above(nesting.depth)[index], tuple[str, ...]()
        if nesting.depth > 1:
            names = nesting.path(nesting.depth - 1, branch)
        return cls(nesting.classes[index], nesting.labels[index], nesting.synsets[index], names, network, index)

    @property
    def branches(self) -> tuple[int, ...]:
        """Of each level the branch that its logit comes through."""
        found = [self.network.head.parents[self.index] if self.network.head.parents else self.index]
        for level in reversed(self.network.levels[1:]):
            found.insert(0, level.parents[found[0]] if level.parents else 0)
        return tuple(found)


def graft(networks: Sequence[HierarchicalNetwork], *, put_back: bool = False) -> HierarchicalNetwork:
    """One network of the classes of several that stand on the same trunk: copies of their branches, nothing trained.

    Each class's logit is that of the network which it comes from, to the bit in the same lowering. Classes are in the
    order of the first network, then of the next. Branches that are called the same are one where their weights are;
    else the later gets a number. Of a class that several have with other weights, `put_back` takes the last: so a
    cutout that was trained on goes back to where it was cut from.
    A branch for all classes (`generalist`, `flat`) stays where each class has its row in a tail of the same weights, or
    where the first network has all classes. The form is the first network's if it can be.
    Raises HiergenError for other trunks, levels of other shapes, and classes that differ and are not put back.

    >>> both = graft([network.cutout(["tabby", "pug"]), network.cutout("beagle")])
    >>> both.classes
    ('tabby', 'pug', 'beagle')
    """
    networks = list(networks)
    if not networks:
        raise HiergenError("no networks to put together", expected="one or more")
    if others := [other for other in networks if not isinstance(other, HierarchicalNetwork)]:
        hint = "hiergen.load_network(…) reads one from a folder"
        raise HiergenError("what is put together are networks", got=type(others[0]).__name__, hint=hint)
    first = networks[0]
    for other in networks[1:]:
        check_same(first, other)
    found: dict[str, ClassPart] = {}
    for network in networks:
        for index, name in enumerate(network.classes):
            part = ClassPart.of(network, index)
            known = found.setdefault(name, part)
            if known is not part and not put_back and not _same_class(known, part):
                raise HiergenError(
                    f"class {quoted(name)} is in two of the networks, with other weights",
                    hint="put_back (--put-back) takes the last one's",
                )
            if put_back:
                found[name] = part
    return assemble(list(found.values()), like=first)


def shrink(network: HierarchicalNetwork, classes: ClassSelection) -> HierarchicalNetwork:
    """The network without these classes, in all its forms: nothing of their rows, or of branches that only they have,
    is left in it. Logits of the others stay what they are, but in the form "both", where another group may now be the
    likeliest.

    Classes by index, id, name, group or WordNet term. Raises HiergenError for unknown classes, or all of them.

    >>> shrink(network, "dog").classes
    ('tabby', 'Persian cat')
    """
    gone = set(network.selector.classes(classes))
    if not gone or len(gone) == network.num_classes:
        raise HiergenError(
            f"{'all' if gone else 'no'} classes are to be taken out", expected=f"1 to {network.num_classes - 1} of them"
        )
    return assemble([ClassPart.of(network, i) for i in range(network.num_classes) if i not in gone], like=network)


def check_same(first: HierarchicalNetwork, other: HierarchicalNetwork) -> None:
    """Raise HiergenError unless branches of one network can stand on the other's trunk."""
    if first.head.weight.is_meta or other.head.weight.is_meta:
        raise HiergenError("a network on the meta device has no weights to compare", hint="build it on a real device")
    ours, theirs = first.trunk.state_dict(), other.trunk.state_dict()
    counted = "num_batches_tracked"  # no map depends on it
    same = ours.keys() == theirs.keys() and all(
        torch.equal(tensor, theirs[name]) for name, tensor in ours.items() if not name.endswith(counted)
    )
    if not same or tuple(first.trunk.input_size) != tuple(other.trunk.input_size):
        differs = next(
            (
                n
                for n, t in ours.items()
                if n not in theirs or (not torch.equal(t, theirs[n]) and not n.endswith(counted))
            ),
            f"input size {tuple(first.trunk.input_size)} and {tuple(other.trunk.input_size)}",
        )
        raise HiergenError(
            "the networks do not stand on the same trunk",
            got=f"a difference in {quoted(differs)}",
            hint="branches fit only the trunk that they were trained on: train both from one, frozen",
        )
    shapes = [[level.recipes for level in network.levels] for network in (first, other)]
    if shapes[0] != shapes[1]:
        at = next((j for j, (a, b) in enumerate(zip(*shapes, strict=False), 1) if a != b), None)
        what = f"level {at} has branches of other shapes" if at else "one has more levels than the other"
        raise HiergenError(
            f"the networks do not fit together: {what}",
            got=" and ".join(" → ".join(str(list(stages)) for stages in shape) for shape in shapes)[:400],
            hint="cut both in one form, from networks whose branches are spelled out alike",
        )


def assemble(parts: Sequence[ClassPart], *, like: HierarchicalNetwork) -> HierarchicalNetwork:
    """The network of these classes, in this order; what else is on it is that of the network `like`, from which the
    classes may come, or of the same trunk and shapes."""
    nesting, sources = _tree(parts, like)
    part, memo = begin_part(like, nesting)
    for number, (level, branches) in enumerate(zip(like.levels, sources, strict=True), 1):
        parents = nesting.parents(number) if number < nesting.depth else None
        if number == nesting.depth and level.parents is not None:
            parents = nesting.parents(number) if len(branches) == len(parts) else (0,) * len(branches)
        rows = [(source.levels[number - 1], branch) for source, branch in branches]
        new = _put_together(level, level.branches, rows, memo)
        new.branches = len(branches)
        new.parents = None if level.parents is None else parents
    shared = len(sources[-1]) < len(parts)
    _rewired_head(
        like.head, [(p.network.head, p.index) for p in parts], (0,) * len(parts) if shared else nesting.heads, memo
    )
    children = dict(like._modules)
    for name in ("generalist", "flat"):
        if _for_all(like, name, parts, nesting, memo) is None:
            children[name] = None
    names = nesting.names(max(nesting.depth - 1, 1))
    form = like.form
    held = {"both": "generalist"}.get(form, form)
    part.__dict__["_form"] = form if held == "specialists" or children[held] is not None else "specialists"
    part = copied_onto(like, part, children, memo, _kept(parts, like, part.form))
    for network in {id(p.network): p.network for p in parts if p.network is not like}.values():
        kept = _kept(parts, network, part.form)
        if kept[0] and (added := [*added_to(network), *added_to(like)]) and not network.head.weight.is_meta:
            prove(network, part, *kept, added)
    choice = {name: form for p in reversed(parts) for name, form in p.network.choice.items() if name in names}
    part.choice = choice if children["generalist"] is not None else {}
    return part


def _kept(parts: Sequence[ClassPart], network: HierarchicalNetwork, form: Form) -> tuple[list[int], list[int]]:
    """Which logits of the new network are those of this one, and which these are; none where the forms differ, or are
    "both", in which other groups change logits."""
    same = network.form == form != "both"
    pairs = [(i, p.index) for i, p in enumerate(parts) if p.network is network and same]
    return [i for i, _ in pairs], [index for _, index in pairs]


@dataclass
class _Node:
    """A branch of the new network: its name, where its weights come from, and the classes below. `path` are the names
    from the top down to it."""

    name: str
    path: tuple[str, ...]
    source: tuple[HierarchicalNetwork, int]
    parent: int
    classes: list[int]


def _tree(
    parts: Sequence[ClassPart], like: HierarchicalNetwork
) -> tuple[Nesting, list[list[tuple[HierarchicalNetwork, int]]]]:
    """The nesting of the classes, and for each level the sources of its branches, siblings side by side."""
    depth = len(like.levels)
    shared = like.levels[-1].branches < like.num_classes
    levels: list[list[_Node]] = [[] for _ in range(depth)]
    for c, part in enumerate(parts):
        above = 0
        names = [*part.groups, ALL if shared else part.id]
        for j, (name, branch) in enumerate(zip(names, part.branches, strict=True)):
            nodes, source = levels[j], (part.network, branch)
            siblings = {node.name: i for i, node in enumerate(nodes) if j == 0 or node.parent == above}
            at, number, title = siblings.get(name), 1, name
            while at is not None and not _same_branch(nodes[at].source, source, j):
                number += 1
                at = siblings.get(title := f"{name} {number}")
            if at is None:
                at = len(nodes)
                nodes.append(_Node(title, (*(levels[j - 1][above].path if j else ()), title), source, above, []))
            nodes[at].classes.append(c)
            above = at
    if shared and len(levels[-1]) > 1:
        raise HiergenError(
            "the networks answer all their classes by one branch each, and these differ",
            hint="cut groups' own branches (--form specialists), or cut the union out of the whole network",
        )
    before = {like.nesting.path(j, i): i for j in range(1, depth + 1) for i in range(len(like.nesting.names(j)))}
    place: list[int] = [0]
    for j, nodes in enumerate(levels):
        # siblings side by side, in the order that they had
        keys = [(place[n.parent] if j else 0, before.get(n.path, len(before)), i) for i, n in enumerate(nodes)]
        order = sorted(range(len(nodes)), key=keys.__getitem__)
        new = [replace(nodes[i], parent=place[nodes[i].parent] if j else 0) for i in order]
        place = [order.index(i) for i in range(len(nodes))]
        levels[j] = new
    groups = [
        Level(tuple(Group(node.name, node.parent, tuple(node.classes)) for node in nodes)) for nodes in levels[:-1]
    ]
    leaves = tuple(range(len(parts))) if shared else tuple(node.classes[0] for node in levels[-1])
    nesting = Nesting(
        classes=tuple(p.id for p in parts),
        labels=tuple(p.label for p in parts),
        synsets=tuple(p.synset for p in parts),
        levels=tuple(groups),
        leaves=leaves_of(groups, len(parts)) if shared and groups else leaves,
        name=like.nesting.name,
        groups=_named_groups(parts, {group.name for level in groups for group in level.groups}),
    )
    return nesting, [[node.source for node in nodes] for nodes in levels]


def _named_groups(parts: Sequence[ClassPart], taken: set[str]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Sets of classes that are named in the networks and no branches."""
    found: dict[str, list[int]] = {}
    inside: dict[int, dict[int, list[str]]] = {}
    for c, part in enumerate(parts):
        if id(part.network) not in inside:
            names = inside[id(part.network)] = {}
            for name, classes in part.network.nesting.groups:
                for index in classes:
                    names.setdefault(index, []).append(name)
        for name in inside[id(part.network)].get(part.index, ()):
            found.setdefault(name, []).append(c)
    return tuple((name, tuple(classes)) for name, classes in found.items() if name not in taken)


def _same_branch(a: tuple[HierarchicalNetwork, int], b: tuple[HierarchicalNetwork, int], level: int) -> bool:
    if a == b:
        return True
    pair = [(network.levels[level], branch) for network, branch in (a, b)]
    return _same_rows(*((dict(tensors_of(module)), branch, module.branches) for module, branch in pair))


def _same_class(a: ClassPart, b: ClassPart) -> bool:
    """Whether two networks give this class the same logit."""
    if a.groups != b.groups or not _same_rows(
        *((dict(tensors_of(p.network.head)), p.index, p.network.head.classes) for p in (a, b))
    ):
        return False
    pairs = zip(a.branches, b.branches, strict=True)
    return all(_same_branch((a.network, x), (b.network, y), level) for level, (x, y) in enumerate(pairs))


def _same_rows(a: tuple[Mapping[str, Tensor], int, int], b: tuple[Mapping[str, Tensor], int, int]) -> bool:
    (ours, row, count), (theirs, other, total) = a, b
    # no logit depends on batch counters; which branch a row reads is compared as such, and not all heads keep it
    names, others = (
        [name for name in tensors if not name.endswith(("num_batches_tracked", "index"))] for tensors in (ours, theirs)
    )
    if set(names) != set(others):
        return False
    for name in names:
        tensor = ours[name]
        x = tensor[row] if tensor.ndim and tensor.shape[0] == count else tensor
        y = theirs[name]
        y = y[other] if y.ndim and y.shape[0] == total else y
        if not torch.equal(x, y):
            return False
    return True


def _put_together(module: Siblings, count: int, rows: Sequence[tuple[Siblings, int]], memo: Memo) -> Siblings:
    """A copy whose row i is a row of another module of the same shapes."""
    named = {id(other): dict(tensors_of(other)) for other, _ in rows}
    theirs = [named[id(other)] for other, _ in rows]
    for name, tensor in tensors_of(module):
        if id(tensor) in memo:
            continue
        if type(tensor) not in (Tensor, nn.Parameter):
            raise HiergenError(f"branches with {type(tensor).__name__} in {quoted(name)} cannot be put together")
        if any(name not in values for values in theirs):
            raise HiergenError(f"one network has a tensor {quoted(name)} in its branches, another has none")
        if tensor.ndim and tensor.shape[0] == count:
            some = [values[name].detach()[row] for values, (_, row) in zip(theirs, rows, strict=True)]
            memo[id(tensor)] = retyped(tensor, torch.stack([s.to(tensor) for s in some]), memo)
        else:
            memo[id(tensor)] = retyped(tensor, tensor.detach().clone(), memo)
    return copy.deepcopy(module, memo)


def _rewired_head(
    head: ClassHeads, rows: Sequence[tuple[ClassHeads, int]], parents: Sequence[int], memo: Memo
) -> ClassHeads:
    """A copy with these rows, each of which reads its own branch."""
    for name in ("weight", "bias"):
        tensor = getattr(head, name)
        some = [getattr(other, name).detach()[row].to(tensor) for other, row in rows]
        memo[id(tensor)] = retyped(tensor, torch.stack(some), memo)
    if head.gather is not None:
        memo[id(head.gather)] = Gather(tuple(parents)).to(head.weight.device)
    new = copy.deepcopy(head, memo)
    new.classes, new.parents = len(rows), tuple(parents)
    if new.gather is None:  # a cutout whose classes are in the order of their branches needs none
        new.gather = Gather(tuple(parents)).to(head.weight.device)
    return new


def _for_all(
    like: HierarchicalNetwork, name: str, parts: Sequence[ClassPart], nesting: Nesting, memo: Memo
) -> Generalist | None:
    """The branch for all classes, where each of them has a row of it."""
    branch: Generalist | None = like._modules.get(name)  # type: ignore[assignment]
    if branch is None:
        return None
    rows: list[tuple[ClassHeads, int]] = []
    index = {class_id: i for i, class_id in enumerate(like.classes)}
    for part in parts:
        theirs: Generalist | None = part.network._modules.get(name)  # type: ignore[assignment]
        if theirs is None or (part.network is not like and not _same_tail(branch, theirs)):
            if part.id not in index:
                return None
            rows.append((branch.head, (branch.columns or range(len(like.classes)))[index[part.id]]))
        else:
            rows.append((theirs.head, (theirs.columns or range(theirs.head.classes))[part.index]))
    names = nesting.names(max(nesting.depth - 1, 1))
    before = dict(zip(like.nesting.names(max(like.nesting.depth - 1, 1)), branch.gains.detach(), strict=False))
    zero = branch.gains.detach().new_zeros(())
    memo[id(branch.gains)] = retyped(branch.gains, torch.stack([before.get(n, zero) for n in names]), memo)
    _rewired_head(branch.head, rows, (0,) * len(parts), memo)
    new = copy.deepcopy(branch, memo)
    new.columns = new.homes = None
    return new


def _same_tail(a: Generalist, b: Generalist) -> bool:
    ours, theirs = (dict(tensors_of(branch.tail)) for branch in (a, b))
    return a.tail.recipes == b.tail.recipes and _same_rows((ours, 0, 1), (theirs, 0, 1))
