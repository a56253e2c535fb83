"""Random small networks: any tree, one to four levels, every kind of block; a trunk of one convolution."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from hiergen.nn import Bottlenecks, ClassHeads, ConvNeXts, HierarchicalNetwork, InvertedResiduals, Siblings
from hiergen.nn.stage import StageRecipe
from hiergen.taxonomy.levels import nest_tree
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.wordnet.nouns import default
from tests.fuzz.trees import Shape, depth_of, options, shapes, tree_of

CHANNELS = 4


class Stem(nn.Module):
    """Images (B, 3, H, W) to maps (B, 4, H / 2, W / 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, CHANNELS, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x))


def recipe(channels: int, said: dict[str, Any]) -> StageRecipe:
    """The stage of a file as its recipe, as docs/branches.md pairs them."""
    sizes = channels, said["width"], said["out"]
    depth, stride = said["depth"], said["stride"]
    if said["block"] == "bottleneck":
        return Bottlenecks(*sizes, depth=depth, stride=stride)
    if said["block"] == "mbconv":
        more = {"kernel": said.get("kernel", 3), "act": said.get("act", "silu"), "tf": said.get("tf", False)}
        return InvertedResiduals(*sizes, depth=depth, stride=stride, **more)
    return ConvNeXts(*sizes, depth=depth, stride=stride, grn=said["block"] == "convnextv2")


def network(nest: Nesting, branches: list[list[dict[str, Any]]], size: int, seed: int) -> HierarchicalNetwork:
    """The network of a nesting, as generated code writes it; random weights and statistics, in eval mode."""

    class Fuzzed(HierarchicalNetwork):
        nesting = nest
        input_size = (3, size, size)

        def __init__(self) -> None:
            super().__init__()
            self.trunk = Stem()
            channels = CHANNELS
            for number, stages in enumerate(branches, 1):
                recipes = []
                for said in stages:
                    recipes.append(recipe(channels, said))
                    channels = said["out"]
                parents = nest.parents(number) if number > 1 else None
                self.add_module(f"level{number}", Siblings(len(nest.parents(number)), recipes, parents=parents))
            self.head = ClassHeads(len(nest.classes), channels, parents=nest.heads)

    torch.manual_seed(seed)
    made = Fuzzed().eval()
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif tensor.is_floating_point():
                tensor.normal_(0.2 if tensor.ndim <= 2 else 0.0, 0.4)
    return made


@st.composite
def nestings(draw: st.DrawFn, most: int = 9) -> tuple[Shape, Nesting]:
    shape = draw(shapes(most=most))
    k = draw(st.integers(1, min(depth_of(shape), 4)))
    return shape, nest_tree(tree_of(shape), k, draw(options()), default())


@st.composite
def networks(draw: st.DrawFn, stages: st.SearchStrategy[dict[str, Any]]) -> HierarchicalNetwork:
    _, nesting = draw(nestings())
    branches = [draw(st.lists(stages, min_size=1, max_size=2)) for _ in range(nesting.depth)]
    size = 32
    for stage in (stage for level in branches for stage in level):
        size = size // stage["stride"]
    if size < 4:
        for level in branches:
            for stage in level:
                stage["stride"] = 1
    return network(nesting, branches, 32 if size < 16 else 12, draw(st.integers(0, 2**32)))
