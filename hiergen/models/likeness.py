"""Another implementation's weights of an architecture under timm's names: by name, or by order, shape and kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias

import timm
import torch
from torch import Tensor

from hiergen.errors import HiergenError, quoted
from hiergen.nn.flat import PREFIXES
from hiergen.nn.trunk import stages
from hiergen.planning.measure import flat_network

Shapes: TypeAlias = dict[str, tuple[int, ...]]
Signature: TypeAlias = tuple[tuple[str, tuple[int, ...]], ...]

# what the last part of a name says that a tensor is
_KINDS = {
    **dict.fromkeys(("weight", "gamma", "kernel"), "weight"),
    **dict.fromkeys(("bias", "beta"), "bias"),
    **dict.fromkeys(("running_mean", "moving_mean"), "running_mean"),
    **dict.fromkeys(("running_var", "moving_variance", "moving_var"), "running_var"),
}
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Likeness:
    """How tensors were matched: `pairs` are their names and timm's. `classes` is what the classifier has and what
    timm's has, where they differ; None in place of the first: there is no classifier."""

    like: str
    by: Literal["name", "order"]
    pairs: tuple[tuple[str, str], ...]
    classes: tuple[int | None, int] | None

    def __str__(self) -> str:
        how = "by name" if self.by == "name" else "by order and shape"
        shown = ", ".join(f"{theirs} → {timms}" for theirs, timms in self.pairs[:4])
        text = f"{len(self.pairs):,} tensors are those of {self.like} {how}: {shown}, …"
        if self.classes is None:
            return text
        found, usual = self.classes
        has = "no classifier is there" if found is None else f"the classifier has {found:,} classes"
        return f"{text}; {has}, timm's has {usual:,}"


def matched(
    tensors: Mapping[str, Tensor], like: str, place: str, *, ordered: bool = True
) -> tuple[dict[str, Tensor], Likeness]:
    """The tensors under the names of timm's model `like`, and how they were matched.

    Names that are timm's decide. Else layers are matched in the order of both state dicts, within a block whose order
    differs by a shape that no other layer of it has, and a layer's tensors by the last part of their names. Without an
    order (`ordered`) every shape must be another. The classifier may be for other classes, or lacking. Raises PlanError
    for an unknown model, HiergenError where shapes differ or two tensors might be meant.
    """
    stages(like)
    shapes: Shapes = {name: tuple(t.shape) for name, t in tensors.items() if not name.endswith(_COUNTER)}
    usual, wanted, classes = _wanted(like, shapes)
    prefix = max(PREFIXES, key=lambda p: sum(f"{p}{name}" in shapes for name in wanted))
    by: Literal["name", "order"] = "order"
    if all(shapes.get(f"{prefix}{name}") == shape for name, shape in wanted.items()):
        by, pairs = "name", [(f"{prefix}{name}", name) for name in wanted]
    else:
        pairs = _by_order(shapes, wanted, like, place, ordered)
    found = {timms: tensors[theirs] for theirs, timms in pairs}
    for ours, name in pairs:
        if name.endswith(".running_mean"):  # batch counters, which some files lack
            layers = [text.removesuffix(text.rpartition(".")[2]) for text in (ours, name)]
            found[f"{layers[1]}{_COUNTER}"] = tensors.get(f"{layers[0]}{_COUNTER}", torch.tensor(0))
    return found, Likeness(like, by, tuple(pairs), None if classes == usual else (classes, usual))


def _wanted(like: str, shapes: Shapes) -> tuple[int, Shapes, int | None]:
    """timm's number of classes, timm's shapes with as many classes as the file has, and these."""
    with torch.device("meta"):
        cfg = timm.get_pretrained_cfg(like)
        usual = int(cfg.num_classes) if cfg is not None else 1000
        own = _shapes(like, usual)
        layers = getattr(cfg, "classifier", None) or ()
        layers = (layers,) if isinstance(layers, str) else layers
        heads = [name for name in own if name.rpartition(".")[0] in layers]
        weight = next((own[name] for name in heads if name.endswith(".weight")), None)
        if weight is None:
            return usual, own, usual
        sizes = [shape[0] for name, shape in shapes.items() if shape[1:] == weight[1:] and _kind(name) == "weight"]
        others = sum(shape[1:] == weight[1:] for name, shape in own.items() if name not in heads)
        if len(sizes) <= others:
            return usual, {name: shape for name, shape in own.items() if name not in heads}, None
        classes = usual if usual in sizes else sizes[-1]
        return usual, own if classes == usual else _shapes(like, classes), classes


def _shapes(like: str, classes: int) -> Shapes:
    state = flat_network(like, classes).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items() if not name.endswith(_COUNTER)}


@dataclass(frozen=True)
class _Layer:
    """Tensors whose names differ in the last part only, by what they are."""

    names: dict[str, str]
    shapes: dict[str, tuple[int, ...]]

    @property
    def signature(self) -> Signature:
        if len(self.shapes) == 1:
            ((kind, shape),) = self.shapes.items()
            return (("" if len(shape) > 1 else kind, shape),)  # a lone kernel may be called anything
        return tuple(sorted(self.shapes.items()))

    @property
    def norm(self) -> bool:
        return "weight" in self.shapes and all(len(shape) == 1 for shape in self.shapes.values())

    @property
    def width(self) -> int:
        return next(iter(self.shapes.values()))[0]


def _kind(name: str) -> str | None:
    return _KINDS.get(name.rpartition(".")[2])


def _layers(shapes: Shapes) -> list[_Layer]:
    layers: dict[str, _Layer] = {}
    for name, shape in shapes.items():
        layer, _, last = name.rpartition(".")
        kind = _kind(name)
        if kind is None or kind in (layers[layer].names if layer in layers else ()):
            kind, layer = last, name
        made = layers.setdefault(layer, _Layer({}, {}))
        made.names[kind], made.shapes[kind] = name, shape
    return list(layers.values())


def _by_order(shapes: Shapes, wanted: Shapes, like: str, place: str, ordered: bool) -> list[tuple[str, str]]:
    theirs, timms = _layers(shapes), _layers(wanted)
    _check(theirs, timms, like, place)
    if not ordered:
        return _names(_unique([[layer] for layer in theirs], [[layer] for layer in timms], place, ordered=False))
    if [layer.signature for layer in theirs] == [layer.signature for layer in timms]:
        return _names([*zip(([t] for t in theirs), ([t] for t in timms), strict=True)])
    return _names(_aligned(_with_norms(theirs), _with_norms(timms), place))


def _check(theirs: Sequence[_Layer], timms: Sequence[_Layer], like: str, place: str) -> None:
    """Raises HiergenError where layers are not of the same shapes, whatever their order."""
    known = {name.rpartition(".")[2] for layer in timms for name in layer.names.values()} | set(_KINDS)
    for layer in theirs:
        for name, shape in zip(layer.names.values(), layer.shapes.values(), strict=True):
            if len(shape) < 2 and name.rpartition(".")[2] not in known:
                raise HiergenError(
                    f"holds {quoted(name)}, whose name does not say which of a layer's tensors it is",
                    place=place,
                    expected="names that end in weight, bias, running_mean, running_var, gamma, beta, …",
                )
    counts = [Counter(layer.signature for layer in layers) for layers in (theirs, timms)]
    if counts[0] == counts[1]:
        return
    differing = [(counts[1] - counts[0], timms), (counts[0] - counts[1], theirs)]
    layer = next(layer for more, layers in differing for layer in layers if layer.signature in more)
    have, want = (count[layer.signature] for count in counts)
    raise HiergenError(
        f"are no weights of an architecture like {quoted(like)}",
        place=place,
        expected=f"{want} as {_described(layer)}",
        got=f"{have}; {len(theirs)} layers for {len(timms)}",
    )


def _described(layer: _Layer) -> str:
    name = next(iter(layer.names.values()))
    return f"{quoted(name)} of shape {next(iter(layer.shapes.values()))}, with {', '.join(layer.shapes)}"


_Unit: TypeAlias = list[_Layer]


def _with_norms(layers: Sequence[_Layer]) -> list[_Unit]:
    """A norm belongs to the layer just before it, if it has as many channels."""
    units: list[_Unit] = []
    for layer in layers:
        before = units[-1][-1] if units else None
        if before is not None and layer.norm and not before.norm and before.width == layer.width:
            units[-1].append(layer)
        else:
            units.append([layer])
    return units


def _signatures(units: Sequence[_Unit]) -> list[tuple[Signature, ...]]:
    return [tuple(layer.signature for layer in unit) for unit in units]


def _aligned(theirs: list[_Unit], timms: list[_Unit], place: str) -> list[tuple[_Unit, _Unit]]:
    """Pairs in order, block by block of timm's; within a block whose order differs by shapes that are there once."""
    blocks = _blocks(timms)
    pairs: list[tuple[_Unit, _Unit]] = []
    for _, run in groupby(range(len(timms)), key=blocks.__getitem__):
        at = list(run)
        ours, other = theirs[at[0] : at[-1] + 1], timms[at[0] : at[-1] + 1]
        if _signatures(ours) == _signatures(other):
            pairs += zip(ours, other, strict=True)
        elif Counter(_signatures(ours)) == Counter(_signatures(other)):
            pairs += _unique(ours, other, place)
        else:
            raise HiergenError(
                "has its layers in too different an order to tell which is which",
                place=place,
                expected=f"{quoted(_first(other[0]))} or a layer of its block",
                got=quoted(_first(ours[0])) if ours else None,
            )
    return pairs


def _blocks(units: list[_Unit]) -> list[str]:
    """Of each unit the innermost numbered module that has other layers, too."""
    layers = [name.rpartition(".")[0] for unit in units for layer in unit for name in layer.names.values()]
    held: dict[str, set[str]] = {}
    for layer in layers:
        for prefix in _numbered(layer):
            held.setdefault(prefix, set()).add(layer)
    shared = {prefix for prefix, inside in held.items() if len(inside) > 1}
    return [next((p for p in _numbered(_first(unit)) if p in shared), "") for unit in units]


def _numbered(name: str) -> list[str]:
    """Prefixes that end in a number, the longest first."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in reversed(range(len(parts))) if parts[i].isdecimal()]


def _unique(theirs: list[_Unit], timms: list[_Unit], place: str, *, ordered: bool = True) -> list[tuple[_Unit, _Unit]]:
    """Pairs of the same shape. Raises HiergenError where two have it."""
    found: dict[tuple[Signature, ...], _Unit] = {}
    for signature, unit in zip(_signatures(theirs), theirs, strict=True):
        if signature in found:
            names = f"{quoted(_first(found[signature]))} and {quoted(_first(unit))}"
            raise HiergenError(
                f"has its layers in {'another order' if ordered else 'no order'}, and {names} are of the same "
                "shape: which is which cannot be told",
                place=place,
                hint=None if ordered else "a PyTorch checkpoint has an order, which safetensors does not keep",
            )
        found[signature] = unit
    return [(found[signature], unit) for signature, unit in zip(_signatures(timms), timms, strict=True)]


def _first(unit: _Unit) -> str:
    return next(iter(unit[0].names.values()))


def _names(pairs: Sequence[tuple[_Unit, _Unit]]) -> list[tuple[str, str]]:
    """Their names and timm's: a layer's tensors by what they are."""
    return [
        (ours.names[kind] if len(ours.names) > 1 else next(iter(ours.names.values())), name)
        for theirs, timms in pairs
        for ours, layer in zip(theirs, timms, strict=True)
        for kind, name in layer.names.items()
    ]
