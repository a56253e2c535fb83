"""What a recipe says of augmentation; `augment` makes timm's transforms of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from hiergen.taxonomy.modelspec import Model, NotNegative, Positive, Share


def _range(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("expected the smaller number first")
    return pair


Range = Annotated[tuple[Positive, Positive], AfterValidator(_range)]


class Augment(Model):
    """What is done to training images; by timm, in its words."""

    model_config = ConfigDict(title="augmentation")

    crop: Literal["rrc", "resize", "none"] = Field(
        default="rrc",
        description="`rrc`: a random crop of area `scale` and aspect `ratio`, resized; `resize`: the whole image; "
        "`none`: as in evaluation.",
    )
    scale: Range = Field(
        default=(0.08, 1.0), description="Least and largest area of a random crop, as shares of the image."
    )
    ratio: Range = Field(default=(0.75, 1.3333), description="Least and largest aspect of a random crop.")
    hflip: Share = Field(default=0.5, description="Probability that an image is mirrored.")
    color_jitter: NotNegative | None = Field(
        default=None, description="Strength of timm's colour jitter.", examples=[0.4]
    )
    auto_augment: str | None = Field(
        default=None,
        description="timm's string for AutoAugment, RandAugment or AugMix.",
        examples=["rand-m9-mstd0.5-inc1"],
    )
    random_erasing: Share = Field(default=0.0, description="Probability that a rectangle is erased.", examples=[0.25])
    mixup: NotNegative = Field(default=0.0, description="Alpha of mixup's beta distribution; 0: none.", examples=[0.2])
    cutmix: NotNegative = Field(
        default=0.0, description="Alpha of cutmix's beta distribution; 0: none.", examples=[1.0]
    )
    mix_prob: Share = Field(default=1.0, description="Share of the batches that mixup and cutmix are used on.")
    interpolation: Literal["random", "bilinear", "bicubic", "nearest"] = Field(
        default="random", description="How images are resized."
    )

    @property
    def mixes(self) -> bool:
        """Whether images of a batch are mixed."""
        return (self.mixup > 0 or self.cutmix > 0) and self.mix_prob > 0
