"""How branches start: at random, or as channels of the blocks that the backbone has after the cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from hiergen.data.samples import seed_of
from hiergen.errors import HiergenError, quoted
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.siblings import Siblings
from hiergen.nn.trunk import stages, trunk_model
from hiergen.training.blockcopy import BackboneBlock, Channels, ChannelScore, Target, copy, mismatch, sources, targets

# scores of a block's channels for one branch, by level (1 …), branch and the block's name; None: no opinion
Importance: TypeAlias = Callable[[int, int, str], ChannelScore | None]


@dataclass(frozen=True)
class LevelStart:
    """What was done with a level: for each block the backbone's block that it started as, and why not all did."""

    branches: int
    blocks: int
    taken: tuple[str, ...] = ()
    why_not: str | None = None
    scored: bool = False

    def __str__(self) -> str:
        if not self.taken:
            return f"{self.branches} branches start at random: {self.why_not}"
        chosen = "those channels that matter most to them" if self.scored else "channels"
        text = f"{self.branches} branches start as {chosen} of {', '.join(self.taken)}"
        if self.why_not is None:
            return text
        return f"{text}; the last {self.blocks - len(self.taken)} of {self.blocks} blocks at random: {self.why_not}"


@dataclass(frozen=True)
class InitReport:
    """What was done, level by level."""

    levels: tuple[LevelStart, ...]

    def lines(self) -> list[str]:
        """One sentence for each level."""
        return [f"level {number}: {level}" for number, level in enumerate(self.levels, 1)]


def init_branches(
    network: HierarchicalNetwork,
    how: Literal["random", "backbone"] = "random",
    *,
    pretrained_model: nn.Module | None = None,
    seed: int = 0,
    importance: Importance | None = None,
) -> InitReport:
    """Initialise the branches and heads of a new network; the same seed gives the same weights.

    "random": every block's own init. "backbone": then the blocks that the backbone has after the cut are handed out in
    order along the levels; a branch takes some of their channels (all of the trunk's, then a random choice of its own,
    what one block gives being what the next one reads) with kernels, norms and statistics. Kernels are rescaled where
    they read fewer channels. A block that does not fit ends it: that one and all later ones stay random. A branch as
    wide as the backbone's own stages computes what they do. `importance` has a branch take the channels of the highest
    score instead of a random choice (see `hiergen.training.channelscores`).
    `pretrained_model` is timm's flat model with weights; None fetches the weights that timm has for the backbone.
    Raises HiergenError for a model that is not the trunk's backbone, or weights that cannot be fetched.
    """
    if how not in ("random", "backbone"):
        raise ValueError(f"init_branches: expected 'random' or 'backbone', got {how!r}")
    _draw(network, seed)
    if how == "random":
        counts = [(level.branches, len(level.blocks)) for level in network.levels]
        return InitReport(tuple(LevelStart(n, blocks, (), "as asked") for n, blocks in counts))
    backbone, until = network.trunk.backbone, network.trunk.until
    after = stages_after(backbone, until)
    if pretrained_model is None and after:
        pretrained_model = fetched(network)
    blocks, why = blocks_of(pretrained_model, after, backbone)
    why = why or f"the backbone has no more blocks after {until}"
    walk = _Walk(blocks, why, network.trunk.out_channels, seed, importance)
    return InitReport(tuple(walk.level(number, level) for number, level in enumerate(network.levels)))


def _draw(network: HierarchicalNetwork, seed: int) -> None:
    """Every module's own init, from the seed and nothing else."""
    devices = {p.device.index or 0 for p in network.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(sorted(devices)):
        torch.manual_seed(seed)
        for part in (*network.levels, network.head):
            for module in part.modules():
                reset: Any = getattr(module, "reset_parameters", None)
                if reset is not None:
                    reset()


def fetched(network: HierarchicalNetwork) -> nn.Module:
    """The trunk's backbone with all its stages and the weights that timm has. HiergenError where they cannot be had."""
    backbone = network.trunk.backbone
    return trunk_model(backbone, stages(backbone)[-1].name, pretrained=True, input_size=network.input_size)[0]


def stages_after(backbone: str, until: str) -> list[str]:
    """Modules of the backbone after a stage, in order. timm lists stages where the resolution changes: of mobile
    networks blocks.4 and blocks.6, say; what is between belongs to the next one."""
    after = [stage.name for stage in stages(backbone)]
    at = after.index(until)
    names: list[str] = []
    for before, name in pairwise(after[at:]):
        (parent, _, last), (other, _, first) = name.rpartition("."), before.rpartition(".")
        numbered = parent == other and last.isdecimal() and first.isdecimal()
        names += [f"{parent}.{i}" for i in range(int(first) + 1, int(last))] if numbered else []
        names.append(name)
    return names


def blocks_of(model: nn.Module | None, names: list[str], backbone: str) -> tuple[list[BackboneBlock], str | None]:
    """The blocks of these stages, and why they end where they do, if not with the backbone."""
    blocks: list[BackboneBlock] = []
    for name in names:
        assert model is not None
        try:
            stage = model.get_submodule(name)
        except AttributeError:
            raise HiergenError(
                f"the model given is not the backbone {quoted(backbone)}", expected=f"a stage {quoted(name)}"
            ) from None
        try:
            blocks += sources(name, stage)
        except TypeError as error:
            return blocks, str(error)
    return blocks, None


class _Walk:
    """Hands the backbone's blocks out. `ids` are the channels that each branch of the last level gives."""

    def __init__(
        self, blocks: list[BackboneBlock], end: str, trunk_channels: int, seed: int, importance: Importance | None
    ) -> None:
        self.blocks, self.end, self.seed, self.importance = blocks, end, seed, importance
        self.next = 0
        self.space = trunk_channels  # how many channels the indices are of
        self.ids: list[Tensor] = [torch.arange(trunk_channels)]
        self.stopped: str | None = None

    def level(self, number: int, level: Siblings) -> LevelStart:
        parents, scored = level.parents or (0,) * level.branches, self.importance is not None
        taken: list[str] = []
        generators = [torch.Generator().manual_seed(seed_of(self.seed, number, i)) for i in range(level.branches)]
        ids = [] if self.stopped else [self.ids[parent] for parent in parents]
        for target in targets(level):
            why = self.stopped or self._advance(target)
            if why is not None:
                self.stopped = self.stopped or f"level {number + 1} is not the backbone's to its end"
                return LevelStart(level.branches, len(level.blocks), tuple(taken), why, scored)
            source = self.blocks[self.next]
            for branch, generator in enumerate(generators):
                score = self.importance(number + 1, branch, source.name) if self.importance else None
                channels = _channels(source, target, ids[branch], generator, score)
                copy(source, target, branch, channels)
                ids[branch] = channels.gives
            self.next, self.space = self.next + 1, source.gives
            taken.append(source.name + (f" (stride {target.stride})" if target.stride != source.stride else ""))
        self.ids = ids
        return LevelStart(level.branches, len(level.blocks), tuple(taken), scored=scored)

    def _advance(self, target: Target) -> str | None:
        """Go to the block for this one, the next (for a stride the next that has one); why not, if there is none."""
        while target.stride > 1 and self.next < len(self.blocks) and self.blocks[self.next].stride == 1:
            self.next += 1
        if self.next >= len(self.blocks):
            return self.end
        source = self.blocks[self.next]
        if source.reads != self.space:
            return f"{source.name} reads {source.reads} channels, and {self.space} are there"
        return mismatch(source, target)


def _channels(
    source: BackboneBlock, target: Target, reads: Tensor, generator: torch.Generator, score: ChannelScore | None
) -> Channels:
    def some(channels: Tensor, count: int, scores: Tensor | None) -> Tensor:
        """The highest scores, else a random choice; in order."""
        if scores is None:
            order = torch.randperm(len(channels), generator=generator)
        else:
            order = scores[channels].argsort(descending=True, stable=True)
        return channels[order[:count].sort().values]

    score = score or ChannelScore()
    first = some(torch.arange(source.width), target.width, score.first)
    second = some(torch.arange(source.width), target.width, score.second)
    if source.projects:
        gives = some(torch.arange(source.gives), target.gives, score.gives)
    elif not target.projects:
        gives = reads
    elif target.gives <= len(reads):
        gives = some(reads, target.gives, score.gives)
    else:  # new channels start without a skip
        new = torch.tensor(sorted(set(range(source.gives)) - set(reads.tolist())))
        gives = torch.cat([reads, some(new, target.gives - len(reads), score.gives)]).sort().values
    return Channels(reads, first, second, gives)
