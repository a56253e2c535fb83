"""The taxonomy file as frozen pydantic models, and `read_spec`, which turns a file into one.

Keys and defaults are described in docs/taxonomy-file.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from hiergen.errors import SpecError, nearest, quoted
from hiergen.taxonomy.naming import check_identifier
from hiergen.taxonomy.yamlfile import Document, Key, load

HypernymRule = Literal["deepest", "shallowest", "first", "most-classes"]
BLOCKS = ("bottleneck", "convnext", "convnextv2")
_SUFFIX = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Model(BaseModel):
    """Base of all parts of the file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _amount(value: Any) -> Any:
    """'25M' → 25_000_000, '4.2G' → 4_200_000_000."""
    if isinstance(value, str):
        match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,12})?) ?([kKmMgGtT]?)", value.strip())
        if not match:
            raise ValueError("expected a number like 25M or 4.2G")
        return round(float(match[1]) * _SUFFIX.get(match[2].lower(), 1))
    return value


Amount = Annotated[PositiveInt, BeforeValidator(_amount)]
Identifier = Annotated[str, AfterValidator(check_identifier)]
Width = Annotated[PositiveInt, Field(le=65_536)]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class Stage(Model):
    """`depth` blocks of one shape; `stride` is taken by the first."""

    block: Literal["bottleneck", "convnext", "convnextv2"] = "bottleneck"
    depth: Annotated[PositiveInt, Field(le=100)] = 1
    width: Width
    out: Width
    stride: Literal[1, 2, 4] = 1

    @model_validator(mode="before")
    @classmethod
    def _number_stride(cls, data: Any) -> Any:
        if isinstance(data, dict) and str(data.get("stride", "")).isdecimal():
            return {**data, "stride": int(data["stride"])}
        return data


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


class ModelSpec(Model):
    """One network. Levels come from `levels`, else from `branches`, else from a name like PHL or N3HL."""

    trunk: TrunkSpec = TrunkSpec()
    levels: Annotated[PositiveInt, Field(le=64)] | None = None
    branches: Literal["auto"] | list[list[Stage]] = "auto"
    budget: Budget | None = None
    block: Literal["bottleneck", "convnext", "convnextv2"] | None = None
    depth: Annotated[PositiveInt, Field(le=100)] | None = None
    single_branch: bool = False
    input_size: Annotated[PositiveInt, Field(ge=8, le=8192)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ModelSpec:
        if self.branches == "auto":
            return self
        for option in ("budget", "block", "depth"):
            if getattr(self, option) is not None:
                raise ValueError(f"'{option}' goes with 'branches: auto' only")
        if not self.branches or not all(self.branches):
            raise ValueError("expected one list of stages per level, none of them empty")
        if self.levels is not None and self.levels != len(self.branches):
            raise ValueError(f"'levels: {self.levels}' but 'branches' has {len(self.branches)} lists of stages")
        return self

    @model_validator(mode="after")
    def _single(self) -> ModelSpec:
        if self.single_branch and (self.levels or 1) != 1:
            raise ValueError("'single_branch' has no groups: expected 1 level")
        return self


class ImageFolder(Model):
    """Classes are the sub-folders of `imagefolder`, sorted as torchvision and timm sort them."""

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


Source = Literal["imagenet-superclass", "wordnet"] | Groups | SuperclassFiles | WordNetCopy


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
    refine: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Nesting:
        if self.min_children > self.max_children:
            raise ValueError(f"min_children {self.min_children} is above max_children {self.max_children}")
        return self


class Spec(Model):
    """A whole taxonomy file."""

    name: Identifier
    classes: str | list[str] | ImageFolder
    synsets: dict[str, str] = {}
    names: dict[str, str] = {}
    sources: list[Source] = ["imagenet-superclass", "wordnet"]
    hypernyms: Hypernyms = Hypernyms()
    unplaced: Literal["error", "root"] = "error"
    nesting: Nesting = Nesting()
    models: dict[Identifier, ModelSpec] = {"PHL": ModelSpec(), "N2HL": ModelSpec(), "N3HL": ModelSpec()}

    @model_validator(mode="after")
    def _any(self) -> Spec:
        if not self.models:
            raise ValueError("'models' is empty: expected at least one model, such as 'N3HL: {}'")
        wordnets = sum(source == "wordnet" or isinstance(source, WordNetCopy) for source in self.sources)
        if wordnets > 1:
            raise ValueError("'sources' names WordNet more than once")
        return self


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


def read_spec(path: str | Path, report: Callable[[SpecError], None] | None = None) -> tuple[Spec, Document]:
    """Read and check one taxonomy file.

    Raises `SpecError`: the file and line, what is wrong there, and what was expected. A file with several mistakes
    hands all but the last of them to `report` first.
    """
    document = load(Path(path))
    if not isinstance(document.data, dict):
        kind = {list: "a list", str: "text", type(None): "nothing"}[type(document.data)]
        raise SpecError(
            "is not a taxonomy", place=f"{path}:1", expected="keys such as name, classes, sources, models", got=kind
        )
    try:
        spec = Spec.model_validate(document.data)
    except ValidationError as error:
        mistakes = _as_spec_errors(error, document)
        for mistake in mistakes[:-1]:
            (report or _fail)(mistake)
        raise mistakes[-1] from None
    for name, model in spec.models.items():
        if model_levels(name, model) is None:
            raise SpecError(
                f"cannot tell how many levels model {quoted(name)} has",
                place=document.place(("models", name)),
                hint="name it PHL or N<k>HL, or add 'levels: k'",
            )
    return spec, document


_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is not a key here",
    "int_parsing": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_parsing": "is not a number",
    "bool_parsing": "is not true or false",
    "dict_type": "is not a mapping",
    "list_type": "is not a list",
    "string_type": "is not text",
    "model_type": "is not a mapping",
}


def _as_spec_errors(error: ValidationError, document: Document) -> list[SpecError]:
    """pydantic's list of errors → one sentence per mistake, in the file's order.

    A union reports a failure for each of its members: of those about one entry, the one that got furthest is meant.
    """
    furthest: dict[Key, Any] = {}
    for item in error.errors(include_url=False):
        key = _user_key(item["loc"], document)
        entry = key[: 2 if key[:1] != ("models",) else 6]
        rank = (len(key), item["type"] == "extra_forbidden", item["type"] == "value_error")
        if entry not in furthest or rank > furthest[entry][0]:
            furthest[entry] = (rank, item)
    return [_as_spec_error(item, document) for _, item in furthest.values()]


def _as_spec_error(item: Any, document: Document) -> SpecError:
    key, kind, value = _user_key(item["loc"], document), item["type"], item["input"]
    where: Key = (*key, str(item["loc"][-1])) if kind == "missing" else key
    shown = ".".join(str(part) for part in where) or "the file"
    got = None
    if kind not in {"missing", "extra_forbidden", "value_error"}:
        got = quoted(value) if isinstance(value, str | int | float) else _kind(value)
    names = _allowed(key[:-1]) if kind == "extra_forbidden" else []
    return SpecError(
        f"{quoted(shown)} {_MESSAGES.get(kind) or _sentence(item)}",
        place=document.place(key),
        got=got,
        expected=f"one of {', '.join(names)}" if names else None,
        nearest=nearest(str(key[-1]), names) if names else (),
    )


def _fail(error: SpecError) -> None:
    raise error


def _sentence(item: Any) -> str:
    text = str(item["msg"]).removeprefix("Value error, ")
    return ("is wrong: " if item["type"] == "value_error" else "") + text[:1].lower() + text[1:]


def _kind(value: Any) -> str:
    return {dict: "a mapping", list: "a list", type(None): "nothing"}.get(type(value), type(value).__name__)


def _user_key(loc: tuple[Any, ...], document: Document) -> Key:
    """Drop the parts of pydantic's location that are names of union members, not keys of the file."""
    key: Key = ()
    data = document.data
    for part in loc:
        inside = part in data if isinstance(data, dict) else isinstance(data, list) and part in range(len(data))
        if inside:
            key, data = (*key, part), data[part]
    return key


def _allowed(key: Key) -> list[str]:
    """The keys that may stand in the mapping at `key`."""
    if not key:
        model: type[Model] = Spec
    elif key[0] == "models":
        inner: dict[str, type[Model]] = {"trunk": TrunkSpec, "budget": Budget}
        model = ModelSpec if len(key) == 2 else inner.get(str(key[2]), Stage)
    elif key[0] == "classes":
        model = ImageFolder
    elif key[0] == "sources":
        return ["groups", "superclass-files", "wordnet"]
    else:
        model = Nesting if key[0] == "nesting" else Hypernyms
    return [field.alias or name for name, field in model.model_fields.items()]
