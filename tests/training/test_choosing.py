"""What the end of a training chooses, from logits made by hand."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from hiergen.models.load import find_model
from hiergen.models.weights import load_weights, save_weights
from hiergen.nn import Bottlenecks, Generalist
from hiergen.nn.cutout import chosen_form
from hiergen.nn.network import HierarchicalNetwork
from hiergen.training.choosing import choose_forms
from tests.training.own_images import source


@pytest.fixture
def network(tmp_path: Path) -> HierarchicalNetwork:
    """sky, rust, moss, sand, plum in cold (sky, moss, plum) and warm (rust, sand)."""
    built = find_model(f"{source(tmp_path, 'toy_choosing')}:N2HL").cls().eval()
    built.generalist = Generalist([Bottlenecks(built.trunk.out_channels, 4, 8)], 5, groups=2)
    return built


def logits(answers: list[int], sure: float = 5.0) -> torch.Tensor:
    return sure * torch.nn.functional.one_hot(torch.tensor(answers), 5).float()


SKY, RUST, MOSS, SAND, PLUM = range(5)
TARGETS = [SKY, MOSS, PLUM, MOSS, RUST, SAND, RUST, SAND]
# of cold one in four is right, of warm all are; the specialists are the other way round in warm
GENERAL = [SKY, SKY, SKY, SKY, RUST, SAND, RUST, SAND]
SPECIAL = [SKY, MOSS, PLUM, MOSS, SAND, RUST, RUST, SAND]


def chosen(network: HierarchicalNetwork) -> Any:
    return choose_forms(
        network, {"specialists": logits(SPECIAL), "generalist": logits(GENERAL)}, torch.tensor(TARGETS), logits(TARGETS)
    )


def test_each_group_keeps_what_is_better_on_held_out_images(network: HierarchicalNetwork) -> None:
    choice = chosen(network)
    cold, warm = sorted(choice.groups, key=lambda group: group.group)
    assert (cold.group, cold.classes, cold.images) == ("cold", 3, 4)
    assert (cold.generalist, cold.specialist, cold.flat, cold.form) == (0.25, 1.0, 1.0, "specialists")
    assert (warm.generalist, warm.specialist, warm.form) == (1.0, 0.5, "generalist")
    # the standard error of the paired difference: 0, 1, 1, 1
    assert cold.error == pytest.approx(torch.tensor([0.0, 1, 1, 1]).std().item() / 2)
    assert network.choice == {"cold": "specialists", "warm": "generalist"}


def test_gains_are_the_smallest_that_recognise_most(network: HierarchicalNetwork) -> None:
    choice = chosen(network)
    names = network.nesting.names(1)
    gains = dict(zip(names, network.generalist.gains.tolist(), strict=True))  # type: ignore[union-attr]
    assert gains == {"cold": 2.0, "warm": 0.0}  # at 1 both say as much, and the first class wins
    assert choice.top1 == {"generalist": 0.625, "both": 1.0, "specialists": 0.75}
    assert choice.form == network.form == "both"


def test_equal_forms_answer_by_the_cheapest(network: HierarchicalNetwork) -> None:
    choice = choose_forms(
        network, {"specialists": logits(TARGETS), "generalist": logits(TARGETS)}, torch.tensor(TARGETS)
    )
    assert choice.form == "generalist"
    assert all(group.form == "generalist" and group.gain == 0 for group in choice.groups)
    assert choice.flat is None


@pytest.mark.parametrize(
    ("generalist", "flat", "answers"),
    [
        ("1111", "1110", "flat"),  # one image more is no more than the standard error
        ("1110", "1111", "flat"),
        ("1101", "1101", "generalist"),  # right where the flat branch is, and cheaper
        ("1110", "1101", "flat"),  # as many, other ones: nothing says which is better
        ("1111", "1000", "generalist"),
        ("1", "0", "flat"),
    ],
)
def test_the_flat_branch_stays_unless_another_form_is_better_by_more_than_chance(
    network: HierarchicalNetwork, generalist: str, flat: str, answers: str
) -> None:
    def said(right: str) -> torch.Tensor:
        return logits([SKY if c == "1" else RUST for c in right])

    network.flat = Generalist([Bottlenecks(network.trunk.out_channels, 4, 8)], 5, groups=2)
    choice = choose_forms(
        network, {"generalist": said(generalist), "flat": said(flat)}, torch.tensor([SKY] * len(flat))
    )
    assert choice.form == answers
    first, second, *_ = choice.lines()
    assert f"of all classes, {len(flat)} held-out images: generalist" in first
    assert second.startswith(f"one image is {100 / len(flat):.1f} points there: more images (--val DATA)")


def test_a_cutout_follows_the_choice_of_its_groups(network: HierarchicalNetwork) -> None:
    assert chosen_form(network, [SKY]) == "specialists"  # nothing chosen: the network's form
    chosen(network)
    assert chosen_form(network, [SKY, PLUM]) == "specialists"
    assert chosen_form(network, [SAND]) == "generalist"
    assert chosen_form(network, [SKY, SAND]) == "generalist"


def test_weights_remember_form_choice_and_gains(network: HierarchicalNetwork, tmp_path: Path) -> None:
    chosen(network)
    save_weights(network, tmp_path / "w.safetensors")
    again = type(network)().eval()
    again.generalist = Generalist([Bottlenecks(again.trunk.out_channels, 4, 8)], 5, groups=2)
    load_weights(again, tmp_path / "w.safetensors")
    assert (again.form, dict(again.choice)) == ("both", {"cold": "specialists", "warm": "generalist"})
    x = torch.rand(3, 3, 32, 32)
    assert torch.equal(again(x), network(x))


def test_a_group_without_images_keeps_the_generalist(network: HierarchicalNetwork) -> None:
    choice = choose_forms(
        network, {"specialists": logits(SPECIAL[:4]), "generalist": logits(GENERAL[:4])}, torch.tensor(TARGETS[:4])
    )
    warm = next(group for group in choice.groups if group.group == "warm")
    assert (warm.images, warm.form) == (0, "generalist")


def test_what_is_not_known_is_null_and_figures_are_per_cent_within_the_group(network: HierarchicalNetwork) -> None:
    targets = torch.tensor([SKY, RUST])  # one image of each group: no standard error
    forms = {"specialists": logits([SKY, RUST]), "generalist": logits([MOSS, RUST])}
    choice = choose_forms(network, forms, targets)
    written = choice.to_dict()
    assert [group["error"] for group in written["groups"]] == [None, None]
    json.dumps(written, allow_nan=False)
    alone = choose_forms(network, {"generalist": logits([SKY, RUST])}, targets)  # no specialist
    json.dumps(alone.to_dict(), allow_nan=False)
    screen = Console(width=120, record=True, file=io.StringIO())
    screen.print(choice.table())
    text = screen.export_text()
    assert text.startswith("right within the group")
    assert "100.0 %" in text
    assert "+100.0 ± –" in text
