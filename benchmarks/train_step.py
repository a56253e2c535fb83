"""A few training steps of every generated model on one batch of real images: does the loss on that batch fall?

    python benchmarks/train_step.py DATA [--batch 8] [--steps 5] [--models imagenet100:N3HL ...]

DATA holds imagenet-1k-samples-256.tar (one image per class) and tiny-imagenet-100-train.tar.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tarfile
import time
from pathlib import Path

import timm.data
import timm.optim
import torch
from PIL import Image
from torch import Tensor, nn

from hiergen.nn import HierarchicalNetwork

MODULES = ("imagenette", "imagewoof", "imagenet100", "imagenet1k", "tiny_imagenet_100")


def load_batch(archive: Path, classes: list[str], count: int, transform: object) -> tuple[Tensor, Tensor]:
    """`count` images of as many classes, evenly spread over the list, one each, and their class indices."""
    wanted = {classes[i * len(classes) // count]: i * len(classes) // count for i in range(count)}
    images, targets = [], []
    with tarfile.open(archive) as tar:
        for member in tar:
            wnid = member.name.split("/")[-2] if "/" in member.name else ""
            if member.isfile() and wnid in wanted:
                with Image.open(tar.extractfile(member)) as image:
                    images.append(transform(image.convert("RGB")))
                targets.append(wanted.pop(wnid))
    if wanted:
        sys.exit(f"{archive} has no image of {', '.join(wanted)}")
    return torch.stack(images), torch.tensor(targets)


def losses(model: HierarchicalNetwork, images: Tensor, targets: Tensor, steps: int) -> list[float]:
    """Cross-entropy on the batch before each step and after the last, in train mode throughout."""
    optimizer = timm.optim.create_optimizer_v2(model, "adamw", lr=1e-3, weight_decay=0.05)
    found = []
    model.train()
    for step in range(steps + 1):
        loss = nn.functional.cross_entropy(model(images), targets)
        found.append(loss.item())
        if step < steps:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return found


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parent.parent))  # for the folder generated
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--models", nargs="*", help="module:class; default: all")
    options = parser.parse_args()
    print(f"batch {options.batch}, AdamW 1e-3, seed 0, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{'model':32} {'loss before':>11} {'after':>8} {'steps':>5} {'s/step':>7}")
    for name in MODULES:
        module = importlib.import_module(f"generated.{name}")
        for cls in vars(module).values():
            if not (isinstance(cls, type) and cls.__module__ == module.__name__):
                continue
            if options.models and f"{name}:{cls.__name__}" not in options.models:
                continue
            torch.manual_seed(0)
            model = cls()
            config = timm.data.resolve_model_data_config(model)
            transform = timm.data.create_transform(**config, is_training=False)
            tiny = name == "tiny_imagenet_100"
            archive = options.data / ("tiny-imagenet-100-train.tar" if tiny else "imagenet-1k-samples-256.tar")
            images, targets = load_batch(archive, list(module.CLASSES), options.batch, transform)
            start = time.perf_counter()
            found = losses(model, images, targets, options.steps)
            seconds = (time.perf_counter() - start) / (options.steps + 1)
            label = f"{name}:{cls.__name__}"
            print(f"{label:32} {found[0]:11.3f} {found[-1]:8.3f} {options.steps:5d} {seconds:7.2f}", flush=True)


if __name__ == "__main__":
    main()
