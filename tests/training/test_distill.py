"""The loss of specialists and of a teacher's word, against loops over groups."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from hiergen.training.distill import GroupLoss, draw_groups
from hiergen.training.recipe import Distillation

HOMES = (0, 0, 1, 1, 1, 2)
INF = float("-inf")


def numbers(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z, t = (3 * torch.randn(5, 6, generator=generator) for _ in range(2))
    return z, t, torch.tensor([0, 3, 5, 2, 1])


def test_without_a_teacher_it_is_torchs_cross_entropy() -> None:
    z, _, y = numbers()
    for smoothing in (0.0, 0.1):
        loss = GroupLoss(HOMES, Distillation(), smoothing=smoothing)
        torch.testing.assert_close(loss(z, y), F.cross_entropy(z, y, label_smoothing=smoothing))


def test_groups_that_did_not_run_do_not_count() -> None:
    z, _, y = numbers()
    z[0, 2:5] = INF  # group 1 did not run on image 0, whose class is of group 0
    expected = []
    for row, label in zip(z, y, strict=True):
        ran = row.isfinite()
        logs = F.log_softmax(row[ran], 0)
        place = int(ran[:label].sum())
        expected.append(-(0.9 * logs[place] + 0.1 * logs.mean()))
    loss = GroupLoss(HOMES, Distillation(), smoothing=0.1)
    torch.testing.assert_close(loss(z, y), torch.stack(expected).mean())


def test_a_teachers_word_counts_within_each_group() -> None:
    z, t, y = numbers()
    z[0, 2:5] = z[3, 5] = INF
    temperature, kl, l1 = 3.0, 0.7, 0.2
    groups = [[0, 1], [2, 3, 4], [5]]
    total, raw = torch.tensor(0.0), []
    for row, taught, label in zip(z, t, y, strict=True):
        parts = {}
        for number, members in enumerate(groups):
            if not row[members].isfinite().all():
                continue
            p, q = F.softmax(taught[members] / temperature, 0), F.log_softmax(row[members] / temperature, 0)
            parts[number] = (p * (p.log() - q)).sum()
            raw += (row[members] - taught[members]).abs().tolist()
        own = parts.pop(HOMES[label])
        total = total + own + (torch.stack(list(parts.values())).mean() if parts else 0)
    plain = GroupLoss(HOMES, Distillation())(z, y)
    expected = plain + kl * temperature**2 * total / len(z) + l1 * torch.tensor(raw).mean()
    loss = GroupLoss(HOMES, Distillation(temperature=temperature, kl=kl, l1=l1))
    torch.testing.assert_close(loss(z, y, t), expected)


def test_one_group_of_all_classes_is_hintons_loss() -> None:
    z, t, y = numbers(1)
    loss = GroupLoss([0] * 6, Distillation(temperature=2, kl=1, l1=0))
    kl = F.kl_div(F.log_softmax(z / 2, 1), F.softmax(t / 2, 1), reduction="batchmean")
    torch.testing.assert_close(loss(z, y, t), F.cross_entropy(z, y) + 4 * kl)


def test_gradients_are_finite_where_groups_did_not_run() -> None:
    z, t, y = numbers()
    z[0, 2:5] = INF
    z.requires_grad_()
    GroupLoss(HOMES, Distillation(), smoothing=0.1)(z, y, t).backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()
    assert (z.grad[0, 2:5] == 0).all()


@pytest.mark.parametrize("negatives", [0, 1, 2, 9])
def test_an_image_runs_through_its_own_group_and_so_many_others(negatives: int) -> None:
    torch.manual_seed(0)
    homes, y = torch.tensor(HOMES), torch.arange(6).repeat(50)
    drawn = draw_groups(homes, y, negatives)
    groups = torch.stack([drawn[:, homes == g].float().mean(1) for g in range(3)], 1)
    assert ((groups == 0) | (groups == 1)).all()  # whole groups
    assert (groups.sum(1) == min(negatives + 1, 3)).all()
    assert groups[torch.arange(len(y)), homes[y]].all()
    if negatives == 1:  # any of the others, as often
        share = groups[homes[y] == 0].mean(0)
        assert 0.3 < share[1] < 0.7
