"""What commands on trained networks share: the network with its weights, labelled images, lists of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.errors import HiergenError, listed, quoted
from hiergen.terminal import one_line

if TYPE_CHECKING:
    from hiergen.images import ImageSet
    from hiergen.nn.network import HierarchicalNetwork

Model = Annotated[str, typer.Argument(help="FILE.py:NAME, a timm name, or a cutout's folder.")]
Weights = Annotated[Path | None, typer.Option(help="The network's weights, safetensors.")]
Data = Annotated[
    str,
    typer.Option(help="A folder of one folder per class, a .tar of one, digits, torch/NAME, hfds/NAME, wds/SHARDS."),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(help="Only these classes (ids, names, groups, …; repeatable); 'present': those that have images."),
]
Untrained = Annotated[bool, typer.Option("--untrained", help="Take random weights; figures then mean nothing.")]
Holdout = Annotated[float, typer.Option(help="Share of each class's images that figures are reported on.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]
BatchSize = Annotated[int, typer.Option(help="Images at once.", min=1)]
Workers = Annotated[int, typer.Option(help="Threads that read images.", min=1)]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …")]


def load_trained(model: str, weights: Path | None, *, untrained: bool, device: str = "cpu") -> HierarchicalNetwork:
    """The network in eval mode. Raises HiergenError without weights, unless random ones are asked for."""
    import torch

    from hiergen.models import find_model, load_network

    found = find_model(model)
    if weights is None and found.weights is None and not untrained:
        raise HiergenError(
            f"no weights for {found.name}",
            expected="--weights FILE.safetensors",
            hint="--untrained takes random ones, whose figures mean nothing",
        )
    if weights is not None and untrained:
        raise HiergenError("weights are given, and none are wanted", expected="--weights or --untrained")
    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise HiergenError(f"no device {quoted(device)}", hint=f"torch says: {quoted(reason)[1:-1]}") from None
    torch.manual_seed(0)
    return load_network(model, weights).to(target)


def labelled(network: HierarchicalNetwork, data: str, classes: list[str] | None) -> ImageSet:
    """The images of the network's classes, of the data's validation part if it has one; what is left out is said on
    stderr."""
    import sys

    from hiergen.images import PRESENT
    from hiergen.terms import chosen
    from hiergen.train.data import open_data

    wanted: str | list[int] | None = None
    if classes == [PRESENT]:
        wanted = PRESENT
    elif classes:
        wanted = sorted({i for found in chosen(network.selector, classes).values() for i in found})
        if not wanted:
            raise HiergenError("an empty class name", expected="a class id, name, group, WordNet term or index")
    images = open_data(data, network, split="validation", classes=wanted)
    if images.left_out:
        print(f"left out: {len(images.left_out)} folders ({listed(images.left_out)})", file=sys.stderr)
    if images.note:
        print(one_line(images.note), file=sys.stderr)
    return images


def numbers(text: str, option: str) -> list[float]:
    """ "0.5,1,2" or "0.5:3:0.1" (from, to and with, step). Raises HiergenError for anything else."""
    parts = text.split(":")
    try:
        if len(parts) == 1:
            return [float(part) for part in text.split(",")]
        low, high, step = (float(part) for part in parts)
    except ValueError:
        raise HiergenError(
            f"{option} {quoted(text)} is no list of numbers", expected="numbers with commas, or FROM:TO:STEP"
        ) from None
    count = (high - low) / step + 1e-9 if step > 0 else -1.0
    if not 0 <= count < 1000:
        raise HiergenError(f"{option} {quoted(text)} is no range", expected="FROM:TO:STEP with at most 1000 steps")
    return [round(low + i * step, 10) for i in range(int(count) + 1)]
