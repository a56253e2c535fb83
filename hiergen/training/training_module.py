"""What is trained: a network, or its branches on maps that its frozen trunk gave before."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal, Self, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hiergen.data.batches import Feed
from hiergen.nn.generalist import Form
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import form_logits, generalist_of, routed_logits
from hiergen.training.flatnetwork import FlatNetwork
from hiergen.training.parallel import Parallel

LearnerForm: TypeAlias = Literal["specialists", "generalist", "both", "flat", "each"]


class Learner(nn.Module):
    """A network's training forward: `(B, 3, H, W)` images, or `(B, C, H', W')` maps of its trunk, to logits.

    A frozen trunk stays in eval mode and gets no gradient. `dropout` acts on the classes' pooled features. `form` is
    the part that is trained and that answers; "each": in training specialists and generalist, and the flat network's
    tail where it is trained, `(2 or 3, B, classes)`, else the generalist. `freeze_norms` keeps batch norms in eval
    mode.
    """

    def __init__(
        self,
        network: HierarchicalNetwork,
        *,
        frozen: bool = False,
        dropout: float = 0.0,
        form: LearnerForm = "specialists",
        freeze_norms: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.frozen, self.dropout, self.form = network, frozen, dropout, form
        self.freeze_norms = freeze_norms
        if frozen:
            network.trunk.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen:
            self.network.trunk.eval()
        if self.freeze_norms:
            for module in self.network.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(self, x: Tensor, *, maps: bool = False, masks: Tensor | None = None) -> Tensor:
        """`masks` `(B, classes)` are the classes whose branches run on each sample; logits elsewhere are -inf."""
        if not maps:
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
                x = self.network.trunk(x)
        if isinstance(self.network, FlatNetwork):
            return self.network.tail(x)  # type: ignore[no-any-return]
        if self.form in ("both", "flat"):
            return form_logits(self.network, x)
        if self.form == "generalist" or (self.form == "each" and not self.training):
            return self._for_all(x, "generalist")
        specialists = self._specialists(x) if masks is None else routed_logits(self.network, x, masks)
        if self.form == "specialists":
            return specialists
        flat = self.network._modules.get("flat")
        trained = flat is not None and any(p.requires_grad for p in flat.parameters())
        forms: tuple[Form, ...] = ("generalist", "flat") if trained else ("generalist",)
        return torch.stack([specialists, *(self._for_all(x, form) for form in forms)])

    def _for_all(self, x: Tensor, form: Form) -> Tensor:
        generalist = generalist_of(self.network, form)
        pooled = generalist.tail(x, pool=True)
        return generalist.answered(generalist.head(F.dropout(pooled, self.dropout, self.training)))

    def _specialists(self, x: Tensor) -> Tensor:
        *levels, last = self.network.levels
        for level in levels:
            x = level(x)
        pooled = last(x, pool=True)
        logits: Tensor = self.network.head(F.dropout(pooled, self.dropout, self.training))
        return logits


def seed_all(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators: what follows depends on nothing that came before."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def predict(
    learner: Learner,
    feed: Feed,
    batch_size: int,
    parallel: Parallel,
    progress: Callable[[int], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Logits `(N, classes)` float32 and targets `(N,)` of all images, on the CPU, in order (of several processes: one
    process's after the other's).

    The learner is left in the mode that it was in.
    """
    before = learner.training
    # processes that hold parts of a network must run it equally often
    place = (0, 1) if parallel.sharded else (parallel.rank, parallel.world)
    # a process may get no image at all
    logits, targets = [torch.empty(0, learner.network.num_classes)], [torch.empty(0, dtype=torch.long)]
    learner.eval()
    try:
        with torch.inference_mode(), parallel.accelerator.autocast():
            for x, y in feed.once(batch_size, *place):
                logits.append(learner(x.to(parallel.device, non_blocking=True), maps=feed.maps).float().cpu())
                targets.append(y)
                if progress:
                    progress(len(y))
    finally:
        learner.train(before)
    whole = torch.cat(logits), torch.cat(targets)
    return whole if parallel.sharded else (parallel.gathered(whole[0]), parallel.gathered(whole[1]))
