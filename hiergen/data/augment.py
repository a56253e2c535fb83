"""What happens to a training image: timm's transforms at the network's input size, and mixing within a batch."""

from __future__ import annotations

import enum
import functools
import hashlib
import types
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import timm
import torch
from PIL import Image
from timm.data import Mixup, auto_augment
from timm.data.mixup import one_hot
from timm.data.transforms import str_to_interp_mode
from torch import Tensor, nn
from torchvision import transforms

from hiergen.data.augmentation import Augment
from hiergen.data.images import Transform, eval_transform
from hiergen.errors import HiergenError, quoted, unquoted
from hiergen.nn.network import HierarchicalNetwork

__all__ = ["Mixer", "describe", "eval_transform", "mixer", "train_transform"]

Mixer: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
_FINAL = 2  # to a tensor, normalised


def train_transform(network: HierarchicalNetwork, augment: Augment) -> Transform:
    """PIL image → `(channels, H, W)` for training: crop, flip, colours or auto-augment, normalised, random erasing.

    The size and the image statistics are the network's; erased boxes hold noise. With `auto_augment`, colour jitter is
    off unless that is "3a" (timm's rule). All draws come from Python's, numpy's and torch's global generators.
    Raises HiergenError for an `auto_augment` that timm does not know, and for one of RGBA images.
    """
    config = timm.data.resolve_model_data_config(network)
    if augment.auto_augment and config["input_size"][0] == 4:
        raise HiergenError(
            "augment.auto_augment knows no images with an alpha channel", hint="--set augment.auto_augment=null"
        )
    try:
        whole = timm.data.create_transform(
            input_size=config["input_size"],
            is_training=True,
            scale=augment.scale,
            ratio=augment.ratio,
            hflip=augment.hflip,
            color_jitter=augment.color_jitter or None,
            auto_augment=augment.auto_augment,
            interpolation=augment.interpolation,
            mean=config["mean"],
            std=config["std"],
            re_prob=augment.random_erasing,
            re_mode="pixel",
        )
    except (AssertionError, ValueError, KeyError, IndexError) as error:
        raise HiergenError(
            f"augment.auto_augment {quoted(augment.auto_augment)} is unknown to timm",
            expected="a text such as rand-m9-mstd0.5-inc1, original, 3a or augmix-m3-w3",
            got=unquoted(error) or None,
        ) from None
    crop, *rest = whole.transforms
    before = [crop]
    if augment.crop == "resize":
        way = config["interpolation"] if augment.interpolation == "random" else augment.interpolation
        size = config["input_size"][-2:]
        before = [transforms.Resize(size, interpolation=str_to_interp_mode(way))]
    elif augment.crop == "none":
        before = timm.data.create_transform(**config, is_training=False).transforms[:-_FINAL]
    for step in rest:
        _mend(step)
    return transforms.Compose([*before, *rest])  # type: ignore[no-any-return]


def mixer(augment: Augment, classes: int, smoothing: float) -> Mixer | None:
    """Mixup and CutMix of a batch, images or maps `(B, C, H, W)` and targets `(B,)` → mixed ones and `(B, classes)`
    target probabilities with label smoothing; None where the recipe has neither.

    Each image is mixed with the one at the other end of the batch, all by one draw from numpy's global generator; where
    both are on, each has half of the batches. An odd batch's last image stays as it is. The input is not changed.
    Sources: Zhang et al., arXiv 1710.09412; Yun et al., arXiv 1905.04899; timm's `Mixup`.
    """
    if not augment.mixes:
        return None
    mix = Mixup(
        mixup_alpha=augment.mixup,
        cutmix_alpha=augment.cutmix,
        prob=augment.mix_prob,
        label_smoothing=smoothing,
        num_classes=classes,
    )

    def mixed(x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        even = len(x) // 2 * 2
        last = smoothed(targets[even:], classes, smoothing)
        if not even:
            return x, last
        done, soft = mix(x[:even].clone(), targets[:even])
        return torch.cat([done, x[even:]]), torch.cat([soft, last])

    return mixed


def smoothed(targets: Tensor, classes: int, smoothing: float) -> Tensor:
    """Target probabilities `(B, classes)`: 1 − s + s/n for the class, s/n for the others."""
    off = smoothing / classes
    return one_hot(targets, classes, on_value=1 - smoothing + off, off_value=off)  # type: ignore[no-any-return]


def _mend(step: Any) -> None:
    """timm asks for 0 bits at the greatest magnitudes, which newer Pillows refuse: one bit is kept."""
    policies = [getattr(step, "ops", []), *getattr(step, "policy", [])]
    for op in (op for ops in policies for op in ops):
        if getattr(op, "aug_fn", None) is auto_augment.posterize:
            op.aug_fn = _posterize


def _posterize(image: Image.Image, bits: int, **_: Any) -> Image.Image:
    return auto_augment.posterize(image, max(bits, 1))  # type: ignore[no-any-return]


def describe(value: Any) -> str:
    """A text with all that a transform does: its parts by class and settings, the same in every process.

    The reprs of transforms leave settings out (the sizes that timm's auto-augment was made for, say).
    """
    match value:
        case None | bool() | int() | float() | str() | bytes():
            return repr(value)
        case enum.Enum():
            return str(value)
        case Tensor():
            return f"tensor{value.tolist()}"
        case transforms.Compose():
            return f"Compose({', '.join(map(describe, value.transforms))})"
        case list() | tuple():
            return f"[{', '.join(map(describe, value))}]"
        case set() | frozenset():
            return f"{{{', '.join(sorted(map(describe, value)))}}}"
        case Mapping():
            return f"{{{', '.join(f'{describe(k)}: {describe(v)}' for k, v in value.items())}}}"
        case type() | types.BuiltinFunctionType():
            return _name(value)
        case functools.partial():
            return f"partial({describe(value.func)}, {describe(value.args)}, {describe(value.keywords)})"
        case types.MethodType():
            return f"{describe(value.__self__)}.{value.__name__}"
        case types.FunctionType():
            cells = [cell.cell_contents for cell in value.__closure__ or ()]
            return f"{_name(value)}#{_code(value.__code__)}({describe([value.__defaults__, cells])})"
        case nn.Module():
            settings = {k: v for k, v in vars(value).items() if not k.startswith("_")}
            parts = "".join(map(describe, (settings, dict(value.state_dict()), dict(value._modules))))
            return f"{_name(type(value))}({parts})"
    state = getattr(value, "__dict__", None)
    if state is None:
        return repr(value) if type(value).__module__.startswith("numpy") else _name(type(value))
    return f"{_name(type(value))}({describe(state)})"


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _code(code: types.CodeType) -> str:
    """A short hash of what a function does, for those that a user wrote: their names stay when their bodies change."""
    inner = [_code(c) if isinstance(c, types.CodeType) else describe(c) for c in code.co_consts]
    return hashlib.sha256(repr((code.co_code, code.co_names, inner)).encode()).hexdigest()[:12]
