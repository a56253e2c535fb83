"""How well each channel of the backbone tells a branch's classes apart: every branch can keep those that matter to it.

The backbone's blocks after the cut run once over labelled maps of the trunk. A channel's activations, averaged over the
map, are described by each class's mean m_k and variance v_k. For a branch with classes S, others R and means of class
means m_S and m_R, a channel's score is a variance ratio as in an analysis of variance, every class counting the same:

    (mean over S of (m_k - m_S)² + (m_S - m_R)² / 4) / ((mean over S of v_k + mean over R of v_k) / 2)

The first term tells the branch's classes apart from each other, the second (the variance between two groups of equal
weight) from all the others. A branch of one class has the second only, a branch of all classes the first.

Where the backbone was trained on these classes, its classifier says more: a channel matters as much as the loss would
change without it, to first order |activation · gradient|, summed over the map and averaged over a branch's images,
every class counting the same (Molchanov et al., arXiv 1611.06440).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiergen.errors import HiergenError, quoted
from hiergen.nn.flat import FlatTail
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.tail import CONV_HEAD, BackboneBlock, blocks_of, stages_after
from hiergen.training.blockcopy import ChannelScore

_FIELDS = ("first", "second", "gives")


class ClassStatistics:
    """Mean and variance of each class `(K,)` and channel, summed up batch by batch in double precision."""

    def __init__(self, classes: int) -> None:
        self._count = torch.zeros(classes, dtype=torch.float64)
        self._sums: Tensor | None = None

    def add(self, values: Tensor, targets: Tensor) -> None:
        """`values` is `(B, C)`, `targets` `(B,)`."""
        exact = values.double().cpu()
        both = torch.cat([exact, exact.square()], 1)
        if self._sums is None:
            self._sums = torch.zeros(len(self._count), both.shape[1], dtype=torch.float64)
        self._sums.index_add_(0, targets, both)
        self._count += torch.bincount(targets, minlength=len(self._count))

    def score(self, classes: Tensor) -> Tensor:
        """The score `(C,)` of each channel for the classes with these indices; see the module."""
        assert self._sums is not None
        mean, square = (self._sums / self._count[:, None]).chunk(2, 1)
        var = (square - mean.square()).clamp_(min=0)
        rest = torch.ones(len(self._count), dtype=torch.bool)
        rest[classes] = False
        centre = mean[classes].mean(0)
        between, within = (mean[classes] - centre).square().mean(0), var[classes].mean(0)
        if rest.any():
            between = between + (centre - mean[rest].mean(0)).square() / 4
            within = (within + var[rest].mean(0)) / 2
        return torch.where(between > 0, between / within.clamp(min=1e-12), 0.0).float()


class ClassMeans(ClassStatistics):
    """The mean of each class and channel: of what the loss would lose."""

    def score(self, classes: Tensor) -> Tensor:
        """The mean `(C,)` over the classes with these indices."""
        assert self._sums is not None
        mean, _ = (self._sums / self._count[:, None]).chunk(2, 1)
        return mean[classes].mean(0).float()


class ChannelScores:
    """The scores of every block's channels for every branch: an `Importance` for `init_branches`."""

    def __init__(self, members: list[list[Tensor]], seen: dict[str, dict[str, ClassStatistics]]) -> None:
        self._members, self._seen = members, seen

    def __call__(self, level: int, branch: int, block: str) -> ChannelScore | None:
        """Level 1 … (0: the generalist), the branch's index, and a name like "blocks.5.0"; None for one not seen."""
        if block not in self._seen:
            return None
        members = self._members[level - 1][branch] if level else torch.cat(self._members[0])
        return ChannelScore(**{field: stats.score(members) for field, stats in self._seen[block].items()})


def score_batches(
    network: HierarchicalNetwork, backbone_model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]
) -> ChannelScores:
    """Scores from the trunk's maps `(B, C, H, W)` of images of all classes and their indices `(B,)`, batch by batch.

    `backbone_model` is timm's flat model with weights; it runs in eval mode, on its own device, after the cut only. A
    `FlatTail` with the network's classes gives scores by gradient, any other by separation.
    Raises HiergenError for a model that is not the trunk's backbone, maps that are not the trunk's, and a class without
    a map.
    """
    backbone, expected = network.trunk.backbone, network.trunk.out_channels
    names = stages_after(backbone, network.trunk.until)
    sources, _ = blocks_of(backbone_model, names, backbone)
    device = next(backbone_model.parameters()).device
    counts = torch.zeros(network.num_classes, dtype=torch.long)
    by_gradient = isinstance(backbone_model, FlatTail) and backbone_model.classes == network.num_classes
    with _recorded(sources, backbone_model, network.num_classes, by_gradient) as recorder:
        for maps, targets in batches:
            if maps.ndim != 4 or maps.shape[1] != expected:
                raise HiergenError(
                    "the maps are not those of the network's trunk",
                    expected=f"(B, {expected}, H, W)",
                    got=str(tuple(maps.shape)),
                )
            recorder.targets = targets.long().cpu()
            if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < len(counts):
                raise HiergenError("a target is no class", expected=f"0..{len(counts) - 1}")
            counts += torch.bincount(recorder.targets, minlength=len(counts))
            x = maps.to(device).float()
            if by_gradient:
                with torch.enable_grad():
                    loss = F.cross_entropy(backbone_model(x.requires_grad_()), targets.to(device), reduction="sum")
                    loss.backward()  # type: ignore[no-untyped-call]
            else:
                _through(sources, backbone_model, x)
    if not counts.all():
        missing = network.classes[int(counts.argmin())]
        raise HiergenError(f"channels cannot be scored: no map is of class {quoted(missing)}")
    return ChannelScores(_members(network), recorder.seen)


@torch.no_grad()
def _through(sources: list[BackboneBlock], model: nn.Module, x: Tensor) -> None:
    """The maps through the stages of these blocks."""
    for name in dict.fromkeys(source.stage for source in sources):
        stage = model.get_submodule(name) if name != CONV_HEAD else sources[-1].block
        x = stage(x)


def _members(network: HierarchicalNetwork) -> list[list[Tensor]]:
    """The classes below each branch of each level."""
    homes = list(network.head.parents or range(network.num_classes))
    members = []
    for level in reversed(network.levels):
        members.append([torch.tensor([c for c, home in enumerate(homes) if home == i]) for i in range(level.branches)])
        homes = [level.parents[home] for home in homes] if level.parents else []
    return members[::-1]


class _Recorder:
    def __init__(self, classes: int, by_gradient: bool) -> None:
        self.classes, self.by_gradient = classes, by_gradient
        self.targets = torch.empty(0, dtype=torch.long)
        self.seen: dict[str, dict[str, ClassStatistics]] = {}

    def add(self, block: str, field: str, y: Tensor, last: bool) -> None:
        dims = (1, 2) if last else (2, 3)
        if not self.by_gradient:
            self._add(block, field, ClassStatistics, y.mean(dims))
            return
        value = y.detach()  # a hook that held y itself would keep it, and all before it, for good

        def lost(gradient: Tensor) -> None:
            self._add(block, field, ClassMeans, (value * gradient).abs().sum(dims))

        y.register_hook(lost)  # type: ignore[no-untyped-call]

    def _add(self, block: str, field: str, kind: type[ClassStatistics], values: Tensor) -> None:
        self.seen.setdefault(block, {}).setdefault(field, kind(self.classes)).add(values, self.targets)


@contextmanager
def _recorded(blocks: list[BackboneBlock], model: nn.Module, classes: int, by_gradient: bool) -> Iterator[_Recorder]:
    """Hooks where a block's inner channels are read and where it answers; the model in eval mode meanwhile, its weights
    without gradients."""
    recorder, handles = _Recorder(classes, by_gradient), []
    modes = {module: module.training for module in model.modules()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        model.eval().requires_grad_(False)
        for source in blocks:
            for field, layer in zip(_FIELDS, _readers(source.block), strict=False):

                def before(layer: Any, given: Any, name: str = source.name, field: str = field) -> None:
                    recorder.add(name, field, given[0], isinstance(layer, nn.Linear))

                handles.append(layer.register_forward_pre_hook(before))

            def after(_layer: Any, _given: Any, y: Tensor, name: str = source.name) -> None:
                recorder.add(name, "gives", y, False)

            answers = source.block[-1] if isinstance(source.block, nn.Sequential) else source.block
            handles.append(answers.register_forward_hook(after))
        yield recorder
    finally:
        for handle in handles:
            handle.remove()
        for module, training in modes.items():
            module.training = training
        for parameter in trained:
            parameter.requires_grad_()


def _readers(block: Any) -> list[nn.Module]:
    """The layers that read the block's inner channels: of bottlenecks two, of a 1×1 convolution none, else one."""
    if isinstance(block, nn.Sequential):
        return []
    for names in (("conv2", "conv3"), ("conv_pwl",)):
        if hasattr(block, names[-1]):
            return [getattr(block, name) for name in names]
    return [block.mlp.fc2]
