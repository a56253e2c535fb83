"""What single branches make of an image: their feature maps, and where in them a class's score comes from (Grad-CAM),
side by side as in Fig. 5 of Kelm et al. (arXiv 2308.05128); the picture needs matplotlib (the extra `viz`).

Source: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
Eqs. 1 and 2, with the maps of a branch for the last convolutional layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hiergen.data.images import LabelledImages, eval_transform
from hiergen.errors import HiergenError, nearest, quoted, unquoted
from hiergen.lookup.choose import find_terms, read_term
from hiergen.lookup.select import Node
from hiergen.nn.gains import node_gains
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.pictures import image_mode
from hiergen.nn.routing import route
from hiergen.taxonomy.imagefolder import ImagePlace
from hiergen.views import plots

Gains = Mapping[int | str, float]


@dataclass(frozen=True)
class BranchMaps:
    """Of one branch: its maps `(B, C, H, W)`, the score `(B,)` (the summed logits of `classes`, indices), and the heat
    `(B, H, W)`, at least 0, that Grad-CAM gives for it."""

    node: Node
    classes: tuple[int, ...]
    maps: Tensor
    score: Tensor
    heat: Tensor


def branch_maps(
    network: HierarchicalNetwork,
    images: Tensor,
    nodes: Sequence[Node],
    *,
    gains: Gains | None = None,
    after: int | None = None,
) -> list[BranchMaps]:
    """Maps and heat of branches for images `(B, 3, H, W)`; only the paths to them run.

    A class's score is its logit before the softmax, a group's the sum of its classes' logits. `gains` and `after` are
    those of `HierarchicalNetwork.attend`. The trunk needs no gradient, and no parameter's is touched.
    Raises HiergenError for a network in training mode or with one branch for all classes, and as `attend` does.

    >>> maps = branch_maps(network, images, network.selector.nodes("dog"))
    """
    if network.training:
        raise HiergenError("maps in training mode are those of the whole batch", hint="model.eval()")
    if network.levels[-1].branches < network.num_classes:
        raise HiergenError(f"{type(network).__name__} has one branch for all classes, and so no branches to compare")
    of_node = [network.nesting.members(node.level, node.branch) for node in nodes]
    taken = route(network, tuple(sorted({c for classes in of_node for c in classes})))
    gained = node_gains(network, gains, after).times(network._gains) if gains else network._gains
    with torch.no_grad():
        x = network.trunk(images)
    with torch.enable_grad():
        x = x.detach().requires_grad_()  # a gradient also where all parameters are frozen
        levels: list[Tensor] = []
        for j, level in enumerate(network.levels):
            branches, rows = taken.levels[j]
            level_gains, at = gained.of_level(j) if gained else (None, None)
            x = level(x, branches=branches, maps=rows, gains=level_gains, after=at)
            levels.append(x)
        logits = network.head(x.mean((-2, -1)), classes=taken.classes, rows=taken.rows)
        return [
            _branch(node, classes, levels[node.level - 1], taken.levels[node.level - 1][0], logits, taken.classes)
            for node, classes in zip(nodes, of_node, strict=True)
        ]


def _branch(
    node: Node, classes: tuple[int, ...], level: Tensor, branches: tuple[int, ...], logits: Tensor, of: tuple[int, ...]
) -> BranchMaps:
    row = branches.index(node.branch)
    score = logits[:, [of.index(c) for c in classes]].sum(1)
    (gradient,) = torch.autograd.grad(score.sum(), level, retain_graph=True)  # images do not see each other
    maps = level.detach()[:, row]
    weights = gradient[:, row].mean((-2, -1), keepdim=True)  # Eq. 1: α, the mean of ∂y/∂A over the map
    heat = (weights * maps).sum(1).relu()  # Eq. 2
    return BranchMaps(node, classes, maps, score.detach(), heat)


def typed_nodes(network: HierarchicalNetwork, typed: Sequence[str]) -> list[Node]:
    """The branches that are typed, as "cat,dog" or one by one. Raises HiergenError for unknown names, and for a word
    that is several branches."""
    chosen = []
    for term in find_terms(network.selector, typed):
        nodes = network.selector.nodes(read_term(network.selector, term))
        if len(nodes) > 1:
            raise HiergenError(
                f"{quoted(term)} is {len(nodes)} branches",
                expected="one group or class",
                hint=f"such as {', '.join(quoted(node.name) for node in nodes[:3])}",
            )
        chosen += [nodes[0]] if nodes[0] not in chosen else []
    if not chosen:
        raise HiergenError("an empty branch name", expected="a class id, a class or group name")
    return chosen


def best_classes(network: HierarchicalNetwork, images: Tensor, count: int) -> list[tuple[int, float]]:
    """(class, probability) of the likeliest classes of the first image."""
    with torch.no_grad():
        shares = network(images[:1]).float().softmax(1)[0]
    values, classes = shares.topk(min(count, len(shares)))
    return list(zip(classes.tolist(), values.tolist(), strict=True))


UNTRAINED = "untrained weights: these maps mean nothing"
_UNIT, _SIDE, _PER_ROW = 0.78, 2, 2  # inches of a channel's map; of a large one in units; branches side by side
_NAME = 28
_BEST = 2  # answers under the image


@dataclass(frozen=True)
class Shown:
    """One state of the network: its branches' maps, and its likeliest classes with their probabilities."""

    label: str
    branches: list[BranchMaps]
    best: list[tuple[int, float]]


def read_image(path: Path, network: HierarchicalNetwork) -> Tensor:
    """An image file as the network sees it, `(1, C, H, W)`. Raises HiergenError for what is no image."""
    place = unquoted(path)
    try:
        there = path.is_file()
    except (OSError, ValueError):
        there = False
    if not there:
        folder = path.parent
        names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        close = tuple(str(folder / name) for name in nearest(path.name, sorted(names)))
        raise HiergenError("no such image file", place=place, nearest=close)
    one = LabelledImages((ImagePlace(path),), (0,), eval_transform(network), mode=image_mode(network))
    device = network.head.weight.device
    return one[0][0][None].to(device)


def states(network: HierarchicalNetwork, image: Tensor, nodes: Sequence[Node], gains: Gains | None) -> list[Shown]:
    """The branches without gains, and with them where there are any."""
    shown = [Shown("", branch_maps(network, image, nodes), best_classes(network, image, _BEST))]
    if gains:
        with network.attend(dict(gains)):
            label = "with " + ", ".join(f"{term} × {gain:g}" for term, gain in gains.items())
            shown.append(Shown(label, branch_maps(network, image, nodes), best_classes(network, image, _BEST)))
        shown[0] = Shown("without gains", shown[0].branches, shown[0].best)
    return shown


def draw_maps(
    path: Path,
    network: HierarchicalNetwork,
    image: Tensor,
    shown: Sequence[Shown],
    *,
    overlay: bool = False,
    channels: int = 6,
    trained: bool = True,
    title: str = "",
) -> None:
    """Write the picture (.png, .svg or .pdf): the image, and of each branch the mean of its maps and its strongest
    channels (those without gains), with `overlay` also Grad-CAM's heat over the image. States are rows on one scale.

    Raises HiergenError without matplotlib, OutputError for another suffix and where the file cannot be written.
    """
    plots.check(path)
    grid = _Grid(network, shown, overlay, channels)
    with plots.style():
        figure = plots.figure_class()(figsize=grid.size, layout="none")
        grid.draw(figure, _picture(network, image))
        figure.text(0.012, 1 - 0.2 / grid.size[1], plots.plain(title, 120), fontsize=11, weight="bold", va="center")
        if not trained:
            figure.text(0.988, 1 - 0.2 / grid.size[1], UNTRAINED, fontsize=9, color="#b35900", ha="right", va="center")
        plots.save(figure, path)


class _Grid:
    """Where things stand, in inches from the upper left."""

    def __init__(self, network: HierarchicalNetwork, shown: Sequence[Shown], overlay: bool, channels: int) -> None:
        self.network, self.shown, self.overlay = network, shown, overlay
        self.channels = min(channels, min(b.maps.shape[1] for b in shown[0].branches))
        self.columns = -(-self.channels // _SIDE)
        self.block = _UNIT * (_SIDE * (1 + overlay) + self.columns) + 0.12 * (1 + overlay) + 0.3
        self.branches = len(shown[0].branches)
        self.across = min(self.branches, _PER_ROW)
        self.image = _UNIT * _SIDE
        self.high = _UNIT * _SIDE + 0.72
        down = -(-self.branches // _PER_ROW)
        self.size = (0.15 + self.image + 0.3 + self.across * self.block, 0.4 + len(shown) * down * self.high + 0.1)
        self.down = down

    def draw(self, figure: Any, picture: Any) -> None:
        self.figure = figure
        for s, state in enumerate(self.shown):
            top = 0.4 + s * self.down * self.high
            axes = self._axes(0.15, top + 0.4, self.image)
            axes.imshow(picture)
            self._text(0.15, top + 0.33, plots.plain(state.label or "image", 24), 8, "black")
            labels = self.network.nesting.labels
            lines = [f"{plots.plain(labels[c], _NAME)} {_percent(share)}" for c, share in state.best]
            for i, line in enumerate(lines):
                self._text(0.15, top + 0.4 + self.image + 0.12 + 0.14 * i, line, 7, "0.25")
            for b in range(self.branches):
                left = 0.15 + self.image + 0.3 + b % _PER_ROW * self.block
                self._block(b, state, left, top + b // _PER_ROW * self.high, picture)

    def _block(self, b: int, state: Shown, left: float, top: float, picture: Any) -> None:
        plain, steered = self.shown[0].branches[b], state.branches[b]
        both = [s.branches[b] for s in self.shown]
        self._text(left, top + 0.16, _heading(self.network, steered), 9, "black")
        mean_top = max(float(o.maps[0].mean(0).max()) for o in both)
        mean_low = min(float(o.maps[0].mean(0).min()) for o in both)
        axes = self._axes(left, top + 0.4, self.image)
        axes.imshow(steered.maps[0].mean(0).cpu().numpy(), cmap="viridis", vmin=mean_low, vmax=mean_top)
        self._text(left, top + 0.33, f"mean of {steered.maps.shape[1]} channels", 7, "black")
        left += self.image + 0.12
        if self.overlay:
            self._overlay(steered, max(float(o.heat.max()) for o in both), left, top + 0.4, picture)
            left += self.image + 0.12
        strongest = plain.maps[0].mean((1, 2)).topk(self.channels).indices.tolist()
        for i, channel in enumerate(strongest):
            x, y = left + i % self.columns * _UNIT, top + 0.4 + i // self.columns * _UNIT
            axes = self._axes(x, y, _UNIT - 0.06)
            low = min(float(o.maps[0, channel].min()) for o in both)
            high = max(float(o.maps[0, channel].max()) for o in both)
            axes.imshow(steered.maps[0, channel].cpu().numpy(), cmap="viridis", vmin=low, vmax=max(high, low + 1e-12))
        self._text(left, top + 0.33, f"its {self.channels} strongest", 7, "black")

    def _overlay(self, maps: BranchMaps, most: float, left: float, top: float, picture: Any) -> None:
        heat = maps.heat[0] / most if most > 0 else maps.heat[0]
        size = picture.shape[:2]
        heat = torch.nn.functional.interpolate(heat[None, None], size, mode="bilinear", align_corners=False)[0, 0]
        values = heat.cpu().numpy()
        axes = self._axes(left, top, self.image)
        axes.imshow(picture.mean(2), cmap="gray", vmin=0, vmax=1)
        axes.imshow(values, cmap="inferno", vmin=0, vmax=1, alpha=0.15 + 0.65 * values)
        of = "logit" if len(maps.classes) == 1 else f"Σ {len(maps.classes)} logits"
        self._text(left, top - 0.07, f"Grad-CAM, {of} {float(maps.score[0]):.2f}", 7, "black")

    def _axes(self, left: float, top: float, side: float) -> Any:
        wide, high = self.size
        axes = self.figure.add_axes((left / wide, 1 - (top + side) / high, side / wide, side / high))
        axes.set_axis_off()
        return axes

    def _text(self, left: float, top: float, text: str, size: float, colour: str) -> None:
        wide, high = self.size
        self.figure.text(left / wide, 1 - top / high, text, fontsize=size, color=colour, va="center", parse_math=False)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %"


def _heading(network: HierarchicalNetwork, maps: BranchMaps) -> str:
    node = maps.node
    last = node.level == len(network.levels)
    name = network.nesting.labels[maps.classes[0]] if last else node.name
    channels, height, width = maps.maps.shape[1:]
    what = "class" if last else f"group of {len(maps.classes)} classes"
    return f"{plots.plain(name, _NAME)} · {what}, level {node.level} · {channels} × {height} × {width}"


def _picture(network: HierarchicalNetwork, image: Tensor) -> Any:
    """The image as the network sees it, `(H, W, 3)` in 0 … 1; of RGBA without its alpha."""
    config = network.pretrained_cfg
    mean, std = (torch.tensor(config[key]).view(-1, 1, 1) for key in ("mean", "std"))
    seen = (image[0].cpu() * std + mean).clamp(0, 1)
    return seen[:3].expand(3, -1, -1).permute(1, 2, 0).numpy()
