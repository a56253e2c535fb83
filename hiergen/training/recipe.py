"""How a network is trained: a small YAML file as frozen pydantic models.

The descriptions are what docs/recipe-reference.md and editors show. Recipes are read by name or from a file, with
values set on the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, create_model, model_validator

from hiergen.data.augmentation import Augment
from hiergen.errors import HiergenError, SpecError, nearest, quoted, unquoted
from hiergen.taxonomy.modelspec import Model, NotNegative, Positive, Share, is_
from hiergen.taxonomy.specfile import mistakes
from hiergen.taxonomy.yamlfile import Document, Key, load, parse
from hiergen.training.decision import RULES, DecisionRule
from hiergen.training.losses import LOSSES, LossKind


def _each(table: Mapping[str, LossKind | DecisionRule]) -> str:
    return "; ".join(f"`{name}`: {row.help}" for name, row in table.items()) + "."


class AnyLoss(Model):
    """Which loss; docs/metrics.md has the formulas. `Loss` has the options of every one in `LOSSES` too."""

    model_config = ConfigDict(title="loss")

    name: str = Field(
        default="cross-entropy",
        description=_each(LOSSES),
        json_schema_extra={"enum": list(LOSSES)},
    )
    smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.0, description="Label smoothing.", examples=[0.1])

    class_weights: Literal["auto"] | dict[str, Positive] | None = Field(
        default=None,
        description="What an image's loss is multiplied by, by class, group or WordNet term (1 where none is given); "
        "`auto`: as many times as a class has fewer training images than the mean class. Of `bce`: of a class's yes; "
        "`auto`: images without the class by images with it.",
        examples=["auto", {"tench": 2}],
    )

    @property
    def options(self) -> dict[str, Any]:
        """The values that the loss of this name takes, besides smoothing."""
        return {option: getattr(self, option) for option in LOSSES[self.name].options} if self.name in LOSSES else {}


if TYPE_CHECKING:
    Loss: TypeAlias = AnyLoss
    RuleName: TypeAlias = str
else:
    RuleName = Literal[tuple(RULES)]
    Loss = create_model(
        "Loss",
        __base__=AnyLoss,
        __module__=__name__,
        __doc__="Which loss; docs/metrics.md has the formulas.",
        **{option: field for kind in LOSSES.values() for option, field in kind.options.items()},
    )


class Optimizer(Model):
    """timm's optimiser of that name."""

    model_config = ConfigDict(title="optimiser")

    name: str = Field(default="adamw", description="Any of timm's.", examples=["sgd", "lamb"])
    lr: Positive = Field(default=1e-3, description="For `batch_size` images a step, as written: nothing scales it.")
    weight_decay: NotNegative = Field(default=0.05, description="Not of norms and biases.")
    momentum: Share = Field(default=0.9, description="Where the optimiser has one.")
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="Multiplies the rate by itself for every group of layers towards the input.",
        examples=[0.75],
    )
    clip_grad: Positive | None = Field(
        default=None, description="The largest norm of all gradients together.", examples=[5.0]
    )


class Schedule(Model):
    """timm's schedule of that name, stepped after every update. Epochs may be fractions; no more than half of them
    warm up."""

    model_config = ConfigDict(title="schedule")

    name: Literal["cosine", "tanh", "step", "multistep", "poly", "constant"] = Field(
        default="cosine", description="How the rate falls."
    )
    warmup_epochs: NotNegative = Field(default=0.0, description="Epochs in which the rate rises.", examples=[5])
    warmup_lr: NotNegative = Field(default=1e-6, description="The rate that they begin with.")
    min_lr: NotNegative = Field(default=0.0, description="The rate at the end.")
    decay_epochs: Positive = Field(default=30.0, description="Of `step`: epochs between two falls.")
    decay_milestones: tuple[PositiveInt, ...] = Field(
        default=(30, 60), description="Of `multistep`: the epochs of the falls."
    )
    decay_rate: Positive = Field(default=0.1, description="What a fall multiplies the rate by; the power of `poly`.")


class TrunkUse(Model):
    """What becomes of the trunk. A frozen one runs once for each image and view, if `cache`: its maps wait on disk."""

    model_config = ConfigDict(title="trunk")

    mode: Literal["train", "frozen"] = Field(
        default="train", description="Trained with the branches, or left as it is."
    )
    lr_scale: Share = Field(default=1.0, description="The trunk's part of the learning rate.", examples=[0.1])
    pretrained: bool = Field(default=False, description="Start from timm's weights, fetched; or `--pretrained FILE`.")
    cache: bool = Field(default=True, description="A frozen trunk's maps are kept on disk and used again.")
    cache_dtype: Literal["float16", "float32"] = Field(default="float16", description="Precision of the maps on disk.")
    views: Annotated[PositiveInt, Field(le=1000)] = Field(
        default=1,
        description="Augmented views of each image in the cache; epoch e uses view e modulo `views`.",
        examples=[4],
    )
    flip_maps: Share = Field(
        default=0.0,
        description="Probability that a cached map is mirrored: nearly the map of a mirrored image, and free.",
    )
    crop_maps: Annotated[float, Field(gt=0, le=1)] = Field(
        default=1.0,
        description="Least share of its sides that a random window of a cached map keeps (one for a batch).",
    )

    @property
    def cached(self) -> bool:
        """Whether branches are trained on maps from disk."""
        return self.mode == "frozen" and self.cache


class Distillation(Model):
    """How much a teacher's word counts (`--teacher FILE`), beside the loss."""

    model_config = ConfigDict(title="distillation")

    temperature: Positive = Field(default=2.0, description="Of the softmaxes that are compared.")
    kl: NotNegative = Field(default=1.0, description="Weight of what they differ by, within each group.")
    l1: NotNegative = Field(default=0.1, description="Weight of what the raw logits differ by.")


class Reject(Model):
    """None of these: at the end, a threshold on the best weights' logits, from the validation images."""

    model_config = ConfigDict(title="rejection")

    kept: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.95, description="Share of the validation images that it accepts."
    )


class Recipe(Model):
    """How a network is trained. Every key may be left out."""

    model_config = ConfigDict(
        title="hiergen recipe",
        json_schema_extra={
            "if": is_("branches", "scored"),
            "then": {
                "required": ["trunk"],
                "properties": {"trunk": {**is_("mode", "frozen"), "not": is_("cache", False)}},
            },
        },
    )

    note: str = Field(default="", description="What it is for; shown by `hiergen train --recipes`.")
    epochs: Annotated[PositiveInt, Field(le=100_000)] = Field(
        default=100, description="Times that every image is seen."
    )
    batch_size: PositiveInt = Field(
        default=128, description="Images of one update, over all processes and `accumulate` parts."
    )
    accumulate: PositiveInt = Field(
        default=1, description="Parts of an update, each with its own batch statistics; divides `batch_size`."
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(default=0, description="Of everything that is drawn at random.")
    precision: Literal["float32", "bfloat16", "float16", "auto"] = Field(
        default="auto", description="`auto`: bfloat16 on a GPU that has it, float32 on a CPU."
    )
    hold_out: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1, description="Share of the training images that is validated on where no others are given."
    )
    branches: Literal["random", "backbone", "scored"] = Field(
        default="random",
        description="How they start: at random, from the backbone's own next stages where their shapes allow, or from "
        "those of their channels that tell a branch's classes apart best.",
    )
    form: Literal["auto", "specialists", "generalist", "each"] = Field(
        default="auto",
        description="Which part is trained: the branches of groups and classes, the `generalist`, or `each` of them "
        "for itself. `auto`: the generalist alone where there is one, as the others gain nothing (docs/evidence.md); "
        "`each` where a flat branch stands behind a trunk that is trained.",
    )
    negatives: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="Other groups, drawn at random, whose branches run on a training image besides its own; with two "
        "levels or more. Default: all of them.",
        examples=[2],
    )
    flat_epochs: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=0,
        description="With pretrained weights and no `--teacher`: epochs for which the flat network is fine-tuned "
        "first, to be the teacher.",
        examples=[4],
    )
    distillation: Distillation = Field(
        default=Distillation(), description="How much a teacher's word counts.", examples=[{"temperature": 4}]
    )
    balanced: bool = Field(
        default=False,
        description="An epoch draws every class equally often, in as many images as there are: of rare classes an "
        "image comes again, augmented otherwise, of frequent ones some stay out.",
    )
    reject: Reject | None = Field(
        default=None,
        description="Fit a threshold for images of none of the classes, and a temperature, which weights and exports "
        "keep; `hiergen reject` does it later, and for cutouts.",
        examples=[{"kept": 0.95}],
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(default=0.0, description="Of a class's pooled features.")
    trunk: TrunkUse = Field(default=TrunkUse(), description="What becomes of it.", examples=[{"mode": "frozen"}])
    augment: Augment = Field(
        default=Augment(), description="What is done to training images.", examples=[{"crop": "resize"}]
    )
    loss: Loss = Field(default=Loss(), description="What is made small.", examples=[{"name": "hxe"}])
    decision: RuleName = Field(
        default="argmax",
        description=f"How classes are chosen: {_each(RULES)}",
    )
    optimizer: Optimizer = Field(default=Optimizer(), description="How weights are changed.", examples=[{"lr": 0.01}])
    schedule: Schedule = Field(default=Schedule(), description="How the rate changes.", examples=[{"warmup_epochs": 5}])
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Decay of averaged weights, which are then those that are validated and kept.",
        examples=[0.999],
    )
    freeze_norms: bool = Field(
        default=False,
        description="Batch norms keep the statistics that they start with: for pretrained weights on few images.",
    )
    sync_norms: bool = Field(
        default=True,
        description="Batch statistics over all processes; with `negatives` of two levels or more, of each.",
    )
    save_minutes: Positive = Field(default=10.0, description="Between checkpoints within an epoch.")

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        if self.batch_size % self.accumulate:
            raise ValueError(f"'accumulate: {self.accumulate}' does not divide 'batch_size: {self.batch_size}'")
        if self.branches == "scored" and not self.trunk.cached:
            raise ValueError("'branches: scored' reads maps from the cache: expected 'trunk.mode: frozen' with 'cache'")
        if self.augment.mixes and self.negatives is not None:
            raise ValueError("'negatives' choose groups by an image's class, which mixup and cutmix blur")
        if self.negatives is not None and self.loss.name != "cross-entropy":
            raise ValueError("'negatives' go with cross-entropy only")
        if self.balanced and self.loss.class_weights is not None:
            raise ValueError("'balanced' and 'loss.class_weights' both make up for rare classes: expected one of them")
        if self.augment.mixes and self.batch_size // self.accumulate % 2:
            raise ValueError("mixup and cutmix mix pairs: expected an even 'batch_size'")
        return self


_ENDINGS = {".yaml", ".yml"}


def recipe_names() -> list[str]:
    """The recipes that ship."""
    folder = resources.files("hiergen.training").joinpath("recipes")
    return sorted(Path(file.name).stem for file in folder.iterdir() if Path(file.name).suffix == ".yaml")


def load_recipe(recipe: str | Path | Recipe, settings: Iterable[str] = ()) -> Recipe:
    """A shipped recipe by its name, one from a YAML file, or the one given; each of `settings` (a command's --set) is
    "key=value" or "key.key=value".

    Raises HiergenError for an unknown name, a file that is no recipe, a setting that is none, and values that cannot
    be.

    >>> load_recipe("quick", ["epochs=3", "optimizer.lr=0.01"]).epochs
    3
    """
    if isinstance(settings, str):
        settings = (settings,)
    document = parse(dump_recipe(recipe), Path("recipe")) if isinstance(recipe, Recipe) else _document(str(recipe))
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise SpecError("is not a recipe", place=f"{recipe}:1", expected="keys such as epochs, batch_size, optimizer")
    edited = _EditedDocument(document, data)
    for setting in settings:
        edited.put(setting)
    try:
        return Recipe.model_validate(edited.data)
    except ValidationError as error:
        raise mistakes(error, edited, allowed)[0] from None


def dump_recipe(recipe: Recipe) -> str:
    """The whole recipe as YAML, defaults too; `load_recipe` of it gives the same recipe."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def allowed(key: Key) -> list[str]:
    """The keys that may stand at a place of a recipe."""
    model: type[BaseModel] | None = Recipe
    for part in key:
        field = None if model is None else model.model_fields.get(str(part))
        kind = None if field is None else field.annotation
        kinds = (kind, *get_args(kind))  # of "Reject | None" both
        model = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
    return list(model.model_fields) if model is not None else []


def _document(recipe: str) -> Document:
    path = Path(recipe)
    if path.suffix in _ENDINGS:
        return load(path)
    if recipe not in recipe_names():
        raise HiergenError(
            f"no recipe {quoted(recipe)}",
            expected=f"{', '.join(recipe_names())}, or a .yaml file",
            nearest=nearest(recipe, recipe_names()),
        )
    text = resources.files("hiergen.training").joinpath("recipes", f"{recipe}.yaml").read_text("utf-8")
    return parse(text, Path(f"{recipe}.yaml"))


class _EditedDocument(Document):
    """A document some of whose values were set by hand: mistakes in them name the setting."""

    def __init__(self, document: Document, data: Mapping[str, Any]) -> None:
        super().__init__(document.path, _copied(data), {})
        self._under, self._by_hand = document, dict[Key, str]()

    def line(self, key: Key) -> int:
        return self._under.line(key)

    def place(self, key: Key) -> str:
        for end in range(len(key), 0, -1):
            if key[:end] in self._by_hand:
                return self._by_hand[key[:end]]
        # a rule over several values: what was set by hand is what broke it
        return next(reversed(self._by_hand.values())) if not key and self._by_hand else self._under.place(key)

    def put(self, setting: str) -> None:
        name, sign, text = setting.partition("=")
        key: Key = tuple(part.strip() for part in name.split("."))
        place = f"--set {unquoted(setting)}"
        if not sign or not all(key):
            raise HiergenError("is no setting", place=place, expected="key=value, such as optimizer.lr=0.01")
        at = self.data
        for depth, part in enumerate(key[:-1], 1):
            if key[depth] not in (names := allowed(key[:depth])) and not names:
                siblings = allowed(key[: depth - 1])
                raise SpecError(
                    f"{quoted('.'.join(map(str, key)))} is not a key of a recipe",
                    place=place,
                    nearest=nearest(str(part), siblings),
                )
            inner = at.get(part)
            at[part] = at = inner if isinstance(inner, dict) else {}
        at[key[-1]] = parse(text, Path(place)).data
        self._by_hand[key] = place


def _copied(data: Any) -> Any:
    return {name: _copied(value) for name, value in data.items()} if isinstance(data, dict) else data
