"""Decisions equal brute force, and ties are settled the same way every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hiergen.errors import HiergenError
from hiergen.training.decision import RULES, check_rule, check_scores, ranking
from hiergen.training.hierarchy import Hierarchy
from tests.training.slow_trees import hand, pair, softmax, tree_of


def ranked(logits: torch.Tensor, tree: Hierarchy, rule: str, k: int) -> torch.Tensor:
    """The best k classes of each row."""
    return ranking(RULES[rule].make(tree)(logits), k)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("equal", [False, True])
def test_crm_is_the_least_expected_lca_height(seed: int, equal: bool) -> None:
    tree, slow = pair(seed, 14, equal=equal)
    torch.manual_seed(seed)
    logits = 0.5 * torch.randn(30, 14)
    orders = ranked(logits, tree, "crm", 14)
    for row, order in zip(logits.double(), orders.tolist(), strict=True):
        p = softmax(row)
        risk = [sum(slow.lca_height(i, j) * p[j] for j in range(14)) for i in range(14)]
        assert [risk[i] for i in order] == pytest.approx(sorted(risk))
        assert risk[order[0]] == pytest.approx(min(risk))
    assert (orders[:, 0] != logits.argmax(1)).any()


def test_crm_by_hand() -> None:
    tree, _ = hand()  # pug, van, tabby, cup, siamese, jeep
    p = torch.tensor([[0.0, 0.4, 0.3, 0.0, 0.3, 0.0]])
    # van: .6·3 = 1.8; tabby: .4·3 + .3·1 = 1.5; jeep: .4·1 + .6·3 = 2.2; pug: .6·2 + .4·3 = 2.4; cup: 3
    assert ranked(p.log(), tree, "argmax", 1).tolist() == [[1]]
    assert ranked(p.clamp(min=1e-30).log(), tree, "crm", 5).tolist() == [[2, 4, 1, 5, 0]]  # 1.5, 1.5, 1.8, 2.2, 2.4


def test_on_a_flat_tree_crm_is_argmax() -> None:
    ids = [str(i) for i in range(30)]
    flat = tree_of(dict.fromkeys(ids, "x"), ids)
    logits = 20 * torch.randn(50, 30)  # probabilities far below float32's resolution of 1 - p
    assert torch.equal(ranked(logits, flat, "crm", 30), ranked(logits, flat, "argmax", 30))


@pytest.mark.parametrize("k", [1, 2, 3, 7, 12, 99])
def test_of_equal_scores_the_first_wins(k: int) -> None:
    scores = torch.randint(0, 4, (200, 12), generator=torch.Generator().manual_seed(0)).float()
    expected = np.argsort(-scores.numpy(), axis=1, kind="stable")[:, :k]
    assert ranking(scores, min(k, 12)).tolist() == expected.tolist()


def test_classes_that_do_not_compete_rank_last() -> None:
    tree, _ = hand()  # pug, van, tabby, cup, siamese, jeep
    logits = torch.tensor([[-torch.inf, 0.0, 4.0, -torch.inf, -torch.inf, 0.9]])
    # siamese, beside the likely tabby, would come second
    assert ranked(logits, tree, "crm", 4).tolist() == [[2, 5, 1, 0]]
    assert ranked(logits.clamp(min=-1000), tree, "crm", 2).tolist() == [[2, 4]]


def test_bad_input() -> None:
    tree, _ = hand()
    with pytest.raises(HiergenError, match=r"no decision rule is called 'cmr'.*nearest: crm"):
        check_rule("cmr")
    with pytest.raises(HiergenError, match=r"expected \(N, 6\), got \(2, 5\)"):
        check_scores(torch.zeros(2, 5), tree)
    for bad in (torch.nan, torch.inf):
        logits = torch.zeros(3, 6)
        logits[1, 2] = bad
        with pytest.raises(HiergenError, match=f"logits of image 1 hold no decision.*got {bad}"):
            check_scores(logits, tree)
    with pytest.raises(HiergenError, match=r"image 0 hold no decision.*got -inf"):
        check_scores(torch.full((1, 6), -torch.inf), tree)
