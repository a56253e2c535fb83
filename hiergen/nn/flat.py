"""The flat network's other half: what timm's backbone does after the trunk's cut, up to one logit per class."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from timm.models import adapt_input_conv
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hiergen.errors import HiergenError, PlanError, quoted
from hiergen.nn.generalist import Generalist
from hiergen.nn.replicas import ReplicaStage
from hiergen.nn.trunk import Size, Trunk, make_model

__all__ = ["FlatTail", "check_backbone", "fitting", "flat_state", "load_flat"]


class FlatTail(nn.Module):
    """What the backbone does after the stage `until`, up to one logit per class: maps `(B, C, H, W)` of
    `Trunk(backbone, until)` to `(B, classes)`.

    The modules are timm's own under timm's names: with the trunk's they are the flat network (`flat_state`), and both
    together run its operations in its order. In a container that the cut parts they are numbered as there.
    Raises PlanError for a backbone, stage or input size that cannot be, and for a backbone whose layers after the cut
    do not follow from the map alone; HiergenError where weights cannot be fetched.

    >>> tail = FlatTail("resnet50", "layer3", 100)  # (B, 1024, 14, 14) -> (B, 100)
    """

    def __init__(
        self,
        backbone: str,
        until: str,
        classes: int,
        *,
        pretrained: bool = False,
        input_size: Size = (3, 224, 224),
    ) -> None:
        super().__init__()
        self.backbone, self.until, self.classes, self.input_size = backbone, until, classes, tuple(input_size)
        with torch.device("meta"):
            trunk = Trunk(backbone, until, input_size=input_size).eval()
            twin = make_model(backbone, input_size, pretrained=False, num_classes=classes).eval()
        images = torch.empty((2, *input_size), device="meta")
        try:
            self._called = _called(twin, images)
            # timm's own function, with what it reads: the drop rate, …
            self._head: Callable[[FlatTail, Tensor], Tensor] = cast("Any", type(twin)).forward_head
            plain = {name: value for name, value in vars(twin).items() if isinstance(value, bool | int | float | str)}
            vars(self).update({name: value for name, value in plain.items() if name not in vars(self)})
            self._take(twin)
            both = _operations(lambda x: self.eval()(trunk(x)), [trunk.model, self], images)
            same = both == _operations(twin, [twin], images)
        except (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise self._lost() from error
        if not same or set(flat_state(trunk, self)) != set(twin.state_dict()):
            raise self._lost()
        self._take(make_model(backbone, input_size, pretrained=pretrained, num_classes=classes))
        self.train()

    def forward(self, maps: Tensor) -> Tensor:
        for name in self._order:
            maps = self._modules[name](maps)  # type: ignore[misc]
        return self._head(self, maps)

    def extra_repr(self) -> str:
        return f"{self.backbone!r}, after={self.until!r}, {self.classes} classes"

    def _take(self, flat: nn.Module) -> None:
        """Take what timm calls after the cut, and what of its head it calls later; earlier layers are left out."""
        first, *inner = self.until.split(".")
        self._order = self._called[self._called.index(first) + 1 :]
        for name, child in flat.named_children():
            part: nn.Module | None = None
            if name == first and inner:
                part = _after(child, inner)
                self._order = [first, *self._order] if part is not None else self._order
            elif name in self._order:
                part = nn.Sequential(OrderedDict(child.named_children())) if isinstance(child, nn.ModuleList) else child
            elif name not in self._called:
                part = child
            if part is not None:
                self._modules.pop(name, None)
                self.add_module(name, part)

    def _lost(self) -> PlanError:
        return PlanError(
            f"{quoted(self.backbone)} after the stage {quoted(self.until)} cannot be had as layers of its own",
            expected="a backbone that goes on from the stage's map alone",
            hint="its later layers read more than the map (a class token, other branches), or the cut renames them",
        )


def flat_state(trunk: Trunk, tail: FlatTail | Generalist) -> dict[str, Tensor]:
    """The flat network's state dict in timm's names, sharing memory: `timm.create_model(backbone, num_classes=…)` loads
    it. The tail may be a branch for all classes that is the backbone's whole tail.

    Raises HiergenError for two parts that do not belong together, another branch, and for such a one a backbone whose
    classifier is more than one linear layer.
    """
    if isinstance(tail, Generalist):
        return _whole_state(trunk, tail)
    if (trunk.backbone, trunk.until) != (tail.backbone, tail.until):
        raise HiergenError(
            "the tail is of another trunk",
            expected=f"{quoted(trunk.backbone)} after {quoted(trunk.until)}",
            got=f"{quoted(tail.backbone)} after {quoted(tail.until)}",
        )
    return {**trunk.model.state_dict(), **tail.state_dict()}


def _whole_state(trunk: Trunk, branch: Generalist) -> dict[str, Tensor]:
    (stage,) = branch.tail.stages if len(branch.tail.stages) == 1 else (None,)
    if not isinstance(stage, ReplicaStage) or not stage.recipe.end:
        raise HiergenError(
            "the branch for all classes is not its backbone's whole tail",
            expected="'generalist: whole' or 'both' in the taxonomy file",
        )
    state, head = dict(trunk.model.state_dict()), branch.head
    prefixes = [f"{name}." for name in stage.recipe.modules]
    for name, stacked in stage.state_dict().items():
        number, _, rest = name.partition(".")
        at = int(number)
        state[prefixes[at] + rest if at < len(prefixes) else rest.removeprefix("model.")] = stacked[0]
    channels, height, width = trunk.input_size
    classifier = trunk.pretrained_cfg.get("classifier")
    state |= {f"{classifier}.weight": head.weight.detach(), f"{classifier}.bias": head.bias.detach()}
    with torch.device("meta"):
        twin = make_model(trunk.backbone, (channels, height, width), pretrained=False, num_classes=head.classes)
    flat = twin.state_dict()
    if {name: tensor.shape for name, tensor in flat.items()} != {name: t.shape for name, t in state.items()}:
        raise HiergenError(
            f"the trunk and this branch are not all of the flat {quoted(trunk.backbone)}",
            expected="all its blocks after the trunk, and one linear layer as its classifier",
        )
    return {name: state[name] for name in flat}


def load_flat(trunk: Trunk, tail: FlatTail | Generalist, state: Mapping[str, Tensor], place: str) -> None:
    """Copy a flat network's state dict (timm's names) into both parts; weights for RGB are made to fit the trunk's
    channels, as timm does it.

    Raises HiergenError as `flat_state` does, and for a state dict that lacks tensors or has others' shapes; then
    nothing is copied.
    """
    own = flat_state(trunk, tail)
    values = fitting(own, state, trunk.backbone, place, trunk.pretrained_cfg)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(values[name])


PREFIXES = ("", "trunk.model.", "model.", "module.", "backbone.")


def fitting(
    own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], backbone: str, place: str, cfg: Mapping[str, Any]
) -> dict[str, Tensor]:
    """What to load in place of `own`, out of a backbone's tensors under timm's names or these with a usual prefix.

    `cfg` is timm's `pretrained_cfg`. Raises HiergenError where one is missing or of another shape.
    """
    # batch counters are no weights, and some files lack them
    needed = [name for name in own if not name.endswith("num_batches_tracked")]
    prefix = max(PREFIXES, key=lambda p: sum(f"{p}{name}" in tensors for name in needed))
    missing = [name for name in needed if f"{prefix}{name}" not in tensors]
    if missing:
        raise HiergenError(
            f"are no weights of the backbone {quoted(backbone)}",
            place=place,
            expected=f"timm's names, such as {quoted(missing[0])}",
            got=f"{len(missing)} of {len(needed)} tensors missing",
            hint=f"names of another implementation: hiergen convert FILE --like {backbone} -o OUT.safetensors",
        )
    tensors = {**tensors, **_first_convs(own, tensors, prefix, cfg)}
    classifiers = _names(cfg.get("classifier"))
    for name in needed:
        if own[name].shape == (shape := tensors[f"{prefix}{name}"].shape):
            continue
        if name.rpartition(".")[0] in classifiers and own[name].shape[1:] == shape[1:]:
            raise HiergenError(
                f"are weights for other classes: the classifier {quoted(name)} does not fit",
                place=place,
                expected=f"{own[name].shape[0]} classes",
                got=str(shape[0]),
            )
        raise HiergenError(
            f"are weights of another backbone than {quoted(backbone)}",
            place=place,
            expected=f"{quoted(name)} of shape {tuple(own[name].shape)}",
            got=str(tuple(shape)),
        )
    return {name: tensors.get(f"{prefix}{name}", tensor) for name, tensor in own.items()}


def check_backbone(
    own: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    backbone: str,
    place: str,
    cfg: Mapping[str, Any],
    *,
    shapes: bool = True,
) -> None:
    """Raises HiergenError for tensors that are not those of the flat network `own`, which may be on the meta device:
    as `fitting` does where the names are others, else with what differs, tensors of more layers too. Without `shapes`
    (these depend on the images' size in some backbones) only names count."""
    needed = [name for name in own if not name.endswith("num_batches_tracked")]
    prefix = max(PREFIXES, key=lambda p: sum(f"{p}{name}" in tensors for name in needed))
    there = [name for name in needed if f"{prefix}{name}" in tensors]
    if 2 * len(there) < min(len(needed), len(tensors)):  # not timm's names
        fitting(own, tensors, backbone, place, cfg)
    tensors = {**tensors, **_first_convs(own, tensors, prefix, cfg)}
    fit = {name for name in there if not shapes or own[name].shape == tensors[f"{prefix}{name}"].shape}
    parts = {name.partition(".")[0] for name in own}
    given = [name.removeprefix(prefix) for name in tensors if name.startswith(prefix) and name.endswith(".weight")]
    more = [name for name in given if name not in own and name.partition(".")[0] in parts]
    if len(fit) == len(needed) and not more:
        return
    first = next((name for name in needed if name not in fit), None)
    if first is None:
        expected, got = f"{len(needed)} tensors", f"all of them and {quoted(min(more))}, the first of {len(more)} more"
    else:
        expected = f"{quoted(first)} of shape {tuple(own[first].shape)}"
        got = str(tuple(tensors[f"{prefix}{first}"].shape)) if first in there else "none of that name"
    raise HiergenError(
        f"are weights of another backbone than {quoted(backbone)}",
        place=place,
        expected=expected,
        got=got,
        hint=f"of {len(needed)} tensors {len(there)} are there and {len(fit)} fit; "
        "backbone (--backbone) names the timm model that they are of",
    )


def _first_convs(
    own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], prefix: str, cfg: Mapping[str, Any]
) -> dict[str, Tensor]:
    """The first convolutions' weights of a model for RGB made to fit another number of channels, as timm does it."""
    fitted = {}
    for name in _names(cfg.get("first_conv")):
        ours, other = own.get(f"{name}.weight"), tensors.get(f"{prefix}{name}.weight")
        if ours is not None and other is not None and other.ndim == 4 and ours.shape[1] != other.shape[1] == 3:
            fitted[f"{prefix}{name}.weight"] = adapt_input_conv(ours.shape[1], other)
    return fitted


def _names(value: Any) -> tuple[str, ...]:
    """timm's description has one name, several, or none."""
    return (value,) if isinstance(value, str) else tuple(value or ())


def _called(flat: nn.Module, images: Tensor) -> list[str]:
    """The model's children in the order in which it calls them on its way to the last maps."""
    called: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: called.append(name))
        for name, child in flat.named_children()
        for module in (child, *child.children())  # some loop over the parts
    ]
    with torch.no_grad():
        flat.forward_features(images)  # type: ignore[operator]
    for hook in hooks:
        hook.remove()
    return list(dict.fromkeys(called))


def _after(container: nn.Module, path: list[str]) -> nn.Sequential | None:
    """What follows a part of a container, under the names that it has there; None where nothing does."""
    first, *inner = path
    children = dict(container.named_children())
    names = list(children)
    rest = {name: children[name] for name in names[names.index(first) + 1 :]}
    if inner and (parted := _after(children[first], inner)) is not None:
        rest = {first: parted, **rest}
    return nn.Sequential(OrderedDict(rest)) if rest else None


def _operations(run: Callable[[Tensor], Tensor], modules: list[nn.Module], images: Tensor) -> list[object]:
    """Every operation with its arguments and results: weights by name, other tensors numbered as they appear."""
    names = {id(p): name for module in modules for name, p in module.state_dict(keep_vars=True).items()}
    recorder = _Recorder(names)
    with torch.no_grad(), recorder:
        run(images)
    return recorder.operations


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, names: dict[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: dict[int, object] = dict(names)
        self.operations: list[object] = []
        self._kept: list[Tensor] = []  # so that no id is given twice

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.operations.append((str(func), self._word((args, kwargs)), self._word(result)))
        return result

    def _word(self, value: Any) -> object:
        if isinstance(value, Tensor):
            self._kept.append(value)
            return self.names.setdefault(id(value), len(self.names)), tuple(value.shape)
        if isinstance(value, dict):
            return [(key, self._word(item)) for key, item in value.items()]
        if isinstance(value, list | tuple):
            return [self._word(item) for item in value]
        return cast("object", value)
