"""Small generated networks under a taxonomy name of one's own, so that timm's registry sees no name twice."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from hiergen.codegen.build import build
from hiergen.models.load import find_model
from hiergen.models.weights import save_weights

TOY = Path(__file__).parent / "golden" / "toy.yaml"
MODELS = ("PHL", "N2HL", "N3HL", "OneBranch")


def built_toy(folder: Path, name: str) -> Path:
    """The source of tests/golden/toy.yaml as taxonomy `name`, in `folder`."""
    spec = folder / f"{name}.yaml"
    spec.write_text(TOY.read_text("utf-8").replace("name: toy", f"name: {name}"), "utf-8")
    return build(spec, folder / f"{name}.py").path


def toy_home(folder: Path, name: str, *models: str) -> Path:
    """The folder with generated/NAME.py and the weights MODEL.safetensors of these models."""
    (folder / "generated").mkdir()
    source = built_toy(folder / "generated", name)
    for model in models:
        torch.manual_seed(0)
        save_weights(scrambled(find_model(f"{source}:{model}").cls().eval()), folder / f"{model}.safetensors")
    return folder


def parts(folder: Path) -> list[str]:
    """Names of what is in a folder."""
    return sorted(p.name for p in folder.iterdir())


def scrambled(network: nn.Module, seed: int = 0) -> nn.Module:
    """No zero or one anywhere: every weight and statistic of every branch matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in network.parameters():
            if p.ndim <= 2:
                p.copy_(torch.randn(p.shape, generator=generator) * 0.3 + 0.5)
        for name, b in network.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                b.copy_(torch.rand(b.shape, generator=generator) + 0.5)
    return network
