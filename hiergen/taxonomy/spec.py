"""The taxonomy file as frozen pydantic models; `specfile.read_spec` turns a file into one.

The descriptions here and in modelspec.py are what docs/taxonomy-reference.md and editors show.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, Tag, WithJsonSchema, field_validator, model_validator

from hiergen.taxonomy.modelspec import (
    Amount,
    Block,
    Branches,
    Budget,
    Model,
    ModelSpec,
    Stage,
    TrunkSpec,
    Weight,
    by_shape,
)
from hiergen.taxonomy.naming import NAME_PATTERN, check_identifier

__all__ = [
    "Amount",
    "Block",
    "Branches",
    "Budget",
    "Classes",
    "Groups",
    "HypernymRule",
    "Hypernyms",
    "Identifier",
    "ImageFolder",
    "Model",
    "ModelSpec",
    "NestingOptions",
    "Source",
    "Spec",
    "Stage",
    "SuperclassFiles",
    "TrunkSpec",
    "WordNetCopy",
    "model_levels",
]

HypernymRule = Literal["deepest", "shallowest", "first", "most-classes"]
Identifier = Annotated[
    str,
    AfterValidator(check_identifier),
    WithJsonSchema({"type": "string", "pattern": NAME_PATTERN, "maxLength": 60}),
]


class ImageFolder(Model):
    """Classes are the innermost folders of `imagefolder`, of its folder `train` where it has parts, sorted by name."""

    model_config = ConfigDict(title="classes from a folder of images")

    imagefolder: str = Field(description="A folder of one folder per class.", examples=["path/to/train"])


class Groups(Model):
    """Hand-edited groups; several such blocks may stand at different strengths."""

    model_config = ConfigDict(title="groups by hand")

    groups: dict[str, Any] = Field(
        description="Name → members. A member is a class (id or name), another group of the block, or a synset or word "
        "that stands for every class at or below it; groups may also be written nested.",
        examples=[{"farm animal": ["hen", "sheep.n.01"], "pet": {"cat": ["domestic_cat.n.01"], "dog": ["dog.n.01"]}}],
    )


class SuperclassFiles(Model):
    """A copy of imagenet-superclass."""

    model_config = ConfigDict(title="imagenet-superclass' own files")

    superclass_files: str = Field(
        alias="superclass-files",
        description="A folder with that repository's two text files.",
        examples=["../imagenet-superclass"],
    )


class WordNetCopy(Model):
    """Your own WordNet."""

    model_config = ConfigDict(title="a WordNet of your own")

    wordnet: str = Field(description="A folder or zip with data.noun and index.noun.", examples=["wordnet-3.1/dict"])


Source = Annotated[
    Annotated[Literal["imagenet-superclass", "wordnet"], Tag("<text>")]
    | Annotated[Groups, Tag("<groups>")]
    | Annotated[SuperclassFiles, Tag("<superclass-files>")]
    | Annotated[WordNetCopy, Tag("<wordnet>")],
    by_shape("groups", "superclass-files", "wordnet"),
]
Classes = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[list[str], Tag("<list>")] | Annotated[ImageFolder, Tag("<imagefolder>")],
    by_shape("imagefolder"),
]


class Hypernyms(Model):
    """Which hypernym counts where WordNet gives several: a rule, and choices for single synsets."""

    model_config = ConfigDict(title="hypernyms")

    rule: HypernymRule = Field(
        default="deepest",
        description="`deepest`: the one with the longest path to the root; `shallowest`: with the shortest; `first`: "
        "the one that WordNet lists first; `most-classes`: with most of this taxonomy's classes below it.",
    )
    choose: dict[str, str] = Field(
        default={},
        description="Synset → the hypernym that counts for it, whatever the rule says.",
        examples=[{"dog.n.01": "domestic_animal.n.01"}],
    )


class NestingOptions(Model):
    """How the merged tree is squeezed to k levels: the parts of the objective that docs/nesting.md states."""

    model_config = ConfigDict(title="nesting")

    min_children: Annotated[int, Field(ge=2, le=10_000)] = Field(
        default=2, description="A group should have so many children; fewer cost balance.", examples=[3]
    )
    max_children: Annotated[int, Field(ge=2, le=10_000)] = Field(
        default=12, description="A group should have no more children; more cost balance.", examples=[20]
    )
    closeness: Weight = Field(
        default=1.0, description="Weight of how close the classes of a group are in the merged tree."
    )
    balance: Weight = Field(
        default=1.0, description="Weight of group sizes; 0 gives exactly the groups that are written.", examples=[0]
    )
    single_child: Weight | None = Field(
        default=None,
        description="Price of a group with a single child. Default: such a group appears only where nothing else is "
        "possible.",
        examples=[0.5],
    )
    refine: bool = Field(
        default=False, description="Deeper models keep the groups of shallower ones and split the last level further."
    )

    @model_validator(mode="after")
    def _ordered(self) -> NestingOptions:
        if self.min_children > self.max_children:
            raise ValueError(f"min_children {self.min_children} is above max_children {self.max_children}")
        return self


class Spec(Model):
    """A whole taxonomy file."""

    model_config = ConfigDict(title="hiergen taxonomy file")

    name: Identifier = Field(
        description="Names the generated file: a letter, then letters, digits, `_` or `-`, and no Python keyword.",
        examples=["pets"],
    )
    classes: Classes = Field(
        description="What is classified, in the order of the logits: a list that ships (imagenet100, imagenet1k, "
        "imagenette, imagewoof, tiny-imagenet-100), a text file with one class a line, a list right here, or a folder "
        "of images. A class is a wnid, a synset or a plain name.",
        examples=["imagenet100", "classes.txt", ["cat", "dog", "n02403003"], {"imagefolder": "path/to/train"}],
    )
    synsets: dict[str, str] = Field(
        default={},
        description="Class → what it is in WordNet, where a plain name means something else: a synset, a wnid, or a "
        "word that has one sense.",
        examples=[{"crane": "crane.n.05", "bat": "baseball bat"}],
    )
    kind_of: dict[str, str] = Field(
        default={},
        alias="kind-of",
        description="Class → what it is a kind of, where WordNet does not have it.",
        examples=[{"stop_sign": "signboard.n.01"}],
    )
    names: dict[str, str] = Field(
        default={}, description="Class → how it is called.", examples=[{"n02012849": "crane (bird)"}]
    )
    sources: list[Source] = Field(
        default=["imagenet-superclass", "wordnet"],
        description="Who says what belongs together, strongest first; a weaker one decides only what the stronger "
        "ones left open. WordNet at most once.",
        examples=[[{"groups": {"reptile": ["snake.n.01", "lizard.n.01"]}}, "wordnet"]],
        json_schema_extra={
            "contains": {"anyOf": [{"const": "wordnet"}, {"type": "object", "required": ["wordnet"]}]},
            "minContains": 0,
            "maxContains": 1,
        },
    )
    hypernyms: Hypernyms = Field(
        default=Hypernyms(), description="What to do where WordNet is no tree.", examples=[{"rule": "most-classes"}]
    )
    unplaced: Literal["error", "root"] = Field(
        default="error", description="Classes that no source knows are an error (E301), or hang under the root."
    )
    nesting: NestingOptions = Field(
        default=NestingOptions(),
        description="How the merged tree is squeezed to k levels.",
        examples=[{"max_children": 20}],
    )
    models: dict[Identifier, ModelSpec] = Field(
        default={"PHL": ModelSpec(), "N2HL": ModelSpec(), "N3HL": ModelSpec()},
        description="Name of a class in the generated file → the network.",
        examples=[{"PHL": {}, "N3HL": {"trunk": {"backbone": "resnet50", "until": "layer2"}}}],
    )

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
