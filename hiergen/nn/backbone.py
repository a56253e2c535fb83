"""timm's backbones: which stages they have, and one cut after a stage."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import timm
import torch
from torch import nn

from hiergen.errors import HiergenError, PlanError, nearest, quoted

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
    return [stage for stage, _ in _stages(backbone)]


def trunk_model(
    backbone: str, until: str, *, pretrained: bool = False, input_size: Size = (3, 224, 224)
) -> tuple[nn.Module, int | None]:
    """A timm model without the layers after the stage `until`, and what to ask it for.

    The number is the index for `forward_intermediates`; None says that the model lacks that method, and that calling it
    answers a list of one map. Under `torch.device("meta")` it costs no memory.
    Raises PlanError for a backbone, stage or input size that cannot be, HiergenError where weights cannot be fetched.
    """
    indices = {stage.name: index for stage, index in _stages(backbone)}
    names = list(indices)
    if until not in names:
        raise PlanError(
            f"backbone {quoted(backbone)} has no stage {quoted(until)}",
            expected="one of " + ", ".join(names),
            nearest=nearest(until, names),
        )
    index = indices[until]
    if pretrained and not timm.is_model_pretrained(backbone):
        raise PlanError(f"timm has no pretrained weights for {quoted(backbone)}", hint="pretrained=False works")

    model = _create(backbone, input_size, pretrained=pretrained)
    if not hasattr(model, "forward_intermediates"):
        cut = _create(backbone, input_size, pretrained=pretrained, features_only=True, out_indices=(index,))
        return cut, None
    if hasattr(model, "prune_intermediate_layers"):
        (index,) = model.prune_intermediate_layers([index], prune_norm=True, prune_head=True)  # type: ignore[operator]
    return model, index


@lru_cache(maxsize=64)
def _stages(backbone: str) -> tuple[tuple[Stage, int], ...]:
    """Each stage with its index in timm's feature_info; a few models repeat a name or have an empty one: first wins."""
    if not timm.is_model(backbone):
        architecture, _, tag = backbone.partition(".")
        known = timm.list_models()
        guesses = [f"{name}.{tag}" if tag else name for name in nearest(architecture, known)]
        raise PlanError(
            f"timm has no model {quoted(backbone)}", nearest=guesses, hint="timm.list_models() has them all"
        )
    architecture, _, tag = backbone.partition(".")
    known = timm.list_models(architecture, include_tags=True)
    if tag and backbone not in known:
        raise PlanError(f"timm has no weights {quoted(backbone)}", nearest=nearest(backbone, known))
    with torch.device("meta"):
        model = timm.create_model(backbone)
    if not getattr(model, "feature_info", None):
        raise PlanError(
            f"timm's {quoted(backbone)} has no feature_info, so it cannot be cut",
            hint="choose a backbone that has it, as resnet50",
        )
    found: dict[str, tuple[Stage, int]] = {}
    for index, info in enumerate(model.feature_info):
        if name := str(info["module"]):
            found.setdefault(name, (Stage(name, int(info["num_chs"]), int(info["reduction"])), index))
    return tuple(found.values())


def _create(backbone: str, input_size: Size, *, pretrained: bool, **options: Any) -> nn.Module:
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
            hint="offline, pretrained=False works, and so does loading a local file with load_state_dict",
        ) from error
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        if "img_size" not in options:
            raise
        raise PlanError(
            f"backbone {quoted(backbone)} does not take input_size {tuple(input_size)}",
            expected=f"{tuple(cfg.input_size)}",
            hint=f"timm says: {error}",
        ) from error
