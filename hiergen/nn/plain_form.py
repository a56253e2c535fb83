"""The form that is deployed, of our networks and of timm's: what is fast where it runs."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from torch import Tensor, nn

from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.plain import PlainNetwork
from hiergen.nn.plain_trunk import fold_norms, plain_trunk
from hiergen.nn.trunk import Trunk

# The modules of timm's classes that `plain_trunk` knows, in the order in which they run up to the last stage.
_CHAINS = {
    "ResNet": ("conv1", "bn1", "act1", "maxpool", "layer1", "layer2", "layer3", "layer4"),
    "EfficientNet": ("conv_stem", "bn1", "blocks"),
    "MobileNetV3": ("conv_stem", "bn1", "blocks"),
    "ConvNeXt": ("stem", "stages"),
}


def plain_form(module: nn.Module, input_size: Sequence[int]) -> nn.Module:
    """The form of a network, a trunk or a flat rival that is deployed: in eval mode, in torch's own layers where those
    are known, batch norms in the convolutions. Weights are copies."""
    if isinstance(module, PlainNetwork):
        return module
    if isinstance(module, HierarchicalNetwork):
        return module.plain()
    if isinstance(module, Trunk):
        return plain_trunk(module, input_size)
    if isinstance(module, nn.Sequential) and isinstance(module[0], Trunk):
        return nn.Sequential(plain_trunk(module[0], input_size), *copy.deepcopy(list(module)[1:])).eval()
    whole = copy.deepcopy(module).eval()
    if names := _CHAINS.get(type(module).__name__):
        layers = plain_trunk(_Headless(whole, names), input_size)
        if type(layers) is nn.Sequential:  # else timm's own
            for name in names:
                setattr(whole, name, nn.Identity())
            setattr(whole, names[0], layers)
    return fold_norms(whole, input_size)


class _Headless(nn.Module):
    """A timm model up to its last stage, as `plain_trunk` takes trunks."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, x: Tensor) -> Tensor:
        for name in self.names:
            x = self.model.get_submodule(name)(x)
        return x
