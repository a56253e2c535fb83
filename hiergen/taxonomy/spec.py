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
    Discriminator,
    Field,
    PositiveInt,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from hiergen.errors import SpecError, nearest, quoted
from hiergen.taxonomy.naming import check_identifier, identifier
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
        listed = len(self.branches) if self.branches != "auto" else 1
        if self.single_branch and (self.levels or listed) != 1:
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
    _check_model_names(spec, document)
    return spec, document


def _check_model_names(spec: Spec, document: Document) -> None:
    """In code '-' becomes '_', and timm's registry knows lower case only."""
    seen: dict[str, str] = {}
    for name in spec.models:
        other = seen.setdefault(identifier(name).lower(), name)
        if other != name:
            raise SpecError(
                f"models {quoted(other)} and {quoted(name)} become the same name in code or in timm's registry",
                place=document.place(("models", name)),
                hint="rename one",
                code="E505",
            )


_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is not a key here",
    "int_parsing": "is not a whole number",
    "int_parsing_size": "is not a whole number of reasonable size",
    "int_from_float": "is not a whole number",
    "int_type": "is not a whole number",
    "float_parsing": "is not a number",
    "float_type": "is not a number",
    "finite_number": "is not a finite number",
    "bool_parsing": "is not true or false",
    "bool_type": "is not true or false",
    "dict_type": "is not a mapping",
    "list_type": "is not a list",
    "string_type": "is not text",
    "model_type": "is not a mapping",
    "literal_error": "is not known here",
    "greater_than": "is too small",
    "greater_than_equal": "is too small",
    "less_than_equal": "is too large",
}
_BOUNDS = {"gt": "more than", "ge": "at least", "le": "at most"}


def _as_spec_errors(error: ValidationError, document: Document) -> list[SpecError]:
    """pydantic's list of errors → one sentence per mistake, in the file's order."""
    items = [(_user_key(item["loc"], document), item) for item in error.errors(include_url=False)]
    # of two mistakes on one line, a misspelt key explains a missing one
    items.sort(key=lambda pair: (document.line(pair[0]), pair[1]["type"] != "extra_forbidden"))
    return [_as_spec_error(item, key, document) for key, item in items]


def _as_spec_error(item: Any, key: Key, document: Document) -> SpecError:
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    where: Key = (*key, str(item["loc"][-1])) if kind == "missing" else key
    shown = ".".join(str(part) for part in where) or "the file"
    problem = _MESSAGES.get(kind) or _sentence(item)
    names = _allowed(key[:-1]) if kind == "extra_forbidden" else []
    near = nearest(str(key[-1]), names) if names else ()
    expected = f"one of {', '.join(names)}" if names else None
    if kind == "literal_error":
        expected = context["expected"]
        if isinstance(value, str):
            near = nearest(value, re.findall("'([^']+)'", expected))
    elif bound := next((b for b in _BOUNDS if b in context), None):
        expected = f"{_BOUNDS[bound]} {context[bound]:g}"
    got = None
    if kind not in {"missing", "extra_forbidden"}:
        scalar = isinstance(value, str | int | float)
        got = quoted(value) if scalar else _kind(value) if kind != "value_error" else None
    return SpecError(
        f"{quoted(shown)} {problem}",
        place=document.place(key),
        got=got if got is None or got not in problem else None,
        expected=expected,
        nearest=near,
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
