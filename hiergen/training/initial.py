"""How branches start: at random, or as channels of the blocks that the backbone has after the cut."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from hiergen.data.samples import seed_of
from hiergen.errors import HiergenError, PlanError, quoted
from hiergen.models.weights import has_copies
from hiergen.nn.flat import FlatTail
from hiergen.nn.heads import ClassHeads
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.replicas import ReplicaStage
from hiergen.nn.routing import descend
from hiergen.nn.siblings import Siblings
from hiergen.nn.tail import BackboneBlock, blocks_of, conv_head, stages_after
from hiergen.nn.template import timm_template
from hiergen.nn.trunk import make_model, stages, trunk_model
from hiergen.training.blockcopy import Channels, ChannelScore, Target, copy, gain, mismatch, stage_targets
from hiergen.training.ridge import ridge_rows

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
    copied: bool = False

    def __str__(self) -> str:
        start = "1 branch starts" if self.branches == 1 else f"{self.branches} branches start"
        if not self.taken:
            return f"{start} at random: {self.why_not}"
        chosen = "those channels that matter most to them" if self.scored else "channels"
        chosen = "copies" if self.copied else chosen
        text = f"{start} as {chosen} of {', '.join(self.taken)}"
        if self.why_not is None:
            return text
        return f"{text}; the last {self.blocks - len(self.taken)} of {self.blocks} blocks at random: {self.why_not}"


@dataclass(frozen=True)
class InitReport:
    """What was done, level by level; with branches for all classes, and which of "specialists", "generalist" and "flat"
    have the rows of a classifier."""

    levels: tuple[LevelStart, ...]
    generalist: LevelStart | None = None
    flat: LevelStart | None = None
    rows: frozenset[str] = frozenset()

    def lines(self, *, specialists: bool = True) -> list[str]:
        """One sentence for each level of the specialists, and for each branch for all classes."""
        lines = [f"level {number}: {level}" for number, level in enumerate(self.levels, 1) if specialists]
        for name, start in (("generalist", self.generalist), ("flat", self.flat)):
            lines += [f"{name}: {start}"] if start else []
        return [*lines, "classes start as rows of the classifier"] if "specialists" in self.rows else lines


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
    score instead of a random choice (see `hiergen.training.channelscores`). Copies of the backbone's blocks start as
    these, each as the one that it is a copy of. A generalist starts likewise. A classifier of as many classes as the
    network's gives these their rows, if the branches are the backbone's to its end.
    `pretrained_model` is timm's flat model with weights, or what of it follows the cut (`hiergen.nn.flat.FlatTail`);
    None fetches the weights that timm has for the backbone.
    Raises HiergenError for a model that is not the trunk's backbone, or weights that cannot be fetched.
    """
    if how not in ("random", "backbone"):
        raise ValueError(f"init_branches: expected 'random' or 'backbone', got {how!r}")
    _draw(network, seed)
    branches = _for_all(network)
    if how == "random":
        levels = tuple(LevelStart(level.branches, len(level.blocks), (), "as asked") for level in network.levels)
        tails = {name: LevelStart(1, len(part.tail.blocks), (), "as asked") for name, part in branches.items()}
        return InitReport(levels, tails.get("generalist"), tails.get("flat"))
    backbone, until = network.trunk.backbone, network.trunk.until
    after = stages_after(backbone, until)
    if pretrained_model is None and after:
        pretrained_model = fetched(network)
    blocks, why = blocks_of(pretrained_model, after, backbone)
    why = why or f"the backbone has no more blocks after {until}"
    walk = _Walk(blocks, why, network.trunk.out_channels, seed, importance, pretrained_model)
    levels = tuple(walk.level(number, level) for number, level in enumerate(network.levels))
    classifier = _classifier(pretrained_model, network)
    rows = {"specialists"} if walk.hand_rows(classifier, network.head) else set()
    tails = dict[str, LevelStart]()
    for name, part in branches.items():
        walk = _Walk(blocks, why, network.trunk.out_channels, seed, importance, pretrained_model)
        tails[name] = walk.level(GENERALIST, part.tail)
        rows |= {name} if walk.hand_rows(classifier, part.head) else set()
    return InitReport(levels, tails.get("generalist"), tails.get("flat"), frozenset(rows))


GENERALIST = -1  # its level less one, where scores are asked for: all classes are its own


def _for_all(network: HierarchicalNetwork) -> dict[str, Any]:
    """The branches for all classes that the network has."""
    return {name: part for name in ("generalist", "flat") if (part := network._modules.get(name)) is not None}


def _classifier(model: nn.Module | None, network: HierarchicalNetwork) -> nn.Linear | None:
    """The model's last layer, if it has as many classes as the network."""
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)] if model is not None else []
    return layers[-1] if layers and layers[-1].out_features == network.num_classes else None


def _draw(network: HierarchicalNetwork, seed: int) -> None:
    """Every module's own init, from the seed and nothing else."""
    devices = {p.device.index or 0 for p in network.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(sorted(devices)):
        torch.manual_seed(seed)
        for part in (*network.levels, network.head, *_for_all(network).values()):
            for module in part.modules():
                reset: Any = getattr(module, "reset_parameters", None)
                if reset is not None:
                    reset()


def fetched(network: HierarchicalNetwork) -> nn.Module:
    """The trunk's backbone with all its stages and the weights that timm has. HiergenError where they cannot be had."""
    backbone, until, size = network.trunk.backbone, network.trunk.until, network.input_size
    classes = network.trunk.pretrained_cfg["num_classes"]
    if not network.trunk.tokens:
        with suppress(PlanError):
            return FlatTail(backbone, until, classes, pretrained=True, input_size=size)
    if has_copies(network):
        return make_model(backbone, size, pretrained=True, num_classes=classes)
    return trunk_model(backbone, stages(backbone)[-1].name, pretrained=True, input_size=size)[0]


class _OnMaps(nn.Module):
    """All branches of a network, on its trunk's maps."""

    def __init__(self, network: HierarchicalNetwork, specialists: bool) -> None:
        super().__init__()
        self.levels = nn.ModuleList(network.levels if specialists else ())
        self.generalist = network._modules.get("generalist")

    def forward(self, x: Tensor) -> None:
        if self.generalist is not None:
            self.generalist(x)
        for level in self.levels:
            x = level(x)


def estimate_norms(
    network: HierarchicalNetwork, batches: Iterable[tuple[Tensor, ...]], *, specialists: bool = True
) -> None:
    """Set the running statistics of all branches, or of the generalist's alone, to those of these batches of the
    trunk's maps, as torch's `update_bn` does after weights were averaged. The flat network's tail keeps its own."""
    branches, device = _OnMaps(network, specialists), network.head.weight.device
    mode = network.training
    update_bn((maps.float() for maps, *_ in batches), branches, device)
    network.train(mode)


_MOST_GRAM = 2 * 10**8  # numbers in the matrices of the classes' regressions, 1.6 GB


def start_heads(
    network: HierarchicalNetwork,
    batches: Callable[[], Iterable[tuple[Tensor, Tensor]]],
    *,
    but: Collection[str] = (),
) -> bool:
    """Give all classes rows by ridge regression on their branches' features, of batches of the trunk's maps and their
    targets in mixed order; branches for all classes likewise. `but` of "specialists", "generalist" and "flat" are left
    as they are. False, and no rows for the specialists, where the matrices would be too large."""
    mode, weight = network.training, network.head.weight
    network.eval()
    heads: list[tuple[Any, Callable[[Tensor], Tensor]]] = []
    fits = network.num_classes * (network.head.in_channels + 1) ** 2 <= _MOST_GRAM
    if fits and "specialists" not in but:
        heads.append((network.head, lambda x: _features(network, x)))
    for part in (part for name, part in _for_all(network).items() if name not in but):
        heads.append((part.head, partial(_pooled, part.tail)))
    for head, features in heads:
        placed = ((x.to(weight), y) for x, y in batches())
        rows, biases = ridge_rows(features, placed, network.num_classes)
        with torch.no_grad():
            head.weight.copy_(rows)
            head.bias.copy_(biases)
    network.train(mode)
    return fits


def _pooled(tail: Siblings, maps: Tensor) -> Tensor:
    pooled: Tensor = tail(maps, pool=True)
    return pooled[:, 0]


def _features(network: HierarchicalNetwork, maps: Tensor) -> Tensor:
    """What each class reads, `(B, classes, C)`."""
    pooled = descend(network, maps)
    return pooled if network.head.gather is None else network.head.gather(pooled)


class _Walk:
    """Hands the backbone's blocks out. `ids` are the channels that each branch of the last level gives."""

    def __init__(
        self,
        blocks: list[BackboneBlock],
        end: str,
        trunk_channels: int,
        seed: int,
        importance: Importance | None,
        model: nn.Module | None,
    ) -> None:
        self.blocks, self.end, self.seed, self.importance, self.model = blocks, end, seed, importance, model
        self.next, self.closed = 0, True
        self.space = trunk_channels  # how many channels the indices are of
        self.ids: list[Tensor] = [torch.arange(trunk_channels)]
        self.stopped: str | None = None

    def level(self, number: int, level: Siblings) -> LevelStart:
        parents, scored = level.parents or (0,) * level.branches, self.importance is not None
        taken: list[str] = []
        generators = [torch.Generator().manual_seed(seed_of(self.seed, number, i)) for i in range(level.branches)]
        ids = [] if self.stopped else [self.ids[parent] for parent in parents]
        copied = all(isinstance(stage, ReplicaStage) for stage in level.stages)
        for recipe, stage in zip(level.recipes, level.stages, strict=True):
            if isinstance(stage, ReplicaStage):
                if (why := self._copied(stage)) is not None:
                    self.stopped = self.stopped or f"level {number + 1} is not the backbone's to its end"
                    return LevelStart(level.branches, len(level.blocks), tuple(taken), why, scored, copied)
                ids = [torch.arange(stage.recipe.out)] * level.branches
                taken += [*stage.recipe.modules, *(["its end"] if stage.recipe.end else [])]
                continue
            for target in stage_targets(recipe, stage):
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
        return LevelStart(level.branches, len(level.blocks), tuple(taken), scored=scored, copied=copied)

    def _copied(self, stage: ReplicaStage) -> str | None:
        """Let all branches of a stage start as the backbone's modules; why they do not. What is then left of the
        backbone is the 1×1 convolution at its end, if it has one."""
        recipe = stage.recipe
        if self.stopped is not None:
            return self.stopped
        if recipe.given is not None:
            return "its blocks are copies of given modules"
        if recipe.in_channels != self.space:
            return f"it reads {recipe.in_channels} channels, and {self.space} are there"
        assert self.model is not None
        try:
            modules = [self.model.get_submodule(name) for name in recipe.modules]
        except AttributeError:
            raise HiergenError(
                f"the model given is not the backbone {quoted(recipe.backbone)}",
                expected=f"modules such as {quoted(recipe.modules[0])}",
            ) from None
        stage.start_as([*modules, *([nn.ModuleDict({"model": self.model})] if recipe.end else [])])
        found = list(conv_head(self.model))
        self.blocks = [] if recipe.end or {block.name for block in found} & set(recipe.modules) else found
        self.end = f"the backbone has no more blocks after {recipe.modules[-1]}"
        self.next, self.space = 0, recipe.out
        end = timm_template(recipe.backbone, (), True, recipe.input_size).modules[-1]
        self.closed = recipe.end or not any(True for _ in end.parameters())
        return None

    @torch.no_grad()
    def hand_rows(self, classifier: nn.Linear | None, head: ClassHeads) -> bool:
        """Give the classes their rows of the backbone's classifier, if it reads what the last level gives."""
        done = self.next == len(self.blocks) and self.closed and not self.stopped
        if classifier is None or not done or classifier.in_features != self.space:
            return False
        for c, branch in enumerate(head.parents or range(head.classes)):
            ids = self.ids[branch]
            head.weight[c].copy_(classifier.weight[c, ids] * gain(self.space, ids))
            head.bias[c] = classifier.bias[c] if classifier.bias is not None else 0.0
        return True

    def _advance(self, target: Target) -> str | None:
        """Go on to the first block that fits this one (a shallow tail leaves some out); why none does."""
        why: str | None = None
        for number, source in enumerate(self.blocks[self.next :], self.next):
            if target.stride > 1 and source.stride == 1:
                continue
            unfit = mismatch(source, target)
            if source.reads != self.space:
                unfit = f"{source.name} reads {source.reads} channels, and {self.space} are there"
            if unfit is None:
                self.next = number
                return None
            why = why or unfit
        return why or self.end


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
