"""Decisions equal brute force, and ties are settled the same way every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hiergen.errors import HiergenError
from hiergen.training import hierarchy as module
from hiergen.training.decision import decide, ranking
from hiergen.training.hierarchy import Hierarchy
from tests.training.slow_trees import hand, pair, softmax


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("equal", [False, True])
def test_crm_is_the_least_expected_lca_height(seed: int, equal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 150)
    tree, slow = pair(seed, 14, equal=equal)
    torch.manual_seed(seed)
    logits = 0.5 * torch.randn(30, 14)
    decision = decide(logits, tree, "crm", k=14)
    for row, order in zip(logits.double(), decision.ranking.tolist(), strict=True):
        p = softmax(row)
        risk = [sum(slow.lca_height(i, j) * p[j] for j in range(14)) for i in range(14)]
        assert [risk[i] for i in order] == pytest.approx(sorted(risk))
        assert risk[order[0]] == pytest.approx(min(risk))
    assert torch.equal(decision.predictions, decision.ranking[:, 0])
    given = decide(logits.double().softmax(1), tree, "crm", k=14, probabilities=True)
    assert torch.equal(given.ranking, decision.ranking)
    assert (decision.predictions != logits.argmax(1)).any()


def test_crm_by_hand() -> None:
    tree, _ = hand()  # pug, van, tabby, cup, siamese, jeep
    p = torch.tensor([[0.0, 0.4, 0.3, 0.0, 0.3, 0.0]])
    # van: .6·3 = 1.8; tabby: .4·3 + .3·1 = 1.5; jeep: .4·1 + .6·3 = 2.2; pug: .6·2 + .4·3 = 2.4; cup: 3
    assert decide(p.log(), tree).predictions.tolist() == [1]
    decision = decide(p, tree, "crm", k=5, probabilities=True)
    assert decision.ranking.tolist() == [[2, 4, 1, 5, 0]]  # 1.5, 1.5, 1.8, 2.2, 2.4


def test_on_a_flat_tree_crm_is_argmax() -> None:
    ids = [str(i) for i in range(30)]
    flat = Hierarchy.of_mapping(dict.fromkeys(ids, "x"), ids)
    logits = 20 * torch.randn(50, 30)  # probabilities far below float32's resolution of 1 - p
    assert torch.equal(decide(logits, flat, "crm", k=30).ranking, decide(logits, flat, k=30).ranking)


@pytest.mark.parametrize("k", [1, 2, 3, 7, 12, 99])
def test_of_equal_scores_the_first_wins(k: int) -> None:
    scores = torch.randint(0, 4, (200, 12), generator=torch.Generator().manual_seed(0)).float()
    expected = np.argsort(-scores.numpy(), axis=1, kind="stable")[:, :k]
    assert ranking(scores, min(k, 12)).tolist() == expected.tolist()


def test_classes_that_do_not_compete_rank_last() -> None:
    tree, _ = hand()  # pug, van, tabby, cup, siamese, jeep
    logits = torch.tensor([[-torch.inf, 0.0, 4.0, -torch.inf, -torch.inf, 0.9]])
    # siamese, beside the likely tabby, would come second
    assert decide(logits, tree, "crm", k=4).ranking.tolist() == [[2, 5, 1, 0]]
    assert decide(logits.exp() / logits.exp().sum(), tree, "crm", k=2, probabilities=True).ranking.tolist() == [[2, 4]]


def test_bad_input() -> None:
    tree, _ = hand()
    with pytest.raises(HiergenError, match=r"no decision rule is called 'cmr'.*nearest: crm"):
        decide(torch.zeros(1, 6), tree, "cmr")
    with pytest.raises(HiergenError, match=r"expected \(N, 6\), got \(2, 5\)"):
        decide(torch.zeros(2, 5), tree)
    for bad in (torch.nan, torch.inf):
        logits = torch.zeros(3, 6)
        logits[1, 2] = bad
        with pytest.raises(HiergenError, match=f"logits of image 1 hold no decision.*got {bad}"):
            decide(logits, tree)
    with pytest.raises(HiergenError, match=r"image 0 hold no decision.*got -inf"):
        decide(torch.full((1, 6), -torch.inf), tree)
    assert decide(torch.empty(0, 6), tree, "crm", k=3).ranking.shape == (0, 3)
