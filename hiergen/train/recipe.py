"""How a network is trained: a small YAML file as frozen pydantic models.

Keys and defaults are described in docs/training.md; `recipefile` reads them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from hiergen.taxonomy.spec import Model

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _range(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("expected the smaller number first")
    return pair


Range = Annotated[tuple[Positive, Positive], AfterValidator(_range)]


class Augment(Model):
    """What is done to training images; by timm, in its words.

    `crop`: "rrc" (a random crop of area `scale` and aspect `ratio`, resized), "resize" (the whole image) or "none" (as
    in evaluation). `auto_augment` is timm's string, such as "rand-m9-mstd0.5-inc1"; `random_erasing` a probability;
    `mixup` and `cutmix` are alphas of beta distributions, used on `mix_prob` of the batches.
    """

    crop: Literal["rrc", "resize", "none"] = "rrc"
    scale: Range = (0.08, 1.0)
    ratio: Range = (0.75, 1.3333)
    hflip: Share = 0.5
    color_jitter: NotNegative | None = None
    auto_augment: str | None = None
    random_erasing: Share = 0.0
    mixup: NotNegative = 0.0
    cutmix: NotNegative = 0.0
    mix_prob: Share = 1.0
    interpolation: Literal["random", "bilinear", "bicubic", "nearest"] = "random"

    @property
    def mixes(self) -> bool:
        """Whether images of a batch are mixed."""
        return (self.mixup > 0 or self.cutmix > 0) and self.mix_prob > 0


class Loss(Model):
    """Which loss; see docs/metrics.md for the formulas."""

    name: str = "cross-entropy"
    smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    alpha: NotNegative = 0.1
    beta: Positive = 10.0
    level_weights: tuple[NotNegative, ...] | None = None


class Optimizer(Model):
    """timm's optimiser of that name. `lr` is for `batch_size` images a step, as written: nothing scales it.

    `layer_decay` multiplies the rate by itself for every layer group towards the input; `clip_grad` is the largest
    norm of all gradients together.
    """

    name: str = "adamw"
    lr: Positive = 1e-3
    weight_decay: NotNegative = 0.05
    momentum: Share = 0.9
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    clip_grad: Positive | None = None


class Schedule(Model):
    """timm's schedule of that name, stepped after every update. Epochs may be fractions; no more than half of them
    warm up."""

    name: Literal["cosine", "tanh", "step", "multistep", "poly", "constant"] = "cosine"
    warmup_epochs: NotNegative = 0.0
    warmup_lr: NotNegative = 1e-6
    min_lr: NotNegative = 0.0
    decay_epochs: Positive = 30.0
    decay_milestones: tuple[PositiveInt, ...] = (30, 60)
    decay_rate: Positive = 0.1


class TrunkUse(Model):
    """What becomes of the trunk: trained (at `lr_scale` of the rate) or frozen.

    A frozen trunk runs once for each image and view, if `cache`: its maps wait on disk as `cache_dtype`. `views` is how
    many augmented views of each image there are then; epoch e uses view e modulo `views`. `flip_maps` is the
    probability that a cached map is mirrored, `crop_maps` the least share of its sides that a random window keeps (one
    window for a batch); both are nearly the maps of mirrored and cropped images, and free.
    """

    mode: Literal["train", "frozen"] = "train"
    lr_scale: Share = 1.0
    pretrained: bool = False
    cache: bool = True
    cache_dtype: Literal["float16", "float32"] = "float16"
    views: Annotated[PositiveInt, Field(le=1000)] = 1
    flip_maps: Share = 0.0
    crop_maps: Annotated[float, Field(gt=0, le=1)] = 1.0

    @property
    def cached(self) -> bool:
        """Whether branches are trained on maps from disk."""
        return self.mode == "frozen" and self.cache


class Recipe(Model):
    """A whole recipe. `batch_size` counts the images of one update, over all processes and `accumulate` parts.

    `hold_out` is the share of the training images that is validated on where no others are given. `branches` says how
    branches start: at random, from the backbone's own next stages where their shapes allow, or "scored", from those of
    their channels that tell a branch's classes apart best. `dropout` acts on a
    class's pooled features. `ema` is the decay of averaged weights, which are then those that are validated and kept.
    `sync_norms` takes batch statistics over all processes. A checkpoint is written after every epoch, and every
    `save_minutes` between.
    """

    note: str = ""
    epochs: Annotated[PositiveInt, Field(le=100_000)] = 100
    batch_size: PositiveInt = 128
    accumulate: PositiveInt = 1
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    precision: Literal["float32", "bfloat16", "float16", "auto"] = "auto"
    hold_out: Annotated[float, Field(gt=0, lt=1)] = 0.1
    branches: Literal["random", "backbone", "scored"] = "random"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    trunk: TrunkUse = TrunkUse()
    augment: Augment = Augment()
    loss: Loss = Loss()
    decision: Literal["argmax", "crm"] = "argmax"
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    sync_norms: bool = True
    save_minutes: Positive = 10.0

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        if self.batch_size % self.accumulate:
            raise ValueError(f"'accumulate: {self.accumulate}' does not divide 'batch_size: {self.batch_size}'")
        if self.branches == "scored" and not self.trunk.cached:
            raise ValueError("'branches: scored' reads maps from the cache: expected 'trunk.mode: frozen' with 'cache'")
        if self.augment.mixes and self.batch_size // self.accumulate % 2:
            raise ValueError("mixup and cutmix mix pairs: expected an even 'batch_size'")
        return self
