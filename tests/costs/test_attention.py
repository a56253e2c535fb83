"""The attention study against the network itself under `attend`, and on a network whose best gain is known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from statistics import fmean
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hiergen.costs.attention import Curve, Scan, cued_logits, curve, effects, scan
from hiergen.errors import HiergenError
from hiergen.nn import Bottlenecks, ClassHeads, HierarchicalNetwork, Siblings
from hiergen.nn.routing import descend, homes_of
from tests.nn.network_cases import TinyViT
from tests.nn.steering_cases import lively

GAINS = (0.5, 1.0, 1.7, 3.0)


@pytest.fixture
def network() -> HierarchicalNetwork:
    return lively()


@pytest.fixture
def data() -> list[tuple[Tensor, Tensor]]:
    images = torch.randn(14, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    targets = torch.arange(14) % 5
    return [(images[:8], targets[:8]), (images[8:], targets[8:])]


def attended(
    network: HierarchicalNetwork, images: Tensor, level: int, cues: list[int], gain: float, after: int
) -> Tensor:
    """One image at a time, by the network itself, with gains by position in `nodes`."""
    first = sum(part.branches for part in network.levels[: level - 1])
    rows = []
    for image, cue in zip(images, cues, strict=True):
        gains = torch.ones(len(network.nodes))
        gains[first + cue] = gain
        with network.attend(gains, after=after), torch.no_grad():
            rows.append(network(image[None]))
    return torch.cat(rows)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_cued_logits_are_the_networks_under_attend(
    network: HierarchicalNetwork, data: Any, level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hiergen.costs.attention._BYTES", 300_000)  # so that the batch is cut into slices
    images = data[0][0]
    cues = [i % network.levels[level - 1].branches for i in (3, 1, 0, 1, 2, 4, 0, 1)]
    with torch.no_grad():
        above = descend(network, network.trunk(images), 0, level - 1)
        logits = network(images)
        found = cued_logits(network, above, logits, level, cues, torch.tensor(GAINS), 1)
    for g, gain in enumerate(GAINS):
        torch.testing.assert_close(found[:, g], attended(network, images, level, cues, gain, 1), atol=1e-4, rtol=1e-4)
    assert torch.equal(found[:, 1], logits)
    assert (found[:, 3] - logits).abs().max() > 0.1
    homes = torch.tensor(homes_of(network, level))
    other = homes[None] != torch.tensor(cues)[:, None]
    assert torch.equal(found[:, 3][other], logits[other])  # nothing but the cued path changes


def test_curve_counts_what_the_network_says(network: HierarchicalNetwork, data: Any) -> None:
    found = curve(network, data, level=2, gains=(3.0, 0.5), seed=4)
    homes = homes_of(network, 2)
    images, targets = torch.cat([x for x, _ in data]), torch.cat([y for _, y in data])
    right = [homes[t] for t in targets]
    assert found.gains == (0.5, 1.0, 3.0)
    assert found.images == 14
    for gain, accuracy in zip(found.gains, found.right, strict=True):
        answers = attended(network, images, 2, right, gain, network.levels[1].default_block).argmax(1)
        assert accuracy == pytest.approx(float((answers == targets).double().mean()))
    assert found.right[1] == found.wrong[1] == found.baseline
    whole = curve(network, [(images, targets)], level=2, gains=(3.0, 0.5), seed=4)
    assert whole == found  # the wrong cues do not depend on the batches


def test_wrong_cues_are_wrong_even_and_seeded(network: HierarchicalNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []

    def spy(net: Any, above: Tensor, logits: Tensor, level: int, cues: list[int], gains: Tensor, after: int) -> Tensor:
        asked.append(cues)
        return logits[:, None].repeat(1, len(gains), 1)

    monkeypatch.setattr("hiergen.costs.attention.cued_logits", spy)
    monkeypatch.setattr(network.trunk, "forward", lambda x: torch.zeros(len(x), 64, 16, 16))
    targets = torch.arange(600) % 5
    for seed in (0, 0, 1):
        curve(network, [(torch.zeros(600, 1), targets)], level=3, gains=(2.0,), seed=seed)
    true, wrong, true2, wrong2, _, wrong3 = asked
    assert true == true2 == [homes_of(network, 3)[t] for t in targets]
    assert wrong == wrong2 != wrong3
    for branch in range(5):
        others = [w for t, w in zip(true, wrong, strict=True) if t == branch]
        counts = [others.count(b) for b in range(5)]
        assert counts[branch] == 0
        assert all(15 <= n <= 45 for b, n in enumerate(counts) if b != branch)  # 30 expected


class Known(HierarchicalNetwork):
    """Images are maps; blocks start as their skips, so with gain g logit c is `g · (weight_c · mean map) + bias_c`."""

    taxonomy = {"a": "a", "b": "b", "rival": "rival"}  # noqa: RUF012
    classes = ("a", "b", "rival")

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Identity()
        self.level1 = Siblings(3, [Bottlenecks(3, 2, 3, depth=3)])
        self.head = ClassHeads(3, 3)
        self.head.weight.data = torch.tensor([[1.0, 0, 0], [0, -1, -10], [1.8, 0.5, 0]])
        self.head.bias.data = torch.tensor([0.0, 3, 0])


def test_the_best_gain_of_a_network_built_for_it() -> None:
    """Images of a need g > 1.8 to beat the rival, those of b g < 2.5."""
    images = torch.tensor([[1.0, 0, 5], [0, 1, 0]])[:, :, None, None].expand(-1, -1, 4, 4)
    parts = [[(images, torch.tensor([0, 1]))] for _ in range(2)]
    found = scan(Known(), *parts, level=1, gains=[0.5, 1.5, 1.7, 1.9, 2.2, 2.4, 2.6])
    assert found.held.gains == (0.5, 1.0, 1.5, 1.7, 1.9, 2.2, 2.4, 2.6)
    assert found.held.right == (0.5, 0.5, 0.5, 0.5, 1, 1, 1, 0.5)
    assert found.held.wrong[1:] == (0.5,) * 7  # exciting another class than the true one changes nothing here
    assert found.best == 1.9  # of equals the nearest to 1
    assert (found.held.baseline, found.held.break_even(1.9), found.held.only_right) == (0.5, 1.0, 1.0)


def test_rates_of_wrong_cues_against_all_choices_of_images() -> None:
    """The accuracy at a rate is the mean over every choice of the images with a wrong cue."""
    right, wrong = [1, 1, 1, 0, 1], [1, 0, 0, 0, 0]
    found = Curve((1.0, 2.0), (0.4, fmean(right)), (0.4, fmean(wrong)), 0.4, 1.0, 0.0, 5)
    for many in range(6):
        chosen = [
            fmean(w if i in some else r for i, (r, w) in enumerate(zip(right, wrong, strict=True)))
            for some in itertools.combinations(range(5), many)
        ]
        assert found.accuracy(2.0, many / 5) == pytest.approx(fmean(chosen))
    even = found.break_even(2.0)
    assert even == pytest.approx(2 / 3)  # 0.8 at 0, 0.2 at 1, and 0.4 without
    assert found.accuracy(2.0, even - 0.01) > 0.4 > found.accuracy(2.0, even + 0.01)


@pytest.mark.parametrize(
    ("right", "wrong", "even"), [(0.3, 0.1, None), (0.4, 0.1, None), (0.6, 0.4, 1.0), (0.6, 0.5, 1.0), (0.6, 0.2, 0.5)]
)
def test_break_even(right: float, wrong: float, even: float | None) -> None:
    found = Curve((1.0, 2.0), (0.4, right), (0.4, wrong), 0.4, 1.0, 0.0, 10).break_even(2.0)
    assert found == (None if even is None else pytest.approx(even))


def test_gains_are_chosen_on_one_part_and_reported_on_the_other() -> None:
    tuned = Curve((0.5, 1.0, 2.0, 4.0), (0.1, 0.4, 0.8, 0.8), (0.5, 0.4, 0.3, 0.0), 0.4, 1, 0, 10)
    held = Curve((0.5, 1.0, 2.0, 4.0), (0.2, 0.3, 0.6, 0.9), (0.2, 0.3, 0.1, 0.0), 0.3, 1, 0, 10)
    found = Scan(1, 2, tuned, held)
    assert found.best == 2.0
    rows = found.by_rate([0, 1])
    assert rows[0] == (0, pytest.approx(0.6), 2.0, pytest.approx(0.6))
    assert rows[1] == (1, pytest.approx(0.1), 0.5, pytest.approx(0.2))


def test_effects_against_counting_by_hand(network: HierarchicalNetwork, data: Any) -> None:
    rows = effects(network, data, {"cat": 3.0, "van": 0.2})
    images, targets = torch.cat([x for x, _ in data]), torch.cat([y for _, y in data])
    with torch.no_grad():
        before = network(images).argmax(1).tolist()
        with network.attend({"cat": 3.0, "van": 0.2}):
            after = network(images).argmax(1).tolist()
    assert before != after
    assert [(row.level, row.name) for row in rows[:4]] == [(0, "all"), (1, "animal"), (1, "thing"), (2, "cat")]
    for row, members in ((rows[0], {0, 1, 2, 3, 4}), (rows[3], {0, 2}), (rows[-1], {4})):
        own = [i for i, t in enumerate(targets.tolist()) if t in members]
        assert row.images == len(own)
        assert row.right == tuple(sum(answers[i] == targets[i] for i in own) for answers in (before, after))
        assert row.named == tuple(sum(a in members for a in answers) for answers in (before, after))
    assert rows[-1].name == "van"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"level": 0, "gains": [2.0]}, "no level 0; expected 1..3 (3 are the classes)"),
        ({"level": 4, "gains": [2.0]}, "no level 4"),
        ({"level": 1, "gains": [float("nan")]}, "a gain cannot be; expected a finite number from 0 up, got nan"),
        ({"level": 1, "gains": [-1.0]}, "got -1"),
        ({"level": 1, "gains": [2.0], "after": 4}, "no block 4 in level 1; expected after = 1..3"),
    ],
)
def test_bad_input(network: HierarchicalNetwork, data: Any, options: Any, says: str) -> None:
    with pytest.raises(HiergenError) as caught:
        curve(network, data, **options)
    assert says in str(caught.value)


def test_nothing_to_look_at(network: HierarchicalNetwork) -> None:
    with pytest.raises(HiergenError, match="no images to scan"):
        curve(network, [], level=1, gains=[2.0])
    with pytest.raises(HiergenError, match="no images to look at"):
        effects(network, [], {"cat": 2.0})


def test_phl_scans_its_classes() -> None:
    torch.manual_seed(0)
    found = curve(TinyViT().eval(), _two(), level=1, gains=[2.0])
    assert found.only_right == 1.0


def _two() -> Iterator[tuple[Tensor, Tensor]]:
    yield torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 0, 1])
