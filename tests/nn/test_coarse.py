"""Coarse first against the full network, a slow path-by-path version, and what torch counts."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hiergen.nn import HierarchicalNetwork, Siblings
from hiergen.nn.coarse import CoarseFirst, within_budget, within_threshold
from hiergen.nn.macs import network_macs
from tests.helpers import counted_macs, message
from tests.nn.network_cases import Tiny, TinyViT
from tests.nn.steering_cases import Nested, lively

X = torch.randn(7, 3, 64, 64, generator=torch.Generator().manual_seed(5))
HOMES = {1: [0, 0, 0, 1, 1], 2: [0, 1, 0, 2, 2]}  # class → group, by hand


@pytest.fixture(params=[1, 2])
def coarse(request: pytest.FixtureRequest) -> CoarseFirst:
    return CoarseFirst(lively(), request.param).fit([X])


def slow_logit(network: HierarchicalNetwork, image: Tensor, label: int) -> float:
    """One class's logit of one image, along its path, one branch at a time."""
    path = {0: (0, 0, 0), 1: (0, 1, 2), 2: (0, 0, 1), 3: (1, 2, 3), 4: (1, 2, 4)}[label]
    maps = network.trunk(image[None])
    for level, branch in zip(network.levels, path, strict=True):
        one = Siblings(1, level.recipes).eval()
        one.load_state_dict({k: v[branch : branch + 1] for k, v in level.state_dict().items()})
        maps = one(maps)[:, 0]
    return float(maps.mean((2, 3)) @ network.head.weight[label] + network.head.bias[label])


def test_threshold_1_is_the_full_network(coarse: CoarseFirst) -> None:
    with torch.no_grad():
        full = coarse.network(X)
    logits, macs, groups = coarse(X, threshold=1)
    assert torch.equal(logits, full)
    assert groups.all()
    own = coarse.heads.in_channels * len(coarse.groups)
    assert set(macs.tolist()) == {coarse.costs.total(coarse.network) + own}


@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.7, 0.9])
def test_what_runs_is_what_a_slow_version_says(coarse: CoarseFirst, threshold: float) -> None:
    network, level = coarse.network, coarse.level
    logits, macs, groups = coarse(X, threshold=threshold)
    with torch.no_grad():
        maps = network.trunk(X)
        for siblings in network.levels[:level]:
            maps = siblings(maps)
        scores = [m.mean((2, 3)) @ w for m, w in zip(maps.unbind(1), coarse.heads.weight, strict=True)]
        shares = (torch.stack(scores, 1) + coarse.heads.bias).softmax(1)
        for i, image in enumerate(X):
            kept: list[int] = []
            for g in shares[i].argsort(descending=True).tolist():
                if not kept or sum(float(shares[i, k]) for k in kept) < threshold:
                    kept.append(g)
            assert groups[i].nonzero().flatten().tolist() == sorted(kept)
            for label, home in enumerate(HOMES[level]):
                if home in kept:
                    assert float(logits[i, label]) == pytest.approx(slow_logit(network, image, label), abs=1e-3)
                else:
                    assert logits[i, label] == -torch.inf
    assert (macs < coarse.spent(torch.ones(1, len(coarse.groups), dtype=torch.bool))).any() == (not groups.all())


def test_a_batch_is_its_images_one_by_one(coarse: CoarseFirst) -> None:
    for options in ({"threshold": 0.6}, {"budget": coarse.base_macs + sorted(coarse.group_macs)[-1]}):
        together = coarse(X, **options)
        alone = [coarse(x[None], **options) for x in X]
        assert torch.equal(together.groups, torch.cat([a.groups for a in alone]))
        assert torch.equal(together.macs, torch.cat([a.macs for a in alone]))
        torch.testing.assert_close(together.logits, torch.cat([a.logits for a in alone]), atol=1e-4, rtol=1e-4)


def test_skipped_branches_do_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count images that enter each branch below the groups."""
    coarse = CoarseFirst(lively()).fit([X])
    seen: dict[tuple[str, int], int] = {}
    real = Siblings._run

    def spy(self: Siblings, rows: Tensor, run: Any, *rest: Any) -> Tensor:
        for branch in range(run.span.lo, run.span.hi):
            key = (next(n for n, m in coarse.network.named_children() if m is self), branch)
            seen[key] = seen.get(key, 0) + rows.shape[1]
        return real(self, rows, run, *rest)

    monkeypatch.setattr(Siblings, "_run", spy)
    mask = torch.tensor([[True, False]] * 3 + [[False, True]] * 4)
    monkeypatch.setattr(coarse, "choose", lambda *args, **options: mask)
    coarse(X, threshold=0.5)
    wanted = {("level1", b): 7 for b in range(2)} | {("level2", b): n for b, n in enumerate((3, 3, 4))}
    assert seen == wanted | {("level3", b): n for b, n in enumerate((3, 3, 3, 4, 4))}


@pytest.mark.parametrize("kind", [Nested, Tiny])  # a transformer's attention has products without weights
def test_macs_are_what_torch_counts(kind: type[HierarchicalNetwork]) -> None:
    network = kind().eval()
    assert network_macs(network).total(network) == counted_macs(kind().to("meta").eval(), 3, 64, 64)


def test_macs_of_a_group_are_what_its_cutout_spends() -> None:
    """A cutout of the group's classes is the trunk, the group's own branch, and what lies below."""
    network = lively()
    coarse = CoarseFirst(network)
    for g, classes in enumerate(([0, 1, 2], [3, 4])):
        part = network.cutout(classes)
        costs = coarse.costs
        assert coarse.group_macs[g] == network_macs(part).total(part) - costs.trunk - costs.branches[0]
    assert coarse.base_macs == coarse.costs.trunk + 2 * coarse.costs.branches[0] + 2 * 16


def test_classes_score_is_the_exact_probability() -> None:
    network = lively()
    coarse = CoarseFirst(network, score="classes")
    with torch.no_grad():
        shares = network(X).softmax(1)
    logits, _, groups = coarse(X, threshold=0.6)
    for i in range(len(X)):
        animal = float(shares[i, :3].sum())
        likely = 0 if animal > 0.5 else 1
        wanted = {likely} if max(animal, 1 - animal) >= 0.6 else {0, 1}
        assert set(groups[i].nonzero().flatten().tolist()) == wanted
    kept = logits.isfinite()
    assert torch.equal(logits[kept], network(X)[kept])


def test_fitting_recovers_scores_that_the_heads_can_say() -> None:
    """Groups' true log-sum-exps are linear in the pooled maps by construction: the heads find them."""
    network = lively()
    torch.manual_seed(0)
    images = torch.randn(200, 3, 64, 64)
    coarse = CoarseFirst(network)
    truth = coarse.heads.weight.normal_(0, 0.2).clone()
    pooled = torch.cat([coarse._down(part).mean((-2, -1)) for part in images.split(50)]).detach()
    scores = (pooled * truth).sum(2)
    batches = iter(scores.split(50))
    coarse._finish = lambda maps: next(batches)  # type: ignore[method-assign]
    coarse.sums = lambda logits: logits  # type: ignore[method-assign]
    coarse.fit(images.split(50))
    found = (pooled * coarse.heads.weight).sum(2) + coarse.heads.bias
    assert (found.softmax(1) - scores.softmax(1)).abs().mean() < 0.02
    assert (scores.softmax(1)[:, 0] - 0.5).abs().mean() > 0.1


def test_fit_is_deterministic_and_never_sees_labels() -> None:
    first = CoarseFirst(lively()).fit([X])
    second = CoarseFirst(lively()).fit([(X, torch.zeros(7))])
    assert torch.equal(first.heads.weight, second.heads.weight)
    assert torch.equal(first.heads.bias, second.heads.bias)
    assert not any(p.requires_grad for p in first.heads.parameters())


def test_gains_act() -> None:
    network = lively()
    coarse = CoarseFirst(network).fit([X])
    with network.attend({"cat": 2.5}), torch.no_grad():
        assert torch.equal(coarse(X, threshold=1).logits, network(X))
        some = coarse(X, threshold=0.5)
        torch.testing.assert_close(
            some.logits[some.logits.isfinite()], network(X)[some.logits.isfinite()], atol=1e-4, rtol=1e-4
        )


def test_a_threshold_takes_the_fewest_groups_that_reach_it() -> None:
    shares = torch.rand(50, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shares /= shares.sum(1, keepdim=True)
    for threshold in (0.2, 0.5, 0.9):
        found = within_threshold(shares, threshold)
        for row, mask in zip(shares, found, strict=True):
            fewest = next(
                n
                for n in range(1, 6)
                if any(sum(row[list(c)]) >= threshold for c in itertools.combinations(range(5), n))
            )
            assert int(mask.sum()) == fewest
            assert float(row[mask].sum()) >= threshold
            assert float(row[mask].min()) >= max(row[~mask].tolist(), default=0)
    assert within_threshold(shares, 1).all()
    assert (within_threshold(shares, 0).sum(1) == 1).all()
    sure = torch.tensor([[1.0, 0.0, 0.0]])
    assert within_threshold(sure, 1).all()
    assert within_threshold(sure, 0.999).tolist() == [[True, False, False]]


def test_a_budget_is_kept_and_at_least_half_as_good_as_the_best_choice() -> None:
    shares = torch.rand(60, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64).pow(3)
    shares /= shares.sum(1, keepdim=True)
    costs = [7, 3, 11, 5, 2]
    for budget in (102, 105, 111, 120, 128):
        found = within_budget(shares, costs, budget, base=100)
        for row, mask in zip(shares, found, strict=True):
            chosen = mask.nonzero().flatten().tolist()
            assert chosen
            assert 100 + sum(costs[g] for g in chosen) <= budget
            best = max(
                float(row[list(c)].sum())
                for n in range(1, 6)
                for c in itertools.combinations(range(5), n)
                if 100 + sum(costs[g] for g in c) <= budget
            )
            assert float(row[mask].sum()) >= best / 2
    assert within_budget(shares, costs, 128, base=100).all()


def test_bad_input(coarse: CoarseFirst) -> None:
    network = coarse.network
    assert "TinyViT has no groups" in message(lambda: CoarseFirst(TinyViT()))
    assert "no level of groups 3; expected 1..2" in message(lambda: CoarseFirst(network, 3))
    assert "no level of groups 0" in message(lambda: CoarseFirst(network, 0))
    assert "no score 'best'" in message(lambda: CoarseFirst(network, score="best"))  # type: ignore[arg-type]
    assert "not fitted" in message(lambda: CoarseFirst(network)(X, threshold=0.5))
    assert "no images" in message(lambda: CoarseFirst(network).fit([]))
    assert "threshold or budget, got neither" in message(lambda: coarse(X))
    assert "got both" in message(lambda: coarse(X, threshold=0.5, budget=1e9))
    for bad in (-0.1, 1.1, float("nan")):
        assert "0 to 1" in message(lambda bad=bad: coarse(X, threshold=bad))
    least = coarse.base_macs + min(coarse.group_macs)
    assert f"expected {least:,} MACs or more" in message(lambda: coarse(X, budget=least - 1))
    assert coarse(X, budget=least).groups.any(1).all()
    network.active = ["cat"]
    assert "model.active = None" in message(lambda: coarse(X, threshold=0.5))
    network.active = None
    network.train()
    assert "model.eval()" in message(lambda: coarse(X, threshold=0.5))
    network.eval()
    nn.init.constant_(network.head.weight, float("inf"))
    assert "not finite" in message(lambda: coarse.fit([X]))
