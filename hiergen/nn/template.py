"""Modules that branches are copies of, of a timm backbone or given ones: what goes through, and how they start."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import timm
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from hiergen.errors import PlanError, nearest, quoted, unquoted
from hiergen.nn.trunk import Size, known_model, make_model, on_meta

Layout: TypeAlias = Literal["nchw", "nhwc", "nlc"]
LAYOUTS: tuple[Layout, ...] = ("nchw", "nhwc", "nlc")
TRIED = (8, 9)  # height and width, px, of the map that modules are tried on whose layout nobody says
# what a module raises for a map that it does not take
MISFITS = (RuntimeError, ValueError, TypeError, AssertionError, IndexError, AttributeError, NotImplementedError)
_RANDOM = ("normal_", "uniform_", "bernoulli_", "exponential_", "random_", "log_normal_", "cauchy_", "geometric_")


class End(nn.Module):
    """What a timm model does after its last block and before its classifier: the last norm, pooling, the norm after it.

    Tokens or maps, as the model has them, to features `(B, C)`.
    """

    def __init__(self, model: Any) -> None:
        """`model` is stripped of all other modules."""
        super().__init__()
        model.reset_classifier(0)
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        norm = getattr(self.model, "norm", None)
        y: Tensor = self.model.forward_head(x if norm is None else norm(x), pre_logits=True)
        return y.flatten(1)

    def strip(self, x: Tensor) -> None:
        """Leave those modules only that run for such tokens or maps."""
        used: set[nn.Module] = set()
        hooks = [m.register_forward_pre_hook(lambda module, _: used.add(module)) for m in self.model.modules()]
        with torch.no_grad():
            self(x)
        for hook in hooks:
            hook.remove()
        for name, child in list(self.model.named_children()):
            if not used & set(child.modules()) and any(True for _ in child.parameters()):
                setattr(self.model, name, nn.Identity())
        for name in [*self.model._parameters, *self.model._buffers]:
            setattr(self.model, name, None)


@dataclass(frozen=True, eq=False)
class Start:
    """How a tensor of a branch starts: at `value`; if there are `draws`, by these calls on its own memory; if it is
    `shuffled`, at the value's numbers in any order, as they were drawn one by one in a way that nobody recorded."""

    value: Tensor | None = None
    draws: tuple[tuple[Any, tuple[Any, ...], Mapping[str, Any]], ...] = ()
    shuffled: bool = False

    def fill_(self, stacked: Tensor) -> None:
        """Let the tensors of all branches, `(N, …)`, start."""
        for call, args, options in self.draws:
            call(stacked, *args, **options)
        if self.value is None:
            return
        if not self.shuffled:
            stacked.copy_(self.value)
            return
        numbers = self.value.flatten()
        for row in stacked:
            row.copy_(numbers[torch.randperm(len(numbers))].view(row.shape))


@dataclass(frozen=True, eq=False)
class Template:
    """Modules in order, and what was found out about them on the meta device.

    `layout` is that of their maps: "nchw", "nhwc", or "nlc" for tokens. `before` and `after` are height and width of
    the map that was tried, px; a row of tokens is `(1, L)`. `writes` says of each module whether it writes into
    the map that it is given. `widest` are the values of the widest map per output pixel. `backbone` and `names` say
    where to look up how the modules start; given ones start as they are.
    """

    modules: tuple[nn.Module, ...]
    layout: Layout
    in_channels: int
    out: int
    before: tuple[int, int]
    after: tuple[int, int]
    writes: tuple[bool, ...]
    widest: int
    backbone: str = ""
    names: tuple[str, ...] = ()
    input_size: Size | None = None
    sizes: dict[int, int] = field(default_factory=dict)

    @property
    def dtype(self) -> torch.dtype | None:
        """That of the weights."""
        return next((p.dtype for module in self.modules for p in module.parameters()), None)

    def __deepcopy__(self, memo: dict[int, Any]) -> Template:
        return self  # nothing changes it

    def starts(self, number: int) -> Mapping[str, Start]:
        """Of every tensor of a module how it starts."""
        module = self.modules[number]
        if not self.backbone:
            return {name: Start(tensor.detach()) for name, tensor in tensors(module).items()}
        every = _starts(self.backbone, self.input_size)
        prefix = f"{self.names[number]}." if number < len(self.names) else ""
        return {name: every[prefix + (name if prefix else name.removeprefix("model."))] for name in tensors(module)}

    def shrink(self, size: int) -> int:
        """Height or width of the map after the modules, px."""
        if size in self.sizes:
            return self.sizes[size]
        for before, after in zip(self.before, self.after, strict=True):
            if size == before:
                return after
        if self.layout == "nlc":
            return size if self.before == self.after else 1
        shape = (1, self.in_channels, size, size) if self.layout == "nchw" else (1, size, size, self.in_channels)
        try:
            with torch.no_grad():
                x = torch.empty(shape, dtype=self.dtype, device="meta")
                for module in self.modules:
                    x = on_meta(module).eval()(x)
            self.sizes[size] = 1 if x.ndim == 2 else x.shape[2]
        except MISFITS:  # made for one size: the same stride
            stride = max(1, round(self.before[0] / self.after[0]))
            self.sizes[size] = -(-size // stride)
        return self.sizes[size]


def tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, those too that are not saved."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


@lru_cache(maxsize=64)
def timm_template(backbone: str, names: tuple[str, ...], end: bool, input_size: Size | None) -> Template:
    """The template of these modules of a timm backbone, in the order in which it runs them, and with `end` of what
    follows before the classifier.

    Raises PlanError for names that are none of the backbone's, and modules that take or give more than a map.
    """
    with torch.device("meta"):
        model: Any = _model(backbone, input_size).eval()
    known = {name for name, _ in model.named_modules()} - {""}
    for name in names:
        if name not in known:
            raise PlanError(
                f"backbone {quoted(backbone)} has no module {quoted(name)}", nearest=nearest(name, sorted(known))
            )
    modules = [model.get_submodule(name) for name in names]
    if not modules and not end:
        raise PlanError(f"no modules of {quoted(backbone)} to copy", expected="one name or more, or end=True")
    try:
        given, last = _followed(model, modules, names, backbone, input_size)
    except MISFITS as error:
        raise _misfit(
            f"timm's {quoted(backbone)} does not run on images {input_size or own_size(backbone)}", error
        ) from error
    first, gives = given
    layout: Layout = "nlc" if first.ndim == 3 else "nhwc" if getattr(model, "output_fmt", "NCHW") == "NHWC" else "nchw"
    if end:
        if not hasattr(model, "forward_head") or not hasattr(model, "reset_classifier"):
            raise PlanError(f"timm's {quoted(backbone)} has no end of its own", hint="leave out end=True")
        closing = End(model)
        try:
            closing.strip(gives if modules else last)
        except MISFITS as error:
            raise _misfit(f"what comes before the end of timm's {quoted(backbone)} is not all named", error) from error
        modules.append(closing)
    try:
        return _measured(modules, layout, first, backbone, names, input_size)
    except MISFITS as error:
        raise _misfit(f"modules of {quoted(backbone)} take more than a map, or one does not follow", error) from error


def _misfit(problem: str, error: BaseException) -> PlanError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return PlanError(problem, hint=f"torch says: {unquoted(reason)}")


def given_template(
    modules: Sequence[nn.Module], in_channels: int, out: int, layout: Layout | None, size: tuple[int, int]
) -> Template:
    """The template of given modules, whose weights are copied. Raises PlanError unless they lead from maps of
    `in_channels` to maps of `out` channels."""
    if not modules:
        raise PlanError("no modules to copy", expected="one or more")
    twins = [on_meta(module).eval() for module in modules]
    dtype = next((p.dtype for module in modules for p in module.parameters()), None)
    reasons: list[str] = []
    for chosen in LAYOUTS if layout is None else (layout,):
        height, width = size
        shapes = {
            "nchw": (2, in_channels, height, width),
            "nhwc": (2, height, width, in_channels),
            "nlc": (2, height * width, in_channels),
        }
        x = torch.empty(shapes[chosen], dtype=dtype, device="meta")
        try:
            found = _measured(twins, chosen, x, rows=size)
        except (*MISFITS, PlanError) as error:
            reasons.append(str(error).splitlines()[0] if str(error) else type(error).__name__)
            continue
        if found.out == out:
            return replace(found, modules=tuple(copy.deepcopy(module) for module in modules))
        reasons.append(f"they give {found.out} channels")
    raise PlanError(
        f"{', '.join(type(module).__name__ for module in modules)} do not lead from {in_channels} to {out} channels",
        hint=f"on {layout or LAYOUTS[0]} maps of {size[0]}×{size[1]} px: {reasons[0]}",
    )


def _model(backbone: str, input_size: Size | None) -> nn.Module:
    known_model(backbone)
    return make_model(backbone, input_size or own_size(backbone), pretrained=False)


def own_size(backbone: str) -> Size:
    cfg = timm.get_pretrained_cfg(backbone)
    return (3, 224, 224) if cfg is None else tuple(cfg.input_size)


def _followed(
    model: Any, modules: list[nn.Module], names: Sequence[str], backbone: str, input_size: Size | None
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """What goes into the first module and what the last one gives; and what the backbone's features end in."""
    calls: list[tuple[int, Tensor, Any]] = []

    def note(module: nn.Module, args: tuple[Any, ...], options: dict[str, Any], answer: Any) -> None:
        more = [value for value in (*args[1:], *options.values()) if isinstance(value, Tensor)]
        which = names[modules.index(module)]
        if more or not args or not isinstance(args[0], Tensor) or not isinstance(answer, Tensor):
            raise PlanError(f"{quoted(which)} of {quoted(backbone)} takes or gives more than a map")
        calls.append((modules.index(module), args[0], answer))

    hooks = [module.register_forward_hook(note, with_kwargs=True) for module in modules]
    image = torch.empty(2, *(input_size or own_size(backbone)), device="meta")
    with torch.no_grad():
        features = model.forward_features(image) if hasattr(model, "forward_features") else model(image)
    for hook in hooks:
        hook.remove()
    order = [number for number, _, _ in calls]
    if order != list(range(len(modules))):
        ran = ", ".join(quoted(names[number]) for number in order) or "none of them"
        raise PlanError(f"{quoted(backbone)} does not run these modules once each, in this order", got=ran)
    if not calls:
        return (features, features), features
    return (calls[0][1], calls[-1][2]), features


def _measured(
    modules: Sequence[nn.Module],
    layout: Layout,
    x: Tensor,
    backbone: str = "",
    names: tuple[str, ...] = (),
    input_size: Size | None = None,
    rows: tuple[int, int] | None = None,
) -> Template:
    """The template, by running the modules on a map on the meta device."""
    widest, writes = x.numel(), []
    channels = x.shape[1] if layout == "nchw" else x.shape[-1]
    before = _pixels(x, layout) if rows is None else rows

    def look(module: nn.Module, args: Any, answer: Any) -> None:
        nonlocal widest
        widest = max(widest, answer.numel()) if isinstance(answer, Tensor) else widest

    hooks = [m.register_forward_hook(look) for module in modules for m in module.modules()]
    with torch.no_grad():
        for module in modules:
            version = x._version
            y = module(x)
            if not isinstance(y, Tensor) or y.ndim not in (2, x.ndim):
                raise PlanError(f"{type(module).__name__} gives no map", got=type(y).__name__)
            writes.append(x._version > version)
            x = y
    for hook in hooks:
        hook.remove()
    after = (1, 1) if x.ndim == 2 else _pixels(x, layout)
    if rows is not None and after == (1, rows[0] * rows[1]):
        after = rows
    out = x.shape[1] if layout == "nchw" else x.shape[-1]
    widest = -(-widest // (x.shape[0] * after[0] * after[1]))
    return Template(
        tuple(modules),
        layout,
        channels,
        out,
        before,
        after,
        tuple(writes),
        widest,
        backbone,
        names,
        input_size,
    )


def _pixels(x: Tensor, layout: Layout) -> tuple[int, int]:
    if layout == "nlc":
        return 1, x.shape[1]
    return (x.shape[2], x.shape[3]) if layout == "nchw" else (x.shape[1], x.shape[2])


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes what is done to tensors in place, by where they lie in memory."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: dict[int, list[tuple[Any, tuple[Any, ...], dict[str, Any], int]]] = {}
        self.kept: list[Any] = []  # as long as they live no other tensor lies there

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        if func._schema.is_mutable and args and isinstance(args[0], Tensor):
            storage = args[0].untyped_storage()
            self.kept.append(storage)
            self.calls.setdefault(storage._cdata, []).append((func, args[1:], dict(kwargs or {}), args[0].numel()))
        return answer

    def start(self, tensor: Tensor) -> Start:
        """How this one came to be: by draws of its own that can be done again, or as it is."""
        calls = self.calls.get(tensor.untyped_storage()._cdata, [])
        drawn = [i for i, (func, *_) in enumerate(calls) if func._schema.name.partition("::")[2] in _RANDOM]
        if not drawn:
            return Start(tensor.detach().clone())
        again = calls[drawn[-1] :]
        whole = all(numel == tensor.numel() for *_, numel in again)
        given = [value for _, args, options, _ in again for value in (*args, *options.values())]
        numbers = not any(isinstance(value, Tensor) for value in given)
        if whole and numbers:
            return Start(draws=tuple((func, args, options) for func, args, options, _ in again))
        if bool((tensor == tensor.flatten()[0]).all()):  # it was overwritten
            return Start(tensor.detach().clone())
        return Start(tensor.detach().clone(), shuffled=True)


@lru_cache(maxsize=4)
def _starts(backbone: str, input_size: Size | None) -> dict[str, Start]:
    """Of all tensors of a timm model how they start: the model is built once, and what draws its weights noted."""
    with torch.device("cpu"), torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.default_generator.manual_seed(0)
        with _Recorder() as recorder:
            model = _model(backbone, input_size)
    with torch.no_grad():
        return {name: recorder.start(tensor) for name, tensor in tensors(model).items()}
