"""What timm's scripts ask of a model, answered by a network of trunk, levels and heads."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import timm
import torch
from torch import Tensor, nn

from hiergen.errors import HiergenError
from hiergen.nn.heads import ClassHeads
from hiergen.nn.siblings import Siblings
from hiergen.nn.trunk import Trunk

if TYPE_CHECKING:
    from PIL import Image

_FROM_BACKBONE = ("mean", "std", "interpolation", "crop_pct", "crop_mode", "fixed_input_size")


class TimmContract(nn.Module):
    """The part of timm's contract that does not run the network."""

    input_size: ClassVar[tuple[int, int, int]] = (3, 224, 224)
    classes: ClassVar[Sequence[str]] = ()

    trunk: Trunk
    head: ClassHeads

    @property
    def levels(self) -> tuple[Siblings, ...]:
        """`level1` … `levelk`."""
        levels: list[Siblings] = []
        while isinstance(level := self._modules.get(f"level{len(levels) + 1}"), Siblings):
            levels.append(level)
        return tuple(levels)

    def to(self, *args: Any, memory_format: torch.memory_format | None = None, **kwargs: Any) -> Self:
        """As `nn.Module.to`; a `memory_format` concerns the trunk only (stacked weights have five dimensions)."""
        if memory_format is not None:
            self.trunk.to(memory_format=memory_format)
        return super().to(*args, **kwargs) if args or kwargs else self

    @property
    def num_classes(self) -> int:
        """Number of logits."""
        return self.head.classes

    @property
    def num_features(self) -> int:
        """Channels of one class's features."""
        return self.head.in_channels

    @property
    def head_hidden_size(self) -> int:
        """Channels that a class's linear layer reads; timm's name for it."""
        return self.head.in_channels

    def get_classifier(self) -> ClassHeads:
        """The class heads."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Refused with HiergenError, unless it changes nothing: every class has branches of its own."""
        if num_classes != self.num_classes:
            raise HiergenError(
                f"{type(self).__name__}: every class has its own branch, so its number of classes cannot be reset",
                expected=str(self.num_classes),
                got=str(num_classes),
                hint="change the taxonomy and rebuild, or cut out the classes you want",
            )
        if global_pool not in (None, "avg"):
            raise HiergenError(
                f"{type(self).__name__}: class branches are pooled by averaging",
                expected="'avg'",
                got=repr(global_pool),
            )

    @property
    def pretrained_cfg(self) -> dict[str, Any]:
        """What timm's data pipeline and scripts ask; the image statistics are the backbone's."""
        backbone = self.trunk.pretrained_cfg
        height, width = self.trunk.map_size
        for level in self.levels:
            height, width = level.map_size(height, width)
        first = backbone.get("first_conv") or ()
        names = [f"trunk.model.{name}" for name in ((first,) if isinstance(first, str) else first)]
        modules = {name for name, _ in self.named_modules()}
        names = [name for name in names if name in modules]
        return {
            **{key: backbone[key] for key in _FROM_BACKBONE if key in backbone},
            **{key: self._by_channel(backbone[key]) for key in ("mean", "std") if backbone.get(key)},
            "architecture": vars(type(self)).get("timm_name", type(self).__name__),
            "url": "",
            "input_size": tuple(self.trunk.input_size),
            "num_classes": self.num_classes,
            "pool_size": (height, width),
            "first_conv": names[0] if len(names) == 1 else tuple(names),
            "classifier": "head",
        }

    @property
    def preprocess(self) -> Callable[[Image.Image], Tensor]:
        """timm's transform for evaluation, at the network's input size and with its image statistics: a PIL image in
        the mode of its channels to `(channels, H, W)`.

        >>> network.preprocess(Image.new("RGB", (400, 300))).shape
        torch.Size([3, 64, 64])
        """
        config = timm.data.resolve_model_data_config(self)
        return timm.data.create_transform(**config, is_training=False)  # type: ignore[no-any-return]

    @property
    def default_cfg(self) -> dict[str, Any]:
        """timm's older name of `pretrained_cfg`."""
        return self.pretrained_cfg

    def _by_channel(self, values: Sequence[float]) -> tuple[float, ...]:
        """A backbone's mean or std for the network's channels: those beyond red, green and blue, or instead of them,
        have the three's average."""
        channels = self.trunk.input_size[0]
        kept = tuple(values)[: channels if channels >= len(values) else 0]
        return kept + (sum(values) / len(values),) * (channels - len(kept))

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep less for the backward pass and compute it once more there: the trunk as timm does it, of the levels only
        their answers, a few branches at a time. Gradients and the branches' running statistics stay as they were.
        Raises HiergenError for a backbone that cannot."""
        self.trunk.set_grad_checkpointing(enable)
        for level in self.levels:
            level.grad_checkpointing = enable

    def group_matcher(self, coarse: bool = False) -> Callable[[str], tuple[int, int]]:
        """Maps a parameter's name to its depth, for timm's layer-wise learning rates: the trunk's own groups, then one
        group per stage of each level (`coarse`: per level), then the heads."""
        trunk, heads = self.trunk.layer_groups(coarse), len(self.levels) + 1

        def depth(name: str) -> tuple[int, int]:
            part, _, rest = name.partition(".")
            if part == "trunk":
                return 0, trunk.get(rest, 0)
            alone = part in ("generalist", "flat")
            if part == "head" or (alone and not rest.startswith("tail")):
                return heads, 0
            stage = re.match(r"(?:tail\.)?stages\.(\d+)", rest)
            number = 1 if alone else int(part.removeprefix("level"))
            return number, int(stage[1]) if stage and not coarse else 0

        return depth

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that must not decay. Stacking gives a branch's norm weights and biases two
        dimensions, so timm's rule for 1-d parameters would miss them."""
        names = {f"trunk.{name}" for name in self.trunk.no_weight_decay()} | {"head.bias"}
        for number, level in enumerate(self.levels, start=1):
            names |= {f"level{number}.{name}" for name, p in level.named_parameters() if p.ndim <= 2}
        for part in ("generalist", "flat"):
            if (branch := self._modules.get(part)) is not None:
                tail = [f"tail.{name}" for name, p in branch.tail.named_parameters() if p.ndim <= 2]  # type: ignore[union-attr]
                names |= {f"{part}.{name}" for name in (*tail, "head.bias", "gains")}
        return names
