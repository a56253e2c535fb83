"""The part of a network that some of its classes need (Kelm et al., arXiv 2308.05128, Eq. 3)."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from hiergen.errors import HiergenError, listed, quoted
from hiergen.nn.gains import at_rest
from hiergen.nn.generalist import ONE_BRANCH, Form, Generalist
from hiergen.nn.heads import ClassHeads
from hiergen.nn.lowering import Lowering, forced
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import finest_homes, generalist_of
from hiergen.nn.siblings import Siblings
from hiergen.nn.template import MISFITS
from hiergen.taxonomy.nesting import Nesting

CutModule = TypeVar("CutModule", bound=nn.Module)
Memo: TypeAlias = dict[int, Any]  # of `copy.deepcopy`: what an object's copy is
LOOP = Lowering("loop")  # one branch at a time: what a branch computes does not depend on how many there are


def cut(network: HierarchicalNetwork, keep: Sequence[int]) -> HierarchicalNetwork:
    """A network of the trunk and of the branches that lead to the classes with these indices; logits in their order.

    All weights are copies, nothing is shared. The result is of the network's own class, with a `nesting`
    of its own, so that it can be pickled and copied; names of parameters, device, dtype, `training` and
    `requires_grad` of each part, lowerings, and the norms' kind and settings, are the network's; its active classes and
    gains are not taken over. A cutout can be cut again.

    What a subclass or user added is copied too: parameters, buffers, attributes, hooks, pruning, parametrizations.
    Where that can change logits, the cutout's are compared with the network's on random images.
    Raises HiergenError for an index that is no class, for no class, for all of them, and, by name, for what was added
    and cannot be copied, or makes the logits others.

    >>> cats = cut(network, [0, 1])  # (B, 3, H, W) -> (B, 2)
    """
    kept = _indices(keep, network)
    if network.form in ONE_BRANCH:
        return single(network, kept)
    part, memo = begin_part(network, network.nesting.keep(kept))
    homes = network.head.parents
    branches = _sorted({homes[c] if homes else c for c in kept})
    _cut_heads(network.head, kept, branches, memo)  # from here on the memo knows them
    for number in range(len(network.levels), 0, -1):
        level = network.levels[number - 1]
        above = _sorted({level.parents[b] for b in branches}) if level.parents else ()
        _cut_level(level, branches, above, memo)
        branches = above
    children = network._modules | {"generalist": None, "flat": None}
    if network.form == "both":
        _cut_generalist(network, kept, memo)
        part.__dict__["_form"] = "both"
        children["generalist"] = network.generalist
    return copied_onto(network, part, children, memo, (range(len(kept)), kept))


def single(network: HierarchicalNetwork, kept: Sequence[int]) -> HierarchicalNetwork:
    """The trunk and the branch for all classes that the network's form has, for these classes, all of them or fewer, as
    a network of one branch; copies. What else is on the network is carried as by `cut`."""
    generalist = generalist_of(network)
    columns = generalist.columns or range(network.num_classes)
    part, memo = begin_part(network, network.nesting.keep(tuple(kept)).flat())
    _cut_heads(generalist.head, tuple(columns[c] for c in kept), (0,), memo)
    levels = {f"level{number}" for number in range(2, len(network.levels) + 1)}
    children = {name: child for name, child in network._modules.items() if name not in levels}
    children |= {"generalist": None, "flat": None, "level1": generalist.tail, "head": generalist.head}
    return copied_onto(network, part, children, memo, (range(len(kept)), kept))


def begin_part(network: HierarchicalNetwork, nesting: Nesting) -> tuple[HierarchicalNetwork, Memo]:
    """A network of the same class without anything but a nesting, and a memo for copies that belong to it."""
    part = type(network).__new__(type(network))
    # instance attributes hide the class's
    part.__dict__["nesting"] = nesting
    part.__dict__["classes"] = nesting.classes
    memo: Memo = {id(network): part}
    return part, memo


def copied_onto(
    network: HierarchicalNetwork,
    part: HierarchicalNetwork,
    children: Mapping[str, nn.Module | None],
    memo: Memo,
    kept: tuple[Sequence[int], Sequence[int]],
) -> HierarchicalNetwork:
    """The part with copies of these children, and of all that is on the network besides: parameters, buffers,
    attributes and hooks. `kept`: which of the part's logits are to be which of the network's. Raises HiergenError for
    what cannot be copied, or makes the logits others."""
    kept_tensors = (
        *tensors_of(network, deep=False),
        *(named for child in children.values() if child is not None for named in tensors_of(child)),
    )
    for _, tensor in kept_tensors:
        if id(tensor) not in memo and type(tensor) in (Tensor, nn.Parameter):
            memo[id(tensor)] = retyped(tensor, tensor.detach().clone(), memo)
    values = {name: value for name, value in vars(network).items() if name not in _OF_ONE}
    for name, value in {**values, "_modules": dict(children)}.items():
        try:
            part.__dict__[name] = copy.deepcopy(value, memo)
        except (TypeError, RuntimeError, copy.Error, pickle.PicklingError) as error:
            raise HiergenError(
                f"a cutout cannot take {type(network).__name__}'s {quoted(name)} with it", got=str(error).split("\n")[0]
            ) from error
    if kept[0] and (added := added_to(network)) and not network.head.weight.is_meta:
        prove(network, part, *kept, added)
    return part


# a network's own, or made anew: what `torch.compile` made of a call holds the network
_OF_ONE = {
    "nesting",
    "classes",
    "selector",
    "choice",
    "rejection",
    "_active",
    "_form",
    "_modules",
    "_compiled_call_impl",
}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def added_to(network: HierarchicalNetwork) -> list[str]:
    """Of what a subclass or user added, that which may change logits, and where; empty where nothing can."""
    mine = type(network).__mro__[: type(network).__mro__.index(HierarchicalNetwork)]
    found = [name for cls in mine for name, v in vars(cls).items() if callable(v) and not name.startswith("__")]
    found = [name for name in {*found, *vars(network)} if callable(getattr(HierarchicalNetwork, name, None))]
    for name, module in network.named_modules():
        if name.partition(".")[0] == "trunk":
            continue
        if any(vars(module).get(hooks) for hooks in _HOOKS):
            found.append(f"a hook of {name or 'the network'}")
        found += [f"{name}.parametrizations"] if name and "parametrizations" in module._modules else []
    known = {"trunk", "head", "generalist", "flat", *(f"level{i}" for i in range(1, len(network.levels) + 1))}
    others = {*vars(network), *network._parameters, *network._buffers, *network._modules}
    own = sorted(others - known - _OF_ONE - set(vars(HierarchicalNetwork())) - {"input_size"})
    return sorted(found) and [*sorted(found), *own]


def prove(
    network: HierarchicalNetwork,
    part: HierarchicalNetwork,
    places: Sequence[int],
    kept: Sequence[int],
    added: Sequence[str],
) -> None:
    """Raise HiergenError, naming what was added, unless the part's logits are the network's on random images. What
    wants more than images, or gives no logits, nobody can compare."""
    weight = network.head.weight
    size = (2, *getattr(network.trunk, "input_size", network.input_size))
    images = torch.rand(size, generator=torch.Generator().manual_seed(0)).to(weight)
    reason = "its logits are others"
    with torch.no_grad(), torch.random.fork_rng(), _bare(network, LOOP), _bare(part, LOOP):
        try:
            want = network(images)
        except MISFITS:
            return
        if not isinstance(want, Tensor) or want.shape != (2, network.num_classes):
            return
        want = want[:, list(kept)]
        try:
            got = part(images)[:, list(places)]
            tolerance = 5e-2 if weight.dtype in (torch.float16, torch.bfloat16) else 1e-3
            scale = tolerance * float(want.abs().max())
            if got.shape == want.shape and torch.allclose(got, want, rtol=tolerance, atol=scale, equal_nan=True):
                return
        except MISFITS as error:
            reason = str(error).split("\n")[0]
    raise HiergenError(
        f"a cutout cannot take what was added to {type(network).__name__} with it: {listed(added)}",
        expected="the network's logits of its classes",
        got=reason,
        hint="let nothing that is added depend on the number of classes or branches",
    )


def _cut_generalist(network: HierarchicalNetwork, kept: tuple[int, ...], memo: Memo) -> Generalist:
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
    memo[id(generalist.gains)] = retyped(generalist.gains, _rows(generalist.gains, groups), memo)
    new = copy.deepcopy(generalist, memo)
    new.columns = tuple(columns[c] for c in kept)
    new.homes = tuple(place[home] for home in all_homes)
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
    network: HierarchicalNetwork,
    part: HierarchicalNetwork,
    images: Tensor,
    *,
    lowering: Lowering | None = LOOP,
    classes: Sequence[str] | None = None,
) -> float:
    """Largest |difference| between a cutout's logits and the network's logits of the same classes (default: all of the
    cutout's), in eval mode.

    `images` is `(B, 3, H, W)` on the network's device. Both run the same `lowering`, so that nothing but the weights
    can differ; None leaves each its own, and lets rounding in.
    Raises HiergenError for a class that the network does not have.
    """
    index, mine = ({name: i for i, name in enumerate(some.classes)} for some in (network, part))
    wanted = part.classes if classes is None else classes
    if missing := [name for name in wanted if name not in index]:
        raise HiergenError(f"class {quoted(missing[0])} of the cutout is none of the network's")
    with torch.no_grad(), _bare(network, lowering), _bare(part, lowering):
        full: Tensor = network(images)[:, [index[name] for name in wanted]]
        kept: Tensor = part(images)[:, [mine[name] for name in wanted]]
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


def _cut_heads(head: ClassHeads, kept: tuple[int, ...], branches: tuple[int, ...], memo: Memo) -> ClassHeads:
    position = {branch: i for i, branch in enumerate(branches)}
    parents = None if head.parents is None else tuple(position[head.parents[c]] for c in kept)
    if head.gather is not None and parents is not None:
        index = head.gather.index
        memo[id(index)] = torch.tensor(parents, dtype=index.dtype, device=index.device)
    new = _with_rows(head, head.classes, kept, memo)
    new.classes, new.parents = len(kept), parents
    if new.gather is not None and parents is not None:
        new.gather.parents = parents
    return new


def _cut_level(level: Siblings, branches: tuple[int, ...], above: tuple[int, ...], memo: Memo) -> Siblings:
    position = {branch: i for i, branch in enumerate(above)}
    new = _with_rows(level, level.branches, branches, memo)
    new.branches = len(branches)
    new.parents = None if level.parents is None else tuple(position[level.parents[b]] for b in branches)
    return new


def _with_rows(module: CutModule, count: int, rows: tuple[int, ...], memo: Memo) -> CutModule:
    """A copy whose tensors are rows of the module's: what tools made of its norms and weights stays. Tensors that do
    not have a row for each branch are the same for all."""
    for name, tensor in tensors_of(module):
        if id(tensor) in memo:
            continue
        if tensor._backward_hooks or type(tensor) not in (Tensor, nn.Parameter):
            what = "a hook" if tensor._backward_hooks else type(tensor).__name__
            raise HiergenError(f"a cutout cannot take rows of {quoted(name)}, which has {what} of its own")
        stacked = tensor.ndim and tensor.shape[0] == count
        memo[id(tensor)] = retyped(tensor, _rows(tensor, rows) if stacked else tensor.detach().clone(), memo)
    return copy.deepcopy(module, memo)


def tensors_of(module: nn.Module, *, deep: bool = True) -> Iterator[tuple[str, Tensor]]:
    """Parameters, buffers and attributes, as pruned weights are."""
    for prefix, part in module.named_modules() if deep else [("", module)]:
        for name, value in (*part._parameters.items(), *part._buffers.items(), *vars(part).items()):
            if isinstance(value, Tensor):
                yield f"{prefix}.{name}".lstrip("."), value


def retyped(tensor: Tensor, values: Tensor, memo: Memo) -> Tensor:
    """These values as a parameter where the tensor is one, with its hooks and attributes."""
    new = nn.Parameter(values, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else values
    new.__dict__.update(copy.deepcopy(vars(tensor), memo))
    hooks = [*(tensor._backward_hooks or {}).values()]
    later = [*(getattr(tensor, "_post_accumulate_grad_hooks", None) or {}).values()]
    if hooks or later:
        new.requires_grad_(True)  # torch takes hooks of such tensors only
        for hook in hooks:
            new.register_hook(hook)  # type: ignore[no-untyped-call]
        for hook in later:
            new.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]
        new.requires_grad_(tensor.requires_grad)
    return new


def _rows(tensor: Tensor, rows: tuple[int, ...]) -> Tensor:
    """These rows of a stacked tensor, copied."""
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
