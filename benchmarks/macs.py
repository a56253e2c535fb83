"""MACs of all of timm's networks, hiergen's count beside that of torch's own counter.

`python benchmarks/macs.py [--seconds N] [PATTERN]` prints a line for each network whose counts differ, or whose count
depends on gradients, memory format or batch (per image; work on weights alone is done once), then how many agree.

Torch's counter is asked for mm, addmm and convolutions of a network whose weights have gradients: then linear layers
are never bmm, which it also counts for attention.
"""

from __future__ import annotations

import argparse
import random
import time

import timm
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hiergen.nn.macs import count_macs

LAYERS = ("convolution", "_convolution", "addmm", "mm")


def torchs(network: nn.Module, x: Tensor) -> int | None:
    """Torch's count; None where its counter cannot follow gradients (class tokens as inputs of modules)."""
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(x)
    except (AssertionError, RuntimeError):
        return None
    counts = counter.get_flop_counts()["Global"].items()
    return sum(flops for op, flops in counts if str(op).split(".")[1] in LAYERS) // 2


def differences(name: str) -> tuple[str, bool]:
    """What is wrong with the count of a network, and whether torch had one."""
    with torch.device("meta"):
        network = timm.create_model(name).eval()
        x = torch.empty(1, *network.pretrained_cfg["input_size"])
    want, got = torchs(network, x), count_macs(network, x)
    others = {"channels_last": count_macs(network, x.to(memory_format=torch.channels_last))}
    one, two = (count_macs(network, x.expand(b, -1, -1, -1).clone()) for b in (2, 3))
    network.requires_grad_(False)
    others["frozen"] = count_macs(network, x)
    found = [f"{way} {macs:,}" for way, macs in others.items() if macs != got]
    found += [f"per image {two - one:,}"] if abs(two - one - got) > got // 100 else []
    found += [f"torch {want:,} ({100 * (got / want - 1):+.2f} %)"] if want not in (None, got) else []
    return f"{got:,}: {'; '.join(found)}" if found else "", want is not None


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default="*")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop then, in a random order of networks")
    options = parser.parse_args()
    names = timm.list_models(options.pattern)
    random.Random(0).shuffle(names)
    start, equal, alone, failed, seen = time.monotonic(), 0, 0, 0, 0
    for name in names:
        if time.monotonic() - start > options.seconds:
            break
        seen += 1
        try:
            found, both = differences(name)
        except Exception as error:  # noqa: BLE001 - what timm or torch cannot run here
            print(f"{name}: not run, {type(error).__name__}: {str(error).splitlines()[:1]}", flush=True)
            failed += 1
            continue
        if found:
            print(f"{name}: {found}", flush=True)
        equal += both and not found
        alone += not both and not found
    print(
        f"{seen} of {len(names)} networks: {equal} equal, {alone} that torch's counter does not take, {failed} not run"
    )


if __name__ == "__main__":
    main()
