"""Training transforms, mixing, and the text that identifies a transform."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from torchvision import transforms

from hiergen.data.augment import describe, eval_transform, mixer, train_transform
from hiergen.data.augmentation import Augment
from hiergen.data.samples import seeded
from hiergen.errors import HiergenError
from hiergen.nn import HierarchicalNetwork
from tests.helpers import printed_twice
from tests.nn.steering_cases import Nested

PLAIN = Augment(crop="none", hflip=0)


@pytest.fixture(scope="module")
def network() -> HierarchicalNetwork:
    return Nested().eval()


def picture(width: int = 90, height: int = 70) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([rows * 3, columns * 2, rows + columns], -1).astype(np.uint8))


def test_without_a_crop_it_is_the_evaluation(network: HierarchicalNetwork) -> None:
    plain, evaluation = train_transform(network, PLAIN), eval_transform(network)
    assert torch.equal(plain(picture()), evaluation(picture()))
    assert describe(plain) == describe(evaluation)


def test_resize_takes_the_whole_image(network: HierarchicalNetwork) -> None:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    whole = picture().resize((64, 64), Image.Resampling.BILINEAR)
    expected = (torch.from_numpy(np.array(whole)).float() / 255 - mean) / std
    for interpolation in ("bilinear", "random"):
        augment = Augment(crop="resize", hflip=0, interpolation=interpolation)
        image = train_transform(network, augment)(picture())
        if interpolation == "bilinear":
            assert torch.allclose(image, expected.permute(2, 0, 1), atol=1e-6)
        assert image.shape == (3, 64, 64)
    flipped = train_transform(network, Augment(crop="resize", hflip=1, interpolation="bilinear"))(picture())
    assert torch.allclose(flipped.flip(-1), expected.permute(2, 0, 1), atol=1e-6)


def test_a_crop_is_a_part_of_that_size(network: HierarchicalNetwork) -> None:
    """Of a picture whose first two channels are row and column, a crop tells where it lies."""
    augment = Augment(scale=(0.25, 0.25), ratio=(1, 1), hflip=0, interpolation="bilinear")
    transform = train_transform(network, augment)
    starts = set()
    for number in range(8):
        with seeded(number):
            x = transform(picture(80, 80))
        level = x * torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1) + torch.tensor([0.485, 0.456, 0.406]).view(
            3, 1, 1
        )
        rows = level[0] * 255 / 3
        assert float(rows[-1].mean() - rows[0].mean()) == pytest.approx(39, abs=1.5)  # half of 80 pixels
        starts.add(round(float(rows[0].mean())))
    assert len(starts) > 3


def test_every_augmentation_runs(network: HierarchicalNetwork) -> None:
    """All of RandAugment's strengths: some ask Pillow for what newer ones refuse."""
    for text in ("rand-m9-mstd0.5-inc1", "rand-m10-n4-inc1", "original", "v0r", "3a", "augmix-m10-w3"):
        augment = Augment(auto_augment=text, random_erasing=0.5, color_jitter=0.4)
        transform = train_transform(network, augment)
        for number in range(40):
            with seeded(number):
                x = transform(picture())
            assert x.shape == (3, 64, 64)
            assert x.isfinite().all()
    with pytest.raises(HiergenError, match="'rand-q9' is unknown to timm; expected a text such as rand-m9"):
        train_transform(network, Augment(auto_augment="rand-q9"))


def test_the_text_of_a_transform_says_all(network: HierarchicalNetwork) -> None:
    base = Augment(auto_augment="rand-m9-mstd0.5-inc1", random_erasing=0.25)
    changed = [
        {},
        {"scale": (0.1, 1.0)},
        {"ratio": (0.5, 2.0)},
        {"hflip": 0.25},
        {"auto_augment": "rand-m8-mstd0.5-inc1"},
        {"auto_augment": "rand-m9-n3-mstd0.5-inc1"},
        {"random_erasing": 0.3},
        {"interpolation": "bicubic"},
        {"crop": "resize"},
        {"color_jitter": 0.3, "auto_augment": None},
    ]
    texts = [describe(train_transform(network, base.model_copy(update=change))) for change in changed]
    assert len(set(texts)) == len(texts)
    assert not any(" at 0x" in text or "object" in text for text in texts)
    assert describe(transforms.Lambda(abs)) != describe(transforms.Lambda(len))
    assert describe([lambda x: x + 1]) != describe([lambda x: x + 2])


def test_the_text_is_the_same_in_another_process() -> None:
    code = (
        "from tests.nn.steering_cases import Nested\n"
        "from hiergen.data.augment import describe, train_transform\n"
        "from hiergen.data.augmentation import Augment\n"
        "print(describe(train_transform(Nested(), Augment(auto_augment='rand-m9-mstd0.5-inc1', random_erasing=0.2))))"
    )
    assert printed_twice(code).strip()


@pytest.mark.parametrize("count", [6, 5, 1])
def test_mixup_by_hand(count: int) -> None:
    """Of images as of maps: each with the one at the other end, by the share that the target tells."""
    mix = mixer(Augment(mixup=0.8), 4, 0.1)
    assert mix is not None
    x, y = torch.randn(count, 7, 3, 3), torch.arange(count) % 4
    before = x.clone()
    np.random.seed(3)
    mixed, soft = mix(x, y)
    assert torch.equal(x, before)
    np.random.seed(3)
    np.random.rand()
    share = np.random.beta(0.8, 0.8) if count > 1 else 1.0
    even = count // 2 * 2
    smooth = F.one_hot(y, 4) * 0.9 + 0.1 / 4
    first = torch.cat([x[:even] * share + x[:even].flip(0) * (1 - share), x[even:]])
    target = torch.cat([smooth[:even] * share + smooth[:even].flip(0) * (1 - share), smooth[even:]])
    assert torch.allclose(mixed, first, atol=1e-6)
    assert torch.allclose(soft, target, atol=1e-6)


def test_cutmix_pastes_a_box_of_the_share_of_the_target() -> None:
    mix = mixer(Augment(cutmix=1.0), 2, 0.0)
    assert mix is not None
    x = torch.stack([torch.zeros(5, 8, 8), torch.ones(5, 8, 8)])
    shares = set()
    for seed in range(10):
        np.random.seed(seed)
        mixed, soft = mix(x, torch.tensor([0, 1]))
        assert float(soft[0, 1]) == pytest.approx(float(mixed[0].mean()))
        assert float(soft[1, 0]) == pytest.approx(1 - float(mixed[1].mean()))
        shares.add(round(float(soft[0, 1]), 3))
    assert len(shares) > 4


def test_nothing_is_mixed_unless_asked() -> None:
    assert mixer(Augment(), 4, 0.1) is None
    assert mixer(Augment(mixup=0.8, mix_prob=0), 4, 0.1) is None
