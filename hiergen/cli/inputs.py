"""What commands on trained networks share: their options, and lists of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hiergen.errors import HiergenError, quoted

if TYPE_CHECKING:
    from hiergen.nn.network import HierarchicalNetwork

MODEL_FORMS = "FILE.py:NAME, TAXONOMY:NAME, a timm name, or a cutout's folder"
DATA_FORMS = "A folder of one folder per class, a .tar of one, digits, torch/NAME, hfds/NAME, wds/SHARDS."
Model = Annotated[str, typer.Argument(help=f"{MODEL_FORMS}.")]
Weights = Annotated[Path | None, typer.Option(help="The network's weights, safetensors.")]
Data = Annotated[str, typer.Option(help=DATA_FORMS)]
Classes = Annotated[
    list[str] | None,
    typer.Option(help="Only these classes (ids, names, groups, …; repeatable); 'present': those that have images."),
]
Untrained = Annotated[bool, typer.Option("--untrained", help="Take random weights; figures then mean nothing.")]
Holdout = Annotated[float, typer.Option(help="Share of each class's images that figures are reported on.")]
Seed = Annotated[int, typer.Option(help="Seed of everything that is drawn.")]
BATCH_SIZE = 64
BatchSize = Annotated[
    int | None,
    typer.Option(help=f"Images at once (default: {BATCH_SIZE}; of a training, the recipe's batch_size).", min=1),
]
Workers = Annotated[
    int | None, typer.Option(help="How many read images beside the main process (default: by the cores).", min=0)
]
Device = Annotated[str | None, typer.Option(help="cpu or cuda (default: a GPU where there is one).")]


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


def read_gains(network: HierarchicalNetwork, typed: list[str]) -> dict[int | str, float]:
    """TERM=NUMBER texts as gains. Raises HiergenError for anything else."""
    from hiergen.lookup.choose import read_term

    gains: dict[int | str, float] = {}
    for text in typed:
        term, sign, number = text.rpartition("=")
        try:
            gains[read_term(network.selector, term.strip())] = float(number)
        except ValueError:
            sign = ""
        if not sign or not term.strip():
            raise HiergenError(f"--gain {quoted(text)} is no gain", expected='TERM=NUMBER, as in "domestic cat=1.4"')
    return gains
