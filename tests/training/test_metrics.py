"""Every metric equals a plain loop over images, sklearn's where it has it, and a case worked out by hand."""

from __future__ import annotations

import io
import json
import math
from collections import Counter

import pytest
import torch
from rich.console import Console
from sklearn import metrics as sk
from torch import Tensor

from hiergen.errors import HiergenError
from hiergen.training import hierarchy as module
from hiergen.training.decision import RULES
from hiergen.training.metrics import Metrics, evaluate, restrict
from hiergen.training.metrics_table import metrics_table
from tests.training.slow_trees import SlowTree, hand, pair, softmax, tree_of

CASES = [(seed, equal, rule) for seed in range(3) for equal in (False, True) for rule in ("argmax", "crm")]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{'equal' if case[1] else 'unequal'}-{case[2]}")
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor, SlowTree, Metrics]:
    """Logits, targets, the slow tree and what `evaluate` gives, a few rows at once; the last three classes have no
    images, and the first is never predicted."""
    monkeypatch.setattr(module, "_BLOCK", 700)
    seed, equal, rule = request.param
    tree, slow = pair(seed, 23, equal=equal)
    torch.manual_seed(seed)
    targets = torch.randint(0, 20, (150,))
    logits = torch.randn(150, 23) + 1.2 * torch.nn.functional.one_hot(targets, 23)
    logits[:, 0] = -9
    return logits, targets, slow, evaluate(logits, targets, tree, decision=rule, topk=(1, 3, 5), distance_at=(1, 5, 20))


def rankings(logits: Tensor, slow: SlowTree, rule: str) -> list[list[int]]:
    orders = []
    for row in logits.double():
        p = softmax(row)
        cost = [-x for x in p]
        if rule == "crm":
            cost = [sum(slow.lca_height(i, j) * q for j, q in enumerate(p)) for i in range(len(p))]
        orders.append(sorted(range(len(p)), key=cost.__getitem__))
    return orders


Case = tuple[Tensor, Tensor, SlowTree, Metrics]


def test_heights_severity_and_distances(case: Case) -> None:
    logits, targets, slow, metrics = case
    order, truth = rankings(logits, slow, metrics.decision), targets.tolist()
    heights = [slow.lca_height(o[0], t) for o, t in zip(order, truth, strict=True)]
    wrong = [h for h, o, t in zip(heights, order, truth, strict=True) if o[0] != t]
    assert metrics.lca_height == pytest.approx(sum(heights) / 150)
    assert metrics.severity == pytest.approx(sum(wrong) / len(wrong))
    assert metrics.mistakes == len(wrong)
    assert metrics.tree_height == slow.tree_height
    for k in (1, 5, 20):
        total = sum(slow.lca_height(c, t) for o, t in zip(order, truth, strict=True) for c in o[:k])
        assert metrics.distance[k] == pytest.approx(total / (150 * k))


def test_hierarchical_precision_recall_f1_of_sets(case: Case) -> None:
    logits, targets, slow, metrics = case
    both = predicted = true = 0
    for order, target in zip(rankings(logits, slow, metrics.decision), targets.tolist(), strict=True):
        s, t = slow.sets(order[0]), slow.sets(target)
        both, predicted, true = both + len(s & t), predicted + len(s), true + len(t)
    p, r = both / predicted, both / true
    assert (metrics.hp, metrics.hr, metrics.hf) == pytest.approx((p, r, 2 * p * r / (p + r)))


def test_accuracy_nll_and_calibration(case: Case) -> None:
    logits, targets, slow, metrics = case
    order, truth = rankings(logits, slow, metrics.decision), targets.tolist()
    predicted = [o[0] for o in order]
    for k in (1, 3, 5):
        hits = [t in o[:k] for o, t in zip(order, truth, strict=True)]
        assert metrics.top[k] == pytest.approx(sum(hits) / 150)
    assert metrics.top1 == metrics.top[1] == pytest.approx(sk.accuracy_score(truth, predicted))
    p = logits.double().softmax(1)
    if metrics.decision == "argmax":
        assert metrics.top[5] == pytest.approx(sk.top_k_accuracy_score(truth, p, k=5, labels=range(23)))
    assert metrics.nll == pytest.approx(sk.log_loss(truth, p, labels=range(23)))
    assert metrics.class_accuracy == pytest.approx(
        sk.recall_score(truth, predicted, labels=sorted(set(truth)), average="macro")
    )

    gap = 0.0
    for b in range(15):
        inside = [i for i in range(150) if b / 15 < p[i, predicted[i]] <= (b + 1) / 15]
        if inside:
            accuracy = sum(predicted[i] == truth[i] for i in inside) / len(inside)
            confidence = sum(float(p[i, predicted[i]]) for i in inside) / len(inside)
            gap += len(inside) / 150 * abs(accuracy - confidence)
    assert metrics.ece == pytest.approx(gap)


def test_scores_by_class(case: Case) -> None:
    logits, targets, slow, metrics = case
    predicted, truth = [o[0] for o in rankings(logits, slow, metrics.decision)], targets.tolist()
    for c, score in enumerate(metrics.classes):
        images = truth.count(c)
        right = sum(t == s == c for t, s in zip(truth, predicted, strict=True))
        instead = Counter(s for t, s in zip(truth, predicted, strict=True) if t == c != s)
        assert (score.id, score.name) == (slow.classes[c], f"name of {slow.classes[c]}")
        assert score.images == images
        assert score.accuracy == (right / images if images else None)
        assert score.precision == (right / predicted.count(c) if predicted.count(c) else None)
        heights = [slow.lca_height(t, s) for t, s in zip(truth, predicted, strict=True) if t == c != s]
        assert score.severity == (pytest.approx(sum(heights) / len(heights)) if heights else None)
        most = min(instead, key=lambda s: (-instead[s], s)) if instead else None
        assert score.confused_with == (None if most is None else slow.classes[most])
        assert score.confused == (instead[most] if most is not None else 0)
    assert [score.accuracy for score in metrics.classes[20:]] == [None] * 3
    if metrics.decision == "argmax":
        assert metrics.classes[0].precision is None
    accuracy = [score.accuracy for score in metrics.classes[:20]]
    assert accuracy == pytest.approx(sk.recall_score(truth, predicted, labels=range(20), average=None))


def test_scores_by_group_and_confusion(case: Case) -> None:
    logits, targets, slow, metrics = case
    if not metrics.hierarchy.levels:
        assert metrics.levels == ()
        with pytest.raises(HiergenError, match="there is no level 1"):
            metrics.confusion(1)
        return
    predicted, truth = [o[0] for o in rankings(logits, slow, metrics.decision)], targets.tolist()
    assert len(metrics.levels) == 3
    for level in metrics.levels:
        j = level.level
        true, guessed = [slow.paths[t][:j] for t in truth], [slow.paths[s][:j] for s in predicted]
        assert level.accuracy == pytest.approx(sk.accuracy_score(*[["/".join(g) for g in x] for x in (true, guessed)]))
        if j == 3:
            assert level.groups == ()
            assert torch.equal(
                metrics.confusion(3), torch.tensor(sk.confusion_matrix(truth, predicted, labels=range(23)))
            )
            continue
        paths = [group.path for group in level.groups]
        assert sorted(paths) == sorted({path[:j] for path in slow.paths})
        for group in level.groups:
            right = sum(a == b == group.path for a, b in zip(true, guessed, strict=True))
            assert (group.name, group.classes) == (group.path[-1], len(slow.below(group.path)))
            assert group.images == true.count(group.path)
            assert group.recall == (right / true.count(group.path) if group.path in true else None)
            assert group.precision == (right / guessed.count(group.path) if group.path in guessed else None)
        counts = metrics.confusion(j)
        assert counts.sum() == 150
        for a, row in enumerate(paths):
            for b, column in enumerate(paths):
                assert counts[a, b] == sum(t == row and g == column for t, g in zip(true, guessed, strict=True))


def test_by_hand() -> None:
    tree, _ = hand()  # pug, van, tabby, cup, siamese, jeep; root 3, animal 2, cat 1, car 1
    p = torch.tensor(
        [
            [0.10, 0.05, 0.50, 0.05, 0.25, 0.05],  # tabby, and is
            [0.10, 0.05, 0.50, 0.05, 0.25, 0.05],  # tabby, is siamese: height 1
            [0.70, 0.05, 0.05, 0.05, 0.05, 0.10],  # pug, is tabby: 2
            [0.02, 0.90, 0.02, 0.02, 0.02, 0.02],  # van, is cup: 3
        ]
    )
    metrics = evaluate(p.log(), torch.tensor([2, 4, 2, 3]), tree)
    assert metrics.top == {1: 0.25, 5: 1.0}  # of equal probabilities the first class ranks first
    assert (metrics.lca_height, metrics.severity, metrics.mistakes) == (6 / 4, 6 / 3, 3)
    # nodes in common: 3, 2 (animal, cat), 1 (animal), 0
    # on the predicted paths 3 + 3 + 2 + 2, on the true ones 3 + 3 + 3 + 1
    assert (metrics.hp, metrics.hr, metrics.hf) == pytest.approx((6 / 10, 6 / 10, 6 / 10))
    assert metrics.nll == pytest.approx(-(math.log(0.5) + math.log(0.25) + math.log(0.05) + math.log(0.02)) / 4)
    # bins of 1/15: .5 twice, accuracy .5; .7; .9
    assert metrics.ece == pytest.approx((0 + 0.7 + 0.9) / 4)
    tabby = metrics.classes[2]
    assert (tabby.images, tabby.accuracy, tabby.precision, tabby.confused_with) == (2, 0.5, 0.5, "pug")
    assert metrics.classes[0].accuracy is None
    assert metrics.class_accuracy == pytest.approx((0.5 + 0 + 0) / 3)


def test_distance_by_hand() -> None:
    tree, _ = hand()
    metrics = evaluate(torch.tensor([[1.0, 0, 5, 2, 3, -1]]), torch.tensor([2]), tree, distance_at=(1, 2, 3, 20))
    # tabby 0, siamese 1, cup 3, pug 2, van 3, jeep 3
    assert metrics.distance == pytest.approx({1: 0, 2: 1 / 2, 3: 4 / 3, 20: 12 / 6})


def test_edges_of_the_calibration_bins() -> None:
    ids = ["a", "b"]
    flat = tree_of(dict.fromkeys(ids, "x"), ids)
    p = torch.tensor([[0.6, 0.4], [0.6000001, 0.3999999], [0.5, 0.5]], dtype=torch.float64)
    targets = torch.tensor([0, 1, 0])
    # bins (.4, .6] and (.6, .8]: the first and the last image share one
    expected = (abs(0.4 + 0.5) + 0.6000001) / 3
    assert evaluate(p.log(), targets, flat, bins=5, topk=(1,)).ece == pytest.approx(expected, abs=1e-7)


def test_without_mistakes_and_with_all_wrong() -> None:
    tree, _ = hand()
    perfect = evaluate(60 * torch.eye(6), torch.arange(6), tree)
    assert (perfect.top1, perfect.severity, perfect.mistakes, perfect.hf) == (1, None, 0, 1)
    assert all(score.confused_with is None for score in perfect.classes)
    wrong = evaluate(60 * torch.eye(6)[[3]], torch.tensor([1]), tree)
    assert (wrong.top1, wrong.hp, wrong.hr, wrong.hf, wrong.severity) == (0, 0, 0, 0, 3)


def test_classes_that_do_not_compete() -> None:
    tree, _ = hand()
    logits = torch.tensor([[-torch.inf, 0, 1, -torch.inf, 2, 0]])
    assert evaluate(logits, torch.tensor([2]), tree).nll == pytest.approx(
        float(torch.logsumexp(torch.tensor([0.0, 1, 2, 0]), 0)) - 1
    )
    assert evaluate(logits, torch.tensor([0]), tree).nll is None


@pytest.mark.parametrize("decision", ["argmax", "crm"])
def test_json_and_summary(decision: str) -> None:
    tree, _ = pair(0, 12, equal=True)
    torch.manual_seed(0)
    logits, targets = torch.randn(40, 12), torch.randint(0, 9, (40,))
    metrics = evaluate(logits, targets, tree, decision=decision, labels=[f"class {i}" for i in range(12)])
    data = metrics.to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert list(data) == [
        *("images", "decision", "top1", "top5", "class_accuracy", "level_accuracy", "lca_height"),
        *("mistake_severity", "mistakes", "tree_height", "hierarchical_distance", "hierarchical_precision"),
        *("hierarchical_recall", "hierarchical_f1", "nll", "ece", "ece_bins", "groups", "classes"),
    ]
    assert list(data["hierarchical_distance"]) == ["1", "5", "20"]
    assert data["classes"][3]["name"] == "class 3"
    assert data["classes"][11]["accuracy"] is None
    assert data["level_accuracy"][-1] == data["top1"]
    assert list(metrics.summary()) == [
        *("val_top1", "val_top5", "val_level1", "val_level2", "val_lca_height", "val_severity", "val_hf", "val_nll"),
        "val_ece",
    ]
    assert metrics.summary()["val_level2"] == metrics.levels[1].accuracy
    assert torch.equal(metrics.predictions, RULES[decision].make(tree)(logits).argmax(1))
    assert metrics == evaluate(
        logits.double(), targets.to(torch.int32), tree, decision=decision, labels=[f"class {i}" for i in range(12)]
    )


def test_restrict_is_what_remains_of_columns_and_images() -> None:
    tree, slow = pair(3, 9, equal=True)
    logits, targets = torch.randn(50, 9), torch.arange(50) % 9
    chosen = [7, 1, 4]
    cut, kept, part = restrict(logits, targets, tree, chosen)
    rows = [i for i in range(50) if int(targets[i]) in chosen]
    assert torch.equal(cut, logits[rows][:, chosen])
    assert kept.tolist() == [chosen.index(int(targets[i])) for i in rows]
    assert part.classes == tuple(slow.classes[c] for c in chosen)
    metrics = evaluate(cut, kept, part)
    predicted = [chosen[int(i)] for i in cut.argmax(1)]
    assert metrics.lca_height == pytest.approx(
        sum(slow.lca_height(s, int(targets[i])) for s, i in zip(predicted, rows, strict=True)) / len(rows)
    )
    with pytest.raises(HiergenError, match="no image is of the chosen classes"):
        restrict(logits[:5], targets[:5], tree, [7, 8])
    with pytest.raises(HiergenError, match="no class has the index 9"):
        restrict(logits, targets, tree, [9])


def test_bad_input() -> None:
    tree, _ = hand()
    logits, targets = torch.zeros(3, 6), torch.tensor([0, 1, 5])
    broken = logits.clone()
    broken[2, 1] = torch.nan
    for metrics, aims, message in (
        (broken, targets, "logits of image 2 hold no decision.*got nan"),
        (logits[:, :5], targets, r"expected \(N, 6\), got \(3, 5\)"),
        (logits, targets[:2], r"one for each image; expected \(3,\) of whole numbers, got \(2,\) of int64"),
        (logits, targets.float(), "got .* of float32"),
        (logits, torch.tensor([0, 6, 1]), r"target of image 1 is no class; expected 0\.\.5, got 6"),
        (logits, torch.tensor([0, -1, 1]), "target of image 1"),
        (logits[:0], targets[:0], "no images to evaluate"),
    ):
        with pytest.raises(HiergenError, match=message):
            evaluate(metrics, aims, tree)
    for options, message in (
        ({"decision": "best"}, "no decision rule is called 'best'"),
        ({"topk": (0, 1)}, "topk needs whole numbers"),
        ({"distance_at": ()}, "distance_at needs"),
        ({"bins": 0}, "bins needs"),
        ({"labels": ["a"]}, "expected 6, got 1"),
    ):
        with pytest.raises(HiergenError, match=message):
            evaluate(logits, targets, tree, **options)


def test_tables_show_the_figures() -> None:
    tree, _ = pair(1, 60, equal=True)
    torch.manual_seed(1)
    targets = torch.arange(60) % 50
    metrics = evaluate(torch.randn(60, 60), targets, tree)
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(metrics_table(metrics))
    text = console.export_text()
    assert f"{100 * metrics.top1:.2f} %" in text
    assert f"{metrics.severity:.3f}" in text
    assert "levels up to the common group" in text
    group = metrics.levels[0].groups[0]
    assert "/".join(group.path) in text
    worst = next(score for score in metrics.classes if score.accuracy == 0)
    assert worst.name in text
    flat, _ = hand()
    perfect = evaluate(60 * torch.eye(6), torch.arange(6), flat)
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(metrics_table(perfect))
    assert "worst" not in console.export_text()
