"""The taxonomy file as frozen pydantic models, and `read_spec`, which turns a file into one.

Keys and defaults are described in docs/taxonomy-file.md.
"""

from __future__ import annotations

import re
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
    field_validator,
    model_validator,
)

from hiergen.taxonomy.naming import check_identifier

HypernymRule = Literal["deepest", "shallowest", "first", "most-classes"]
BLOCKS = ("bottleneck", "convnext", "convnextv2", "mbconv")
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


Amount = Annotated[PositiveInt, BeforeValidator(_amount)]
Identifier = Annotated[str, AfterValidator(check_identifier)]
Width = Annotated[PositiveInt, Field(le=65_536)]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class Stage(Model):
    """`depth` blocks of one shape; `stride` is taken by the first. `kernel` and `act` are of `mbconv` only."""

    block: Literal["bottleneck", "convnext", "convnextv2", "mbconv"] = "bottleneck"
    depth: Annotated[PositiveInt, Field(le=100)] = 1
    width: Width
    out: Width
    stride: Literal[1, 2, 4] = 1
    kernel: Literal[3, 5, 7] | None = None
    act: Literal["relu", "relu6", "silu"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _numbers(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {**data, **{k: int(data[k]) for k in ("stride", "kernel") if str(data.get(k, "")).isdecimal()}}

    @model_validator(mode="after")
    def _own_options(self) -> Stage:
        for option in ("kernel", "act"):
            if self.block != "mbconv" and getattr(self, option) is not None:
                raise ValueError(f"'{option}' goes with 'block: mbconv' only")
        return self


class TrunkSpec(Model):
    """A timm backbone, cut after the stage `until` (None: chosen from the number of levels)."""

    backbone: str = "resnet50"
    until: str | None = None


class Budget(Model):
    """Upper bounds for the whole network, trunk included; the solver comes within 2 % of the tighter one."""

    params: Amount | None = None
    macs: Amount | None = None

    @model_validator(mode="after")
    def _something(self) -> Budget:
        if self.params is None and self.macs is None:
            raise ValueError("expected params, macs or both")
        return self


def _shape(*others: str) -> Discriminator:
    """Which member of a union is meant, by the value's shape: "<list>", or a mapping by its key, or "<text>".

    Then an error is about that member only. No tag is a key that a user may write.
    """

    def tag(value: Any) -> str:
        if isinstance(value, list):
            return "<list>"
        keys = value if isinstance(value, dict) else [key for key in others if type(value).__name__ == key]
        return next((f"<{key}>" for key in others if key in keys), "<text>")

    return Discriminator(tag)


Branches = Annotated[Annotated[Literal["auto"], Tag("<text>")] | Annotated[list[list[Stage]], Tag("<list>")], _shape()]


class ModelSpec(Model):
    """One network. Levels come from `levels`, else from `branches`, else from a name like PHL or N3HL."""

    trunk: TrunkSpec = TrunkSpec()
    levels: Annotated[PositiveInt, Field(le=64)] | None = None
    branches: Branches = "auto"
    budget: Budget | None = None
    block: Literal["bottleneck", "convnext", "convnextv2", "mbconv"] | None = None
    depth: Annotated[PositiveInt, Field(le=100)] | None = None
    kernel: Literal[3, 5, 7] | None = None
    single_branch: bool = False
    input_size: Annotated[PositiveInt, Field(ge=8, le=8192)] | None = None

    @field_validator("kernel", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        return int(value) if str(value).isdecimal() else value

    @model_validator(mode="after")
    def _consistent(self) -> ModelSpec:
        if self.branches == "auto":
            if self.kernel is not None and self.block != "mbconv":
                raise ValueError("'kernel' goes with 'block: mbconv' only")
            return self
        for option in ("budget", "block", "depth", "kernel"):
            if getattr(self, option) is not None:
                raise ValueError(f"'{option}' goes with 'branches: auto' only")
        if not self.branches or not all(self.branches):
            raise ValueError("expected one list of stages per level, none of them empty")
        if self.levels is not None and self.levels != len(self.branches):
            raise ValueError(f"'levels: {self.levels}' but 'branches' has {len(self.branches)} lists of stages")
        return self

    @model_validator(mode="after")
    def _single(self) -> ModelSpec:
        listed = len(self.branches) if self.branches != "auto" else 1
        if self.single_branch and (self.levels or listed) != 1:
            raise ValueError("'single_branch' has no groups: expected 1 level")
        return self


class ImageFolder(Model):
    """Classes are the sub-folders of `imagefolder`, sorted as torchvision sorts them."""

    imagefolder: str


class Groups(Model):
    """Hand-edited groups: name → members; a member may again be a mapping of groups."""

    groups: dict[str, Any]


class SuperclassFiles(Model):
    """A folder with a copy of imagenet-superclass' two text files."""

    superclass_files: str = Field(alias="superclass-files")


class WordNetCopy(Model):
    """The user's own WordNet: a folder or zip with data.noun and index.noun."""

    wordnet: str


Source = Annotated[
    Annotated[Literal["imagenet-superclass", "wordnet"], Tag("<text>")]
    | Annotated[Groups, Tag("<groups>")]
    | Annotated[SuperclassFiles, Tag("<superclass-files>")]
    | Annotated[WordNetCopy, Tag("<wordnet>")],
    _shape("groups", "superclass-files", "wordnet"),
]
Classes = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[str], Tag("<list>")] | Annotated[ImageFolder, Tag("<imagefolder>")],
    _shape("imagefolder"),
]


class Hypernyms(Model):
    """Which hypernym counts where WordNet gives several: a rule, and choices for single synsets."""

    rule: HypernymRule = "deepest"
    choose: dict[str, str] = {}


class Nesting(Model):
    """How the merged tree is squeezed to k levels (hiergen.taxonomy.nest)."""

    min_children: Annotated[PositiveInt, Field(ge=2, le=10_000)] = 2
    max_children: Annotated[PositiveInt, Field(ge=2, le=10_000)] = 12
    closeness: Weight = 1.0
    balance: Weight = 1.0
    single_child: Weight | None = None  # None: no price is worth it
    refine: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Nesting:
        if self.min_children > self.max_children:
            raise ValueError(f"min_children {self.min_children} is above max_children {self.max_children}")
        return self


class Spec(Model):
    """A whole taxonomy file."""

    name: Identifier
    classes: Classes
    synsets: dict[str, str] = {}
    names: dict[str, str] = {}
    sources: list[Source] = ["imagenet-superclass", "wordnet"]
    hypernyms: Hypernyms = Hypernyms()
    unplaced: Literal["error", "root"] = "error"
    nesting: Nesting = Nesting()
    models: dict[Identifier, ModelSpec] = {"PHL": ModelSpec(), "N2HL": ModelSpec(), "N3HL": ModelSpec()}

    @field_validator("models")
    @classmethod
    def _any(cls, models: dict[str, ModelSpec]) -> dict[str, ModelSpec]:
        if not models:
            raise ValueError("expected at least one model, such as 'N3HL: {}'")
        return models

    @field_validator("sources")
    @classmethod
    def _one_wordnet(cls, sources: list[Source]) -> list[Source]:
        if sum(source == "wordnet" or isinstance(source, WordNetCopy) for source in sources) > 1:
            raise ValueError("it names WordNet more than once")
        return sources


def model_levels(name: str, spec: ModelSpec) -> int | None:
    """k of one model: stated, counted from its branches, or read off its name; None where nothing says it."""
    if spec.levels is not None:
        return spec.levels
    if spec.branches != "auto":
        return len(spec.branches)
    if spec.single_branch or name.upper().startswith("PHL"):
        return 1
    match = re.match(r"N(\d{1,2})HL", name.upper())
    return int(match[1]) if match and int(match[1]) > 0 else None
