"""The trunk: what all classes share, a timm backbone cut after a stage (Kelm et al., arXiv 2308.05128, Eq. 1's f)."""

from __future__ import annotations

import copy
from typing import Any

import timm
import torch
from torch import Tensor, nn

from hiergen.errors import HiergenError, PlanError, quoted
from hiergen.nn.backbone import Size, Stage, stages, trunk_model

__all__ = ["Stage", "Trunk", "stages", "trunk_model"]


class Trunk(nn.Module):
    """A timm backbone up to and with the stage `until`: images `(B, 3, H, W)` to maps `(B, C, H', W')`.

    `out_channels` and `reduction` (input px per map px) are timm's; `map_size` is the map's true (H', W') for
    `input_size`. Parameters that the map does not depend on, of the few backbones that cannot be cut clean (hrnet,
    crossvit), are frozen, as DistributedDataParallel asks.
    Raises PlanError for a backbone, stage or input size that cannot be, HiergenError where weights cannot be fetched.

    >>> trunk = Trunk("resnet50", until="layer3")  # (B, 3, 224, 224) -> (B, 1024, 14, 14)
    """

    def __init__(
        self, backbone: str, until: str, *, pretrained: bool = False, input_size: Size = (3, 224, 224)
    ) -> None:
        super().__init__()
        self.backbone, self.until, self.input_size = backbone, until, tuple(input_size)
        self.model, self.index = trunk_model(backbone, until, pretrained=pretrained, input_size=input_size)
        self.reduction = next(stage.reduction for stage in stages(backbone) if stage.name == until)
        shape, unused = self._trace()
        self.out_channels, self.map_size = shape[1], (shape[2], shape[3])
        for name in unused:
            self.get_parameter(name).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        if self.index is None:
            return self.model(x)[-1]  # type: ignore[no-any-return]
        maps = self.model.forward_intermediates(  # type: ignore[operator]
            x, indices=[self.index], norm=False, output_fmt="NCHW", intermediates_only=True
        )
        return maps[-1]  # type: ignore[no-any-return]

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
        return f"{self.backbone!r}, until={self.until!r}, {self.out_channels} channels, 1/{self.reduction}"

    def _trace(self) -> tuple[tuple[int, ...], list[str]]:
        """The map's shape for two images, and the names of parameters without a gradient, found on the meta device."""
        # a twin on the meta device; the memo keeps tied parameters tied
        with torch.inference_mode(False):
            parameters = {
                name: nn.Parameter(torch.empty_like(p, device="meta"), requires_grad=p.requires_grad)
                for name, p in self.named_parameters()
            }
            memo: dict[int, Tensor] = {id(p): parameters[name] for name, p in self.named_parameters()}
            memo |= {id(b): torch.empty_like(b, device="meta") for b in self.buffers()}
            images = torch.empty((2, *self.input_size), device="meta")
        trained = {name: p for name, p in parameters.items() if p.requires_grad}
        twin = copy.deepcopy(self, memo)
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
