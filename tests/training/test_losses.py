"""Losses equal their formulas, written out over probabilities; they are differentiable and linear in the target."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hiergen.errors import HiergenError
from hiergen.training.losses import LOSSES, make_loss
from tests.training.slow_trees import HAND, HAND_CLASSES, SlowTree, hand, pair, softmax, tree_of

OPTIONS = {
    "cross-entropy": {},
    "bce": {},
    "levels": {"level_weights": [0.5, 2, 1]},
    "hxe": {"alpha": 0.4},
    "soft-labels": {"beta": 4},
}


def node_probability(slow: SlowTree, p: list[float], node: tuple[str, ...]) -> float:
    return sum(p[i] for i in slow.below(node))


def slow_class_loss(name: str, slow: SlowTree, p: list[float], c: int) -> float:
    """The loss of one image whose class is c."""
    path = slow.paths[c]
    if name == "cross-entropy":
        return -math.log(p[c])
    if name == "levels":
        weights = [0.5, 2, 1]
        parts = [-w * math.log(node_probability(slow, p, path[: j + 1])) for j, w in enumerate(weights)]
        return sum(parts) / sum(weights)
    if name == "hxe":
        total = 0.0
        for depth in range(1, len(path) + 1):
            conditional = node_probability(slow, p, path[:depth]) / node_probability(slow, p, path[: depth - 1])
            total -= math.exp(-0.4 * depth) * math.log(conditional)
        return total
    near = [math.exp(-4 * slow.lca_height(c, j) / slow.tree_height) for j in range(len(p))]
    return -sum(n / sum(near) * math.log(q) for n, q in zip(near, p, strict=True))


def slow_loss(
    name: str, slow: SlowTree, logits: Tensor, targets: Tensor, smoothing: float, weights: list[float] | None = None
) -> float:
    total = 0.0
    for row, target in zip(logits, targets, strict=True):
        p = softmax(row)
        hard = [float(target[c]) if target.ndim else float(int(target) == c) for c in range(len(p))]
        by_class = [h * (weights[c] if weights else 1) for c, h in enumerate(hard)]
        for c in range(len(p)):
            mixed = (1 - smoothing) * by_class[c] + smoothing / len(p) * sum(by_class)
            if name == "bce":
                yes, aim = 1 / (1 + math.exp(-row[c])), (1 - smoothing) * hard[c] + smoothing / len(p)
                total -= aim * math.log(yes) * (weights[c] if weights else 1) + (1 - aim) * math.log(1 - yes)
            else:
                total += mixed * slow_class_loss(name, slow, p, c)
    return total / len(logits)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_formulas(name: str, smoothing: float, soft: bool, seed: int) -> None:
    tree, slow = pair(seed, 13, equal=name == "levels")
    torch.manual_seed(seed)
    logits = 3 * torch.randn(6, 13, dtype=torch.float64)
    targets = torch.rand(6, 13, dtype=torch.float64).softmax(1) if soft else torch.randint(13, (6,))
    loss = make_loss(name, tree, smoothing=smoothing, **OPTIONS[name])
    value = float(loss(logits, targets))
    assert value == pytest.approx(slow_loss(name, slow, logits, targets, smoothing), rel=1e-6)
    weights = [0.5 + (5 * c % 13) / 7 for c in range(13)]
    loss = make_loss(name, tree, smoothing=smoothing, weights=torch.tensor(weights), **OPTIONS[name])
    value = float(loss(logits, targets))
    assert value == pytest.approx(slow_loss(name, slow, logits, targets, smoothing, weights), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("soft", [False, True])
def test_gradients(name: str, soft: bool) -> None:
    tree, _ = pair(1, 7, equal=name == "levels")
    torch.manual_seed(0)
    logits = torch.randn(3, 7, dtype=torch.float64, requires_grad=True)
    targets = torch.rand(3, 7, dtype=torch.float64).softmax(1) if soft else torch.tensor([0, 3, 6])
    loss = make_loss(name, tree, smoothing=0.1, **OPTIONS[name])
    assert torch.autograd.gradcheck(lambda x: loss(x, targets), (logits,))


@pytest.mark.parametrize("soft", [False, True])
def test_limits_are_cross_entropy(soft: bool) -> None:
    tree, _ = pair(4, 15)
    logits = torch.randn(8, 15, dtype=torch.float64)
    targets = torch.rand(8, 15, dtype=torch.float64).softmax(1) if soft else torch.randint(15, (8,))
    expected = F.cross_entropy(logits, targets, label_smoothing=0.1)
    for name, options in (("cross-entropy", {}), ("hxe", {"alpha": 0.0}), ("soft-labels", {"beta": 500.0})):
        torch.testing.assert_close(make_loss(name, tree, smoothing=0.1, **options)(logits, targets), expected)
    equal, _ = pair(4, 15, equal=True)
    last = make_loss("levels", equal, smoothing=0.1, level_weights=[0, 0, 3])
    torch.testing.assert_close(last(logits, targets), expected)
    flat = tree_of({str(i): "x" for i in range(15)}, [str(i) for i in range(15)])
    torch.testing.assert_close(make_loss("levels", flat, smoothing=0.1)(logits, targets), expected)


def test_hxe_by_hand() -> None:
    tree, _ = hand()  # pug, van, tabby, cup, siamese, jeep
    p = torch.tensor([[0.1, 0.2, 0.3, 0.1, 0.1, 0.2]], dtype=torch.float64)
    value = float(make_loss("hxe", tree, alpha=1.0)(p.log(), torch.tensor([2])))
    e = math.e
    by_hand = math.log(0.5) / e + math.log(0.4 / 0.5) / e**2 + math.log(0.3 / 0.4) / e**3
    assert value == pytest.approx(-by_hand, rel=1e-6)


def test_soft_labels_do_not_mind_a_group_over_all_classes() -> None:
    under = tree_of({"all": {"really all": HAND}}, HAND_CLASSES)
    logits, targets = torch.randn(4, 6), torch.tensor([0, 2, 3, 5])
    expected = make_loss("soft-labels", hand()[0], beta=4)(logits, targets)
    torch.testing.assert_close(make_loss("soft-labels", under, beta=4)(logits, targets), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_logits_stay_finite(name: str) -> None:
    tree, _ = pair(6, 10, equal=name == "levels")
    logits = torch.zeros(2, 10)
    logits[0, 3], logits[1, 4] = 3e4, -3e4
    logits.requires_grad_()
    loss = make_loss(name, tree, **OPTIONS[name])(logits, torch.tensor([0, 4]))
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_computes_in_float32(name: str) -> None:
    tree, _ = pair(7, 12, equal=name == "levels")
    loss = make_loss(name, tree, smoothing=0.1, **OPTIONS[name])
    logits, targets = torch.randn(4, 12).bfloat16(), torch.tensor([0, 1, 5, 11])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(logits, targets)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(logits.float(), targets))


@pytest.mark.parametrize("name", LOSSES)
def test_buffers_move_and_are_not_saved(name: str) -> None:
    tree, _ = pair(8, 6, equal=name == "levels")
    loss = make_loss(name, tree, **OPTIONS[name])
    assert loss.state_dict() == {}
    assert not list(loss.parameters())
    assert all(buffer.device.type == "meta" for buffer in loss.to("meta").buffers())
    assert not any(torch.is_tensor(value) for part in loss.modules() for value in vars(part).values())


def test_bad_options() -> None:
    tree, _ = pair(9, 5, equal=True)
    with pytest.raises(HiergenError, match=r"no loss is called 'hxxe'.*nearest: hxe"):
        make_loss("hxxe", tree)
    for options, message in (
        ({"smoothing": 1.0}, "smoothing cannot be '1.0'"),
        ({"smoothing": -0.1}, "smoothing cannot be"),
        ({"name": "hxe", "alpha": float("nan")}, "alpha cannot be 'nan'"),
        ({"name": "soft-labels", "beta": -1.0}, "beta cannot be"),
        ({"name": "levels", "level_weights": [1, 2]}, "expected 3, got 2"),
        ({"name": "levels", "level_weights": [0, 0, 0]}, "all 0"),
        ({"name": "levels", "level_weights": [1, -1, 1]}, "a level's weight cannot be '-1'"),
    ):
        with pytest.raises(HiergenError, match=message):
            make_loss(**{"name": "cross-entropy", "hierarchy": tree, **options})
    with pytest.raises(HiergenError, match="needs all classes at one depth"):
        make_loss("levels", hand()[0])
