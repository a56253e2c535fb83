"""The part of a network that some of its classes need (Kelm et al., arXiv 2308.05128, Eq. 3)."""

from __future__ import annotations

import copy
import operator
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hiergen.errors import HiergenError, quoted
from hiergen.nn.gains import at_rest
from hiergen.nn.generalist import ONE_BRANCH, Form, Generalist
from hiergen.nn.heads import ClassHeads
from hiergen.nn.lowering import Lowering, forced
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import finest_homes, generalist_of
from hiergen.nn.siblings import Siblings

LOOP = Lowering("loop")  # one branch at a time: what a branch computes does not depend on how many there are


def cut(network: HierarchicalNetwork, keep: Sequence[int]) -> HierarchicalNetwork:
    """A network of the trunk and of the branches that lead to the classes with these indices; logits in their order.

    All weights are copies, nothing is shared. The result is of the network's own class, with a `nesting`
    of its own, so that it can be pickled and copied; names of parameters, device, dtype, `training` and
    `requires_grad` of each part, lowerings, and the norms' kind and settings, are the network's; its active classes and
    gains are not taken over. A cutout can be cut again.
    Raises HiergenError for an index that is no class, for no class, and for all of them.

    >>> cats = cut(network, [0, 1])  # (B, 3, H, W) -> (B, 2)
    """
    kept = _indices(keep, network)
    if network.form in ONE_BRANCH:
        return single(network, kept)
    part = type(network).__new__(type(network))
    # instance attributes hide the class's; set first, as the constructor may read them
    part.__dict__["nesting"] = network.nesting.keep(kept)
    part.__dict__["classes"] = part.nesting.classes
    HierarchicalNetwork.__init__(part)

    homes = network.head.parents
    branches = _sorted({homes[c] if homes else c for c in kept})
    built: dict[str, nn.Module] = {"head": _cut_heads(network.head, kept, branches)}
    for number in range(len(network.levels), 0, -1):
        level = network.levels[number - 1]
        above = _sorted({level.parents[b] for b in branches}) if level.parents else ()
        built[f"level{number}"] = _cut_level(level, branches, above)
        branches = above
    if network.form == "both":
        built["generalist"] = _cut_generalist(network, kept)
        part.__dict__["_form"] = "both"
    for name, child in network.named_children():  # in the network's order, and with what a subclass has besides
        if name not in ("generalist", "flat") or name in built:
            part.add_module(name, built[name] if name in built else copy.deepcopy(child))
    part.training = network.training
    return part


def single(network: HierarchicalNetwork, kept: Sequence[int]) -> HierarchicalNetwork:
    """The trunk and the branch for all classes that the network's form has, for these classes, all of them or fewer, as
    a network of one branch; copies."""
    generalist = generalist_of(network)
    columns = generalist.columns or range(network.num_classes)
    part = HierarchicalNetwork()
    part.__dict__["nesting"] = network.nesting.keep(tuple(kept)).flat()
    part.__dict__["classes"] = part.nesting.classes
    part.trunk = copy.deepcopy(network.trunk)
    part.level1 = copy.deepcopy(generalist.tail)
    part.head = _cut_heads(generalist.head, tuple(columns[c] for c in kept), (0,))
    part.__dict__["input_size"] = network.input_size
    part.training = network.training
    return part


def _cut_generalist(network: HierarchicalNetwork, kept: tuple[int, ...]) -> Generalist:
    """A copy that answers these classes. It keeps the rows of all, as the likeliest group depends on them, and the
    gains of the groups that stay."""
    generalist = generalist_of(network, "both")
    homes = finest_homes(network)
    groups = _sorted({homes[c] for c in kept})
    all_homes = generalist.homes or homes
    place = {group: i for i, group in enumerate(groups)}
    # the others stay groups, of numbers below 0: which one is the likeliest is to be as before
    place |= {group: -1 - i for i, group in enumerate(_sorted(set(all_homes) - set(groups)))}
    columns = generalist.columns or range(network.num_classes)
    new = copy.deepcopy(generalist)
    new.columns = tuple(columns[c] for c in kept)
    new.homes = tuple(place[home] for home in all_homes)
    new.gains = nn.Parameter(_rows(generalist.gains, groups), requires_grad=generalist.gains.requires_grad)
    return new


def chosen_form(network: HierarchicalNetwork, classes: Sequence[int]) -> Form:
    """What a cutout of these classes is by what the end of a training chose: the groups' own branches where these were
    better for all of them. Without such a choice the network's form."""
    if not network.choice:
        return network.form
    names, homes = network.nesting.names(max(network.nesting.depth - 1, 1)), finest_homes(network)
    forms = {network.choice.get(names[homes[c]], "generalist") for c in classes}
    return "specialists" if forms == {"specialists"} else "generalist"


def difference(
    network: HierarchicalNetwork, part: HierarchicalNetwork, images: Tensor, *, lowering: Lowering | None = LOOP
) -> float:
    """Largest |difference| between a cutout's logits and the network's logits of the same classes, in eval mode.

    `images` is `(B, 3, H, W)` on the network's device. Both run the same `lowering`, so that nothing but the weights
    can differ; None leaves each its own, and lets rounding in.
    Raises HiergenError for a class that the network does not have.
    """
    index = {name: i for i, name in enumerate(network.classes)}
    if missing := [name for name in part.classes if name not in index]:
        raise HiergenError(f"class {quoted(missing[0])} of the cutout is none of the network's")
    with torch.no_grad(), _bare(network, lowering), _bare(part, lowering):
        full: Tensor = network(images)[:, [index[name] for name in part.classes]]
        kept: Tensor = part(images)
    return float((kept.double() - full.double()).abs().max())


def _indices(keep: Sequence[int], network: HierarchicalNetwork) -> tuple[int, ...]:
    count = network.num_classes
    if not len(keep):
        raise HiergenError("a cutout needs a class to keep", expected=f"1 to {count - 1} of the {count} classes")
    indices = set()
    for item in keep:
        index = -1 if isinstance(item, bool) else operator.index(item)
        if not 0 <= index < count:
            raise HiergenError(f"no class has the index {item}", expected=f"0..{count - 1}")
        indices.add(index)
    if len(indices) == count:
        raise HiergenError(
            f"all {count} classes are kept: that is the full network", expected="fewer classes", hint="use it as it is"
        )
    return _sorted(indices)


def _sorted(indices: Collection[int]) -> tuple[int, ...]:
    return tuple(sorted(indices))


def _cut_heads(head: ClassHeads, kept: tuple[int, ...], branches: tuple[int, ...]) -> ClassHeads:
    position = {branch: i for i, branch in enumerate(branches)}
    parents = None if head.parents is None else [position[head.parents[c]] for c in kept]
    with torch.device("meta"):  # no memory, and no random numbers taken
        new = type(head)(len(kept), head.in_channels, parents=parents)
    state = head.state_dict(keep_vars=True)
    new.to_empty(device=head.weight.device)
    for name, parameter in new.named_parameters():
        parameter.requires_grad_(state[name].requires_grad)
    new.load_state_dict({name: _rows(tensor, kept) for name, tensor in state.items()}, assign=True)
    return new.train(head.training)


def _cut_level(level: Siblings, branches: tuple[int, ...], above: tuple[int, ...]) -> Siblings:
    """A copy whose parameters and buffers are rows of the level's: what tools made of its norms stays."""
    position = {branch: i for i, branch in enumerate(above)}
    memo: dict[int, Any] = {id(b): _rows(b, branches) for b in level.buffers()}
    memo |= {id(p): nn.Parameter(_rows(p, branches), requires_grad=p.requires_grad) for p in level.parameters()}
    new = copy.deepcopy(level, memo)
    new.branches = len(branches)
    new.parents = None if level.parents is None else tuple(position[level.parents[b]] for b in branches)
    return new


def _rows(tensor: Tensor, rows: tuple[int, ...]) -> Tensor:
    """These rows of a stacked tensor, copied."""
    if tensor.ndim == 0:  # how many batches a norm has seen that timm made
        return tensor.clone()
    return tensor.detach().index_select(0, torch.tensor(rows, device=tensor.device))


@contextmanager
def _bare(network: HierarchicalNetwork, lowering: Lowering | None) -> Iterator[None]:
    """The network in eval mode, all classes active, without gains, and all levels executed in one way; of these only
    the mode is more than this context's."""
    training = [module for module in network.modules() if module.training]
    try:
        if training:
            network.eval()
        with at_rest(network), forced(lowering):
            yield
    finally:
        for module in training:
            module.training = True
