"""The flat network behind a network's trunk, as the loop trains it: baseline, teacher, what users have."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from hiergen.errors import unquoted
from hiergen.lookup.select import ClassSelection
from hiergen.models.convert import read_state
from hiergen.models.weightsfile import write_tensors
from hiergen.nn.flat import FlatTail, fitting, flat_state, load_flat
from hiergen.nn.generalist import Generalist
from hiergen.nn.heads import ClassHeads
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.trunk import make_model
from hiergen.planning.backbones import copies_after, facts
from hiergen.planning.blocks import copy_stage
from hiergen.planning.network import recipe_of
from hiergen.training.ridge import ridge_rows

FLAT = "flat.safetensors"


def flat_tail(network: HierarchicalNetwork, *, pretrained: bool = False) -> FlatTail | Generalist:
    """The backbone's own tail behind a network's trunk, for its classes: timm's modules, or behind tokens a branch of
    copies. Raises PlanError for a backbone that cannot be parted there."""
    trunk, classes = network.trunk, network.num_classes
    if not trunk.tokens:
        return FlatTail(trunk.backbone, trunk.until, classes, pretrained=pretrained, input_size=network.input_size)
    channels, height, width = trunk.input_size
    known = facts(trunk.backbone, (height, width), channels)
    assert known is not None  # there is a trunk of it
    stage = copy_stage(known, trunk.backbone, copies_after(known, trunk.until), end=True)
    tail = Generalist([recipe_of(stage)], classes, groups=1)
    if pretrained:
        model = make_model(trunk.backbone, (channels, height, width), pretrained=True, num_classes=classes)
        load_flat(copy.deepcopy(trunk), tail, model.state_dict(), "timm's weights")
    return tail


class FlatNetwork(HierarchicalNetwork):
    """A network's trunk and the backbone's own tail, `(B, 3, H, W)` to `(B, classes)`. It shares the trunk."""

    def __init__(self, network: HierarchicalNetwork, *, pretrained: bool = False) -> None:
        super().__init__()
        self.__dict__["nesting"], self.__dict__["classes"] = network.nesting, network.classes
        self.__dict__["input_size"] = network.input_size
        self.trunk = network.trunk
        self.tail = flat_tail(network, pretrained=pretrained)

    def forward(self, x: Tensor, classes: ClassSelection | Tensor | None = None) -> Tensor:
        """Logits of all classes, or of the chosen ones."""
        logits: Tensor = self.tail(self.trunk(x))
        return logits if classes is None else logits[:, list(self.selector.classes(classes))]

    @property
    def num_classes(self) -> int:
        """Number of logits."""
        return len(self.classes)

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that must not decay, besides those of one dimension."""
        return {f"trunk.{name}" for name in self.trunk.no_weight_decay()}

    def group_matcher(self, coarse: bool = False) -> Callable[[str], tuple[int, int]]:
        """Maps a parameter's name to its depth: the trunk's groups, then the tail."""
        groups = self.trunk.layer_groups(coarse)
        return lambda name: (0, groups.get(name.removeprefix("trunk."), 0)) if name.startswith("trunk.") else (1, 0)

    def start_classifier(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Give the classifier rows by ridge regression on what it reads, of batches of the trunk's maps and targets."""
        classifier: nn.Linear | ClassHeads
        if isinstance(self.tail, Generalist):
            classifier = self.tail.head
        else:
            classifier = next(m for m in reversed(list(self.tail.modules())) if isinstance(m, nn.Linear))
        read: list[Tensor] = []
        handle = classifier.register_forward_pre_hook(lambda _, given: read.append(given[0]))

        def features(x: Tensor) -> Tensor:
            self.tail(x)
            return read.pop().flatten(1)

        mode, weight = self.training, classifier.weight
        self.eval()
        try:
            rows, biases = ridge_rows(features, ((x.to(weight), y) for x, y in batches), self.num_classes)
        finally:
            handle.remove()
            self.train(mode)
        with torch.no_grad():
            weight.copy_(rows)
            if classifier.bias is not None:
                classifier.bias.copy_(biases)

    def load_tail(self, path: str | Path) -> bool:
        """Copy the tail's part of a flat network's weights, but no classifier of other classes; whether it had these.

        Raises HiergenError for a file without them."""
        state, cfg, place = read_state(path), self.trunk.pretrained_cfg, unquoted(Path(path))
        trunk = self.trunk.model.state_dict()
        own = {name: tensor for name, tensor in flat_state(self.trunk, self.tail).items() if name not in trunk}
        names = [n for n in own if n.rpartition(".")[0] == cfg.get("classifier")]
        same = all(name in state and state[name].shape == own[name].shape for name in names)
        known = {**state, **({} if same else {name: own[name] for name in names})}
        values = fitting(own, known, self.trunk.backbone, place, cfg)
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(values[name])
        return same

    def write_flat(self, path: Path) -> None:
        """Write the flat network in timm's names: `timm.create_model(backbone, num_classes=…)` loads it."""
        state = {name: t.detach().cpu().contiguous() for name, t in flat_state(self.trunk, self.tail).items()}
        write_tensors(state, path, {"format": "pt"})
