"""The trunk: what all classes share, a timm backbone cut after a stage (Kelm et al., arXiv 2308.05128, Eq. 1's f)."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import timm
import torch
from torch import Tensor, nn

from hiergen.errors import HiergenError, PlanError, nearest, quoted

__all__ = ["Stage", "Trunk", "stages", "trunk_model"]


class Trunk(nn.Module):
    """A timm backbone up to and with the stage `until`: images `(B, channels, H, W)` to maps `(B, C, H', W')`.

    `out_channels` and `reduction` (input px per map px) are timm's; `map_size` is the map's true (H', W') for
    `input_size`. Parameters that the map does not depend on, of the few backbones that cannot be cut clean (hrnet,
    crossvit), are frozen, as DistributedDataParallel asks. With `tokens` a vision transformer answers all its tokens,
    those of class and registers first, as a map `(B, C, 1, L)`.
    Raises PlanError for a backbone, stage or input size that cannot be, HiergenError where weights cannot be fetched.

    >>> trunk = Trunk("resnet50", until="layer3")  # (B, 3, 224, 224) -> (B, 1024, 14, 14)
    """

    is_timm = True
    tokens = False

    def __init__(
        self,
        backbone: str,
        until: str,
        *,
        pretrained: bool = False,
        input_size: Size = (3, 224, 224),
        tokens: bool = False,
    ) -> None:
        super().__init__()
        self.backbone, self.until, self.input_size, self.tokens = backbone, until, tuple(input_size), tokens
        self.model, self.index = trunk_model(backbone, until, pretrained=pretrained, input_size=input_size)
        if tokens and not (hasattr(self.model, "num_prefix_tokens") and _gives_prefix(self.model)):
            raise PlanError(f"backbone {quoted(backbone)} has no tokens", hint="leave out tokens=True")
        self.reduction = next(stage.reduction for stage in stages(backbone) if stage.name == until)
        shape, unused = self._trace()
        self.out_channels, self.map_size = shape[1], (shape[2], shape[3])
        for name in unused:
            self.get_parameter(name).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        if self.index is None:
            return self.model(x)[-1]  # type: ignore[no-any-return]
        if self.tokens:
            return self._tokens(x)
        maps = self.model.forward_intermediates(  # type: ignore[operator]
            x, indices=[self.index], norm=False, output_fmt="NCHW", intermediates_only=True
        )
        return maps[-1]  # type: ignore[no-any-return]

    def _tokens(self, x: Tensor) -> Tensor:
        """All tokens, `(B, C, 1, L)`."""
        rows = self.model.forward_intermediates(  # type: ignore[operator]
            x,
            indices=[self.index],
            return_prefix_tokens=True,
            norm=False,
            output_fmt="NLC",
            intermediates_only=True,
        )[-1]
        if isinstance(rows, tuple | list):
            patches, prefix = rows
            rows = torch.cat([prefix, patches], 1)
        return rows.transpose(1, 2).unsqueeze(2)  # type: ignore[no-any-return]

    @property
    def pretrained_cfg(self) -> dict[str, Any]:
        """timm's description of the backbone: mean, std, interpolation, first_conv, …"""
        return dict(self.model.pretrained_cfg)  # type: ignore[arg-type]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute activations in the backward pass, where the backbone can; HiergenError where it cannot."""
        try:
            self.model.set_grad_checkpointing(enable)  # type: ignore[operator]
        except (AssertionError, AttributeError) as error:
            raise HiergenError(f"timm's {quoted(self.backbone)} has no gradient checkpointing") from error

    def no_weight_decay(self) -> set[str]:
        """timm's names of parameters that must not decay (position embeddings, …)."""
        if not hasattr(self.model, "no_weight_decay"):
            return set()
        return {f"model.{name}" for name in self.model.no_weight_decay()}  # type: ignore[operator]

    def layer_groups(self, coarse: bool = False) -> dict[str, int]:
        """Depth group of every parameter name, for layer-wise learning rates; empty where timm has no groups."""
        if not hasattr(self.model, "group_matcher"):
            return {}
        matcher = self.model.group_matcher(coarse=coarse)  # type: ignore[operator]
        groups = timm.models.group_parameters(self.model, matcher, reverse=True)
        return {f"model.{name}": group for name, group in groups.items()}

    def extra_repr(self) -> str:
        tokens = ", tokens" if self.tokens else ""
        return f"{self.backbone!r}, until={self.until!r}, {self.out_channels} channels, 1/{self.reduction}{tokens}"

    def _trace(self) -> tuple[tuple[int, ...], list[str]]:
        """The map's shape for two images, and the names of parameters without a gradient, found on the meta device."""
        with torch.inference_mode(False):
            twin = on_meta(self)
            images = torch.empty((2, *self.input_size), device="meta")
        trained = {name: p for name, p in twin.named_parameters() if p.requires_grad}
        try:
            with torch.inference_mode(False), torch.enable_grad():
                y: Tensor = twin(images)
                gradients = torch.autograd.grad(y.sum(), list(trained.values()), allow_unused=True)
        except (AssertionError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise PlanError(
                f"backbone {quoted(self.backbone)} does not take input_size {self.input_size}",
                hint=f"torch says: {reason}",
            ) from error
        if y.ndim != 4:
            raise PlanError(
                f"stage {quoted(self.until)} of {quoted(self.backbone)} is no map",
                expected="(B, C, H, W)",
                got=str(tuple(y.shape)),
            )
        unused = [name for name, gradient in zip(trained, gradients, strict=True) if gradient is None]
        return tuple(y.shape), unused


def _gives_prefix(model: Any) -> bool:
    """Whether timm hands the tokens of class and registers out between blocks."""
    method = getattr(model, "forward_intermediates", None)
    return method is not None and "return_prefix_tokens" in inspect.signature(method).parameters


M = TypeVar("M", bound=nn.Module)


def on_meta(module: M) -> M:
    """A twin on the meta device; the memo keeps tied parameters tied. Pruned weights are attributes, and no leaves."""
    memo: dict[int, Any] = {
        id(p): nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=p.requires_grad)
        for p in module.parameters()
    }
    others = [value for part in module.modules() for value in vars(part).values() if isinstance(value, Tensor)]
    memo |= {id(b): torch.empty_like(b, device="meta") for b in (*module.buffers(), *others)}
    return copy.deepcopy(module, memo)


Size = tuple[int, int, int]  # channels, height, width


class Stage(NamedTuple):
    """A place where a backbone can be cut: timm's module name, channels, and input px per map px."""

    name: str
    channels: int
    reduction: int


def stages(backbone: str) -> list[Stage]:
    """The stages of a timm model, first to last, without building its weights.

    Raises PlanError for a name or tag that timm does not know and for a model without `feature_info`.

    >>> stages("resnet50")[3]
    Stage(name='layer3', channels=1024, reduction=16)
    """
    return [stage for stage, _, _ in _stages(backbone)]


def trunk_model(
    backbone: str, until: str, *, pretrained: bool = False, input_size: Size = (3, 224, 224)
) -> tuple[nn.Module, int | None]:
    """A timm model without the layers after the stage `until`, and what to ask it for.

    The number is the index for `forward_intermediates`; None says that the model lacks that method, and that calling it
    answers a list of one map. Under `torch.device("meta")` it costs no memory.
    Raises PlanError for a backbone, stage or input size that cannot be, HiergenError where weights cannot be fetched.
    """
    places = {stage.name: (index, end) for stage, index, end in _stages(backbone)}
    names = list(places)
    if until not in names:
        raise PlanError(
            f"backbone {quoted(backbone)} has no stage {quoted(until)}",
            expected="one of " + ", ".join(names),
            nearest=nearest(until, names),
        )
    index, end = places[until]
    if pretrained and not timm.is_model_pretrained(backbone):
        raise PlanError(f"timm has no pretrained weights for {quoted(backbone)}", hint="pretrained=False works")

    model = make_model(backbone, input_size, pretrained=pretrained)
    if not hasattr(model, "forward_intermediates"):
        cut = make_model(backbone, input_size, pretrained=pretrained, features_only=True, out_indices=(index,))
        return cut, None
    if hasattr(model, "prune_intermediate_layers"):
        (index,) = model.prune_intermediate_layers([index], prune_norm=True, prune_head=True)  # type: ignore[operator]
    if end is not None:
        cut_between(model, index, end)
    return model, index


def cut_between(model: Any, index: int, end: int) -> None:
    """Let a timm model whose last stage has this index end after `end` of its blocks."""
    model.blocks = model.blocks[:end]
    model.stage_ends[index] = end


def stage_index(backbone: str, until: str) -> tuple[int, int | None]:
    """The stage's index in timm's `feature_info`; of one that timm does not list, the next one's, and how many blocks
    lead to it. Raises PlanError as `stages` does."""
    return next((index, end) for stage, index, end in _stages(backbone) if stage.name == until)


def known_model(backbone: str) -> None:
    """Raise PlanError for a name or tag that timm does not know."""
    architecture, _, tag = backbone.partition(".")
    if not timm.is_model(backbone):
        models = timm.list_models()
        guesses = [f"{name}.{tag}" if tag else name for name in nearest(architecture, models)]
        raise PlanError(
            f"timm has no model {quoted(backbone)}", nearest=guesses, hint="timm.list_models() has them all"
        )
    models = timm.list_models(architecture, include_tags=True)
    if tag and backbone not in models:
        raise PlanError(f"timm has no weights {quoted(backbone)}", nearest=nearest(backbone, models))


@lru_cache(maxsize=64)
def _stages(backbone: str) -> tuple[tuple[Stage, int, int | None], ...]:
    """Each stage with what `stage_index` says of it; a few models repeat a name or have an empty one: first wins."""
    known_model(backbone)
    with torch.device("meta"):
        model = timm.create_model(backbone)
    if not getattr(model, "feature_info", None):
        raise PlanError(
            f"timm's {quoted(backbone)} has no feature_info, so it cannot be cut",
            hint="choose a backbone that has it, as resnet50",
        )
    by_name: dict[str, tuple[Stage, int, int | None]] = {}
    for index, info in enumerate(model.feature_info):
        for stage, end in _between(model, index):
            by_name.setdefault(stage.name, (stage, index, end))
        if name := str(info["module"]):
            by_name.setdefault(name, (Stage(name, int(info["num_chs"]), int(info["reduction"])), index, None))
    return tuple(by_name.values())


def _between(model: Any, index: int) -> Iterator[tuple[Stage, int]]:
    """The stages of mobile networks before a listed one that timm does not list, as the resolution stays, and how many
    blocks lead to each."""
    ends = getattr(model, "stage_ends", None)
    if type(model).__name__ not in ("EfficientNet", "MobileNetV3") or ends is None or not index:
        return
    for end in range(ends[index - 1] + 1, ends[index]):
        channels = model.blocks[end - 1][-1].feature_info("bottleneck")["num_chs"]
        yield Stage(f"blocks.{end - 1}", int(channels), int(model.feature_info[index]["reduction"])), end


def make_model(backbone: str, input_size: Size, *, pretrained: bool, **options: Any) -> nn.Module:
    """`timm.create_model` for this input size, with its errors in our words."""
    cfg = timm.get_pretrained_cfg(backbone)
    if input_size[0] != 3:
        options["in_chans"] = input_size[0]
    # only timm models of a fixed size take img_size; the others take any size as they are
    if cfg is not None and cfg.fixed_input_size and tuple(cfg.input_size[1:]) != tuple(input_size[1:]):
        options["img_size"] = tuple(input_size[1:])
    try:
        return timm.create_model(backbone, pretrained=pretrained, **options)  # type: ignore[no-any-return]
    except OSError as error:  # huggingface_hub's and urllib's errors are all OSErrors
        if not pretrained:
            raise
        raise HiergenError(
            f"the pretrained weights of {quoted(backbone)} could not be fetched",
            got=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}",
            hint="offline: pretrained=False, then hiergen.load_trunk(network, FILE) with the backbone's weights "
            "(.safetensors or .pth, timm's names), which 'hiergen train' takes as --pretrained FILE",
        ) from error
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        if not options.keys() & {"img_size", "in_chans"}:
            raise
        raise PlanError(
            f"backbone {quoted(backbone)} does not take input_size {tuple(input_size)}",
            expected=f"{tuple(cfg.input_size)}" if cfg is not None else None,
            hint=f"timm says: {error}",
        ) from error
