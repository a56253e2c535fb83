"""The part of a taxonomy file that describes networks: trunk, branches, budget.

The descriptions here are what docs/taxonomy-reference.md and editors show.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PositiveInt,
    Tag,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)

from hiergen.errors import unquoted

_SUFFIX = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Model(BaseModel):
    """Base of all parts of the file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _amount(value: Any) -> Any:
    """'25M' → 25_000_000, '4.2G' → 4_200_000_000."""
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,12})?) ?([kKmMgGtT]?)", value.strip())
        if not match:
            raise ValueError("expected a number like 25M or 4.2G")
        return round(float(match[1]) * _SUFFIX.get(match[2].lower(), 1))
    return value


Amount = Annotated[
    PositiveInt,
    BeforeValidator(_amount),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0.5},  # it is rounded
                {"type": "string", "pattern": r"^(?=.*[1-9])[0-9]{1,15}(\.[0-9]{1,12})? ?[kKmMgGtT]?$"},
            ],
            "title": "amount",
        }
    ),
]
Width = Annotated[PositiveInt, Field(le=65_536)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


def by_shape(*others: str) -> Discriminator:
    """Which member of a union is meant, by the value's shape: "<list>", or a mapping by its key, or "<text>".

    Then an error is about that member only. No tag is a key that a user may write.
    """

    def tag(value: Any) -> str:
        if isinstance(value, list):
            return "<list>"
        keys = value if isinstance(value, dict) else [key for key in others if type(value).__name__ == key]
        return next((f"<{key}>" for key in others if key in keys), "<text>")

    return Discriminator(tag)


def given(*keys: str) -> dict[str, Any]:
    """JSON Schema: all of `keys` are there, and none of them is null."""
    return {"required": list(keys), "properties": {key: {"not": {"type": "null"}} for key in keys}}


def is_(key: str, value: object) -> dict[str, Any]:
    """JSON Schema: `key` is there and has this value."""
    return {"required": [key], "properties": {key: {"const": value}}}


def only_with(keys: tuple[str, ...], condition: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema: where any of `keys` is given, `condition` holds."""
    return {"if": {"anyOf": [given(key) for key in keys]}, "then": condition}


def whole_numbers(data: Any, *keys: str) -> Any:
    """A mapping whose values of these keys are ints where they are digits: YAML's texts match no Literal."""
    if not isinstance(data, dict):
        return data
    return {**data, **{key: int(data[key]) for key in keys if str(data.get(key, "")).isdecimal()}}


Block = Literal["bottleneck", "convnext", "convnextv2", "mbconv", "conv"]
OWN = (None, "auto", "copy", "attention")  # values of `block` that name the backbone's own
_AUTO: dict[str, Any] = {"properties": {"branches": {"const": "auto"}}}
# a generalist has an aim where there is no budget
_AIMED: dict[str, Any] = {
    "required": ["generalist"],
    "properties": {"generalist": {"enum": ["shallow", "whole", "both"]}},
    "not": given("budget"),
}


class Stage(Model):
    """Blocks of one shape, one after the other, in every branch of a level; the first takes the stride."""

    model_config = ConfigDict(
        title="stage",
        json_schema_extra={
            "allOf": [
                only_with(("kernel",), is_("block", "mbconv")),
                only_with(("act",), {"required": ["block"], "properties": {"block": {"enum": ["mbconv", "conv"]}}}),
                {
                    "if": is_("block", "conv"),
                    "then": {"properties": {"depth": {"const": 1}, "stride": {"const": 1}}},
                    "else": given("width"),
                },
            ]
        },
    )

    block: Block = Field(
        default="bottleneck", description="What it is made of; `conv` is one 1×1 convolution, as mobile backbones end."
    )
    depth: Annotated[PositiveInt, Field(le=100)] = Field(default=1, description="How many blocks.", examples=[3])
    width: Width | None = Field(
        default=None,
        description="Channels inside: a bottleneck's inner width, a ConvNeXt block's hidden width, an inverted "
        "residual's expanded width. A `conv` has none.",
        examples=[64],
    )
    out: Width = Field(description="Output channels.", examples=[256])
    stride: Literal[1, 2, 4] = Field(default=1, description="Of the first block; 2 halves height and width.")
    kernel: Literal[3, 5, 7] | None = Field(
        default=None, description="px of the depthwise kernel (default 3); `mbconv` only.", examples=[5]
    )
    act: Literal["relu", "relu6", "silu"] | None = Field(
        default=None,
        description="Activation; `mbconv` and `conv` only. Default: relu6 on mobilenetv2 and the lite models, relu on "
        "mnasnet, silu elsewhere.",
        examples=["relu6"],
    )

    @model_validator(mode="before")
    @classmethod
    def _numbers(cls, data: Any) -> Any:
        return whole_numbers(data, "stride", "kernel")

    @model_validator(mode="after")
    def _own_options(self) -> Stage:
        if self.kernel is not None and self.block != "mbconv":
            raise ValueError("'kernel' goes with 'block: mbconv' only")
        if self.act is not None and self.block not in ("mbconv", "conv"):
            raise ValueError("'act' goes with 'block: mbconv' and 'block: conv' only")
        if self.block != "conv":
            if self.width is None:
                raise ValueError("'width' is missing: the channels inside a block")
        elif (self.width, self.depth, self.stride) not in ((None, 1, 1), (self.out, 1, 1)):
            raise ValueError("'block: conv' is one 1×1 convolution: it has 'out' only, and no width, depth or stride")
        return self


BACKBONE_PATTERN = r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)?$"


def _timm_name(backbone: str) -> str:
    # it stands in generated source, and hiergen's own table is asked without its tag
    if len(backbone) > 100 or not re.fullmatch(BACKBONE_PATTERN.strip("^$"), backbone):
        raise ValueError(
            "expected a name of timm's: letters, digits, '_', and perhaps a tag after a dot, as in resnet50.a1_in1k"
        )
    return backbone


Backbone = Annotated[
    str,
    AfterValidator(_timm_name),
    WithJsonSchema({"type": "string", "pattern": BACKBONE_PATTERN, "maxLength": 100}),
]


class TrunkSpec(Model):
    """A timm backbone, cut after one of its stages: what all classes share."""

    model_config = ConfigDict(title="trunk")

    backbone: Backbone = Field(
        default="resnet50",
        description="Any timm model with `feature_info`; a pretrained tag may follow.",
        examples=["resnet50.a1_in1k", "convnextv2_tiny"],
    )
    until: str | None = Field(
        default=None,
        description="The stage after which the trunk ends, as timm calls it, or `auto`: the last one behind which the "
        "model's `aim` leaves room. Default: by the number of levels.",
        examples=["layer2", "stages.2", "auto"],
    )


Runtime = Literal["torch", "compiled", "onnxruntime", "openvino"]


class Budget(Model):
    """Upper bounds for the whole network, trunk included; the solver comes within 2 % (ms: 3 %) of the tightest."""

    model_config = ConfigDict(
        title="budget",
        json_schema_extra={
            "anyOf": [given("params"), given("macs"), given("ms")],
            **only_with(("runtime", "threads"), given("ms")),
        },
    )

    params: Amount | None = Field(default=None, description="Parameters.", examples=["25M"])
    macs: Amount | None = Field(
        default=None,
        description="MACs of one image: multiply-adds of convolutions and linear layers at the input size.",
        examples=["4.2G"],
    )
    ms: Positive | None = Field(
        default=None,
        le=1e6,
        description="Milliseconds of one image in plain form, measured on this machine by the first 'hiergen build'.",
        examples=[12],
    )
    runtime: Runtime | None = Field(
        default=None, description="What `ms` is measured in. Default: onnxruntime.", examples=["openvino"]
    )
    threads: Annotated[PositiveInt, Field(le=1024)] | None = Field(
        default=None, description="CPU threads that `ms` is measured with. Default: 1.", examples=[4]
    )
    grid: Literal[1, 2, 4, 8, 16, 32, 64] | None = Field(
        default=None,
        description="Channels are multiples of it, where that fills the budget. Default: 16, which CPUs want.",
        examples=[8],
    )

    @model_validator(mode="before")
    @classmethod
    def _numbers(cls, data: Any) -> Any:
        return whole_numbers(data, "grid")

    @model_validator(mode="after")
    def _something(self) -> Budget:
        if self.params is None and self.macs is None and self.ms is None:
            raise ValueError("expected params, macs, ms or some of them")
        for option in ("runtime", "threads"):
            if self.ms is None and getattr(self, option) is not None:
                raise ValueError(f"'{option}' goes with 'ms' only")
        return self


class Aim(Model):
    """How fast cutouts are to be: ms as parts of the flat network's, of one image in plain form, measured on this
    machine by the first 'hiergen build'."""

    model_config = ConfigDict(title="aim")

    cutout: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] = Field(
        description="Of a finest group's cutout, in the mean over the groups.", examples=[0.6]
    )
    full: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = Field(
        default=None,
        description="A bound on the whole network too: on its generalist where it has one, else on all of its "
        "branches.",
        examples=[1.1],
    )
    runtime: Runtime | None = Field(
        default=None, description="What is measured in. Default: onnxruntime where it is installed, else torch."
    )
    threads: Annotated[PositiveInt, Field(le=1024)] = Field(default=1, description="CPU threads to measure with.")


Side = Annotated[PositiveInt, Field(ge=8, le=8192)]
_MOST_CHANNELS = 1024
Channels = Annotated[PositiveInt, Field(le=_MOST_CHANNELS)]


def _height_and_width(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """32 → (32, 32)."""
    if not isinstance(value, list):
        return 2 * validate((value, 8))[:1]  # the 8 is any side: of a wrong number one complaint is enough
    with suppress(ValidationError):
        return validate(value)
    got = unquoted("x".join(map(str, value)))
    raise ValueError(f"expected 64, 32x64, [height, width] or [channels, height, width], in px from 8; got {got}")


_SIDE: dict[str, Any] = {"type": "integer", "minimum": 8, "maximum": 8192}
_CHANNELS: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": _MOST_CHANNELS}
InputSize = Annotated[
    tuple[Side, Side],
    WrapValidator(_height_and_width),
    WithJsonSchema(
        {
            "anyOf": [
                _SIDE,
                {"type": "string", "pattern": r"^([1-9][0-9]{0,3}x)?([89]|[1-9][0-9]{1,3})x([89]|[1-9][0-9]{1,3})$"},
                {"type": "array", "items": _SIDE, "minItems": 2, "maxItems": 2},
                {"type": "array", "prefixItems": [_CHANNELS, _SIDE, _SIDE], "minItems": 3, "maxItems": 3},
            ],
            "title": "input size",
        }
    ),
]

Levels = Annotated[list[Annotated[list[Stage], Field(json_schema_extra={"minItems": 1})]], Tag("<list>")]
Branches = Annotated[Annotated[Literal["auto"], Tag("<text>")] | Levels, by_shape()]


class ModelSpec(Model):
    """One network. Levels come from `levels`, else from `branches`, else from a name like PHL or N3HL."""

    model_config = ConfigDict(
        title="model",
        json_schema_extra={
            "allOf": [
                only_with(("budget", "block", "depth", "aim"), _AUTO),
                only_with(("kernel",), {"allOf": [_AUTO, is_("block", "mbconv")]}),
                only_with(
                    ("depth",),
                    {
                        "required": ["block"],
                        "properties": {"block": {"not": {"enum": ["auto", "copy", "attention", None]}}},
                    },
                ),
                only_with(("aim",), {"properties": {"budget": {"type": "null"}, "block": {"enum": ["auto", None]}}}),
                only_with(
                    ("tail",),
                    {
                        "required": ["branches", "generalist"],
                        "properties": {
                            "branches": {"type": "array"},
                            "generalist": {"enum": ["shallow", "both"]},
                        },
                    },
                ),
                {
                    "if": {"required": ["trunk"], "properties": {"trunk": is_("until", "auto")}},
                    "then": {"allOf": [_AUTO, {"anyOf": [given("aim"), _AIMED]}]},
                },
                {
                    "if": is_("single_branch", True),
                    "then": {
                        "properties": {
                            "generalist": {"const": "none"},
                            "levels": {"enum": [1, None]},
                            "branches": {"anyOf": [{"const": "auto"}, {"minItems": 1, "maxItems": 1}]},
                        }
                    },
                },
            ]
        },
    )

    trunk: TrunkSpec = Field(
        default=TrunkSpec(),
        description="What all classes share.",
        examples=[{"backbone": "resnet50", "until": "layer2"}],
    )
    levels: Annotated[PositiveInt, Field(le=64)] | None = Field(
        default=None,
        description="k, the number of split-points. Default: as many as `branches` has lists, or what the name says: "
        "1 for PHL…, 3 for N3HL….",
        examples=[3],
    )
    branches: Branches = Field(
        default="auto",
        description="One list of stages per level, or `auto`: the widths are solved for the budget.",
        examples=["auto", [[{"depth": 3, "width": 64, "out": 256, "stride": 2}]]],
        json_schema_extra={"minItems": 1},
    )
    budget: Budget | None = Field(
        default=None,
        description="What `branches: auto` may cost. Default: what the flat backbone costs.",
        examples=[{"params": "25M", "macs": "4.2G"}],
    )
    aim: Aim | None = Field(
        default=None,
        description="In place of a `budget`, with `branches: auto` and `block: auto`. Default: `{cutout: 0.6}` with a "
        "`generalist`, else none.",
        examples=[{"cutout": 0.45}],
    )
    generalist: Literal["none", "shallow", "whole", "both"] = Field(
        default="none",
        description="A branch for all classes beside the others: `shallow`, the first block of each of the backbone's "
        "stages after the cut; `whole`, all that the flat network has there; `both`: the shallow one for cutouts, and "
        "the flat network's.",
        examples=["shallow"],
    )
    tail: list[Stage] | None = Field(
        default=None,
        description="The shallow `generalist`'s stages, spelled out, with `branches` that are too: to keep the shapes "
        "of a network that is trained.",
        examples=[[{"depth": 1, "width": 64, "out": 256, "stride": 2}]],
        json_schema_extra={"minItems": 1},
    )
    block: Literal["auto", "copy", "attention", "bottleneck", "convnext", "convnextv2", "mbconv"] | None = Field(
        default=None,
        description="The block of all stages, with `branches: auto`. Default: `auto`, the backbone's own: the first "
        "block of each of its stages after the cut, then the rest as the budget allows. `copy`: copies of them with "
        "all their channels, as `auto` has where branches have no blocks of their kinds; `attention`: the same of a "
        "vision transformer.",
        examples=["mbconv"],
    )
    depth: Annotated[PositiveInt, Field(le=100)] | None = Field(
        default=None,
        description="Blocks per stage, with `branches: auto` and a `block` of its own. Default: 3.",
        examples=[2],
    )
    kernel: Literal[3, 5, 7] | None = Field(
        default=None,
        description="px of the depthwise kernel, with `branches: auto` and `block: mbconv`. Default: 3.",
        examples=[5],
    )
    single_branch: bool = Field(
        default=False,
        description="One sequential branch with all classes as outputs: the control PHL1branch. Has one level.",
    )
    input_size: InputSize | None = Field(
        default=None,
        description="px: of a square, `HEIGHTxWIDTH`, `[height, width]` or `[channels, height, width]`. Default: the "
        "backbone's.",
        examples=[128, "32x64", [1, 32, 64]],
    )
    in_chans: Channels = Field(
        default=3, description="Channels of an image: 1 for greyscale, 3 for RGB, 4 for RGBA.", examples=[1]
    )

    @model_validator(mode="before")
    @classmethod
    def _channels_apart(cls, data: Any) -> Any:
        """`input_size: [1, 32, 64]` or 1x32x64 → `input_size: [32, 64]` and `in_chans: 1`."""
        if not isinstance(data, dict):
            return data
        size = data.get("input_size")
        if isinstance(size, str) and "x" in size:
            size = size.split("x")
        size = list(size) if isinstance(size, tuple) else size
        if not isinstance(size, list) or len(size) != 3 or str(size[0]) not in map(str, range(1, _MOST_CHANNELS + 1)):
            return {**data, "input_size": size}
        channels, *sides = size
        if str(other := data.get("in_chans", channels)) != str(channels):
            raise ValueError(f"'in_chans: {unquoted(other)}' but the channels in 'input_size' are {channels}")
        return {**data, "input_size": sides, "in_chans": channels}

    @field_validator("kernel", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return int(value) if str(value).isdecimal() else value

    @model_validator(mode="after")
    def _consistent(self) -> ModelSpec:
        if self.branches == "auto":
            if self.kernel is not None and self.block != "mbconv":
                raise ValueError("'kernel' goes with 'block: mbconv' only")
            if self.tail is not None:
                raise ValueError("'tail' goes with 'branches' that are spelled out")
            if self.depth is not None and self.block in OWN:
                raise ValueError("'depth' goes with a 'block' only: the backbone's own tail has as many as fit")
            return self._aimed()
        for option in ("budget", "block", "depth", "kernel", "aim"):
            if getattr(self, option) is not None:
                raise ValueError(f"'{option}' goes with 'branches: auto' only")
        if not self.branches or not all(self.branches):
            raise ValueError("expected one list of stages per level, none of them empty")
        if self.tail == []:
            raise ValueError("'tail' has no stages: expected one or more")
        if self.tail is not None and self.generalist not in ("shallow", "both"):
            raise ValueError("'tail' is the shallow generalist's: it goes with 'generalist: shallow' or 'both'")
        if self.levels is not None and self.levels != len(self.branches):
            raise ValueError(f"'levels: {self.levels}' but 'branches' has {len(self.branches)} lists of stages")
        return self

    def _aimed(self) -> ModelSpec:
        """Raises ValueError for an aim, or an open stage, that goes with nothing else that is said."""
        if self.aim is not None:
            if self.budget is not None:
                raise ValueError("'aim' and 'budget' exclude each other")
            if self.block not in OWN:
                raise ValueError("'aim' goes with 'block: auto' or 'block: copy' only")
        elif self.trunk.until == "auto" and self.find_aim() is None:
            raise ValueError("'until: auto' goes with an 'aim', such as {cutout: 0.6}")
        return self

    def find_aim(self) -> Aim | None:
        """The aim, or the default one of a network with a generalist."""
        open_ = self.branches == "auto" and self.block in OWN and self.budget is None
        return Aim(cutout=0.6) if self.aim is None and self.generalist != "none" and open_ else self.aim

    @model_validator(mode="after")
    def _single(self) -> ModelSpec:
        listed = len(self.branches) if self.branches != "auto" else 1
        if self.single_branch and (self.levels or listed) != 1:
            raise ValueError("'single_branch' has no groups: expected 1 level")
        if self.single_branch and self.generalist != "none":
            raise ValueError("'single_branch' is a branch for all classes: it needs no 'generalist'")
        if self.trunk.until == "auto" and self.branches != "auto":
            raise ValueError("'until: auto' goes with 'branches: auto' only")
        return self
