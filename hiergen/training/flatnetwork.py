"""The flat network behind a network's trunk, as the loop trains it: baseline, teacher, what users have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from hiergen.errors import unquoted
from hiergen.lookup.select import ClassSelection
from hiergen.models.convert import read_state
from hiergen.models.weightsfile import write_tensors
from hiergen.nn.flat import FlatTail, fitting, flat_state
from hiergen.nn.network import HierarchicalNetwork
from hiergen.training.ridge import ridge_rows

FLAT = "flat.safetensors"


class FlatNetwork(HierarchicalNetwork):
    """A network's trunk and the backbone's own tail, `(B, 3, H, W)` to `(B, classes)`. It shares the trunk."""

    def __init__(self, network: HierarchicalNetwork, *, pretrained: bool = False) -> None:
        super().__init__()
        self.__dict__["nesting"], self.__dict__["classes"] = network.nesting, network.classes
        self.__dict__["input_size"] = network.input_size
        self.trunk = network.trunk
        backbone, until = network.trunk.backbone, network.trunk.until
        sizes = (backbone, until, network.num_classes)
        self.tail = FlatTail(*sizes, pretrained=pretrained, input_size=network.input_size)

    def forward(self, x: Tensor, classes: ClassSelection | Tensor | None = None) -> Tensor:
        """Logits of all classes, or of the chosen ones."""
        logits: Tensor = self.tail(self.trunk(x))
        return logits if classes is None else logits[:, list(self.selector.classes(classes))]

    @property
    def num_classes(self) -> int:
        """Number of logits."""
        return self.tail.classes

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that must not decay, besides those of one dimension."""
        return {f"trunk.{name}" for name in self.trunk.no_weight_decay()}

    def group_matcher(self, coarse: bool = False) -> Callable[[str], tuple[int, int]]:
        """Maps a parameter's name to its depth: the trunk's groups, then the tail."""
        groups = self.trunk.layer_groups(coarse)
        return lambda name: (0, groups.get(name.removeprefix("trunk."), 0)) if name.startswith("trunk.") else (1, 0)

    def start_classifier(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Give the classifier rows by ridge regression on what it reads, of batches of the trunk's maps and targets."""
        classifier = next(m for m in reversed(list(self.tail.modules())) if isinstance(m, nn.Linear))
        read: list[Tensor] = []
        handle = classifier.register_forward_pre_hook(lambda _, given: read.append(given[0]))

        def features(x: Tensor) -> Tensor:
            self.tail(x)
            return read.pop()

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
        state, cfg = read_state(path), self.trunk.pretrained_cfg
        own = self.tail.state_dict()
        names = [n for n in own if n.rpartition(".")[0] == cfg.get("classifier")]
        same = all(name in state and state[name].shape == own[name].shape for name in names)
        known = {**state, **({} if same else {name: own[name] for name in names})}
        self.tail.load_state_dict(fitting(own, known, self.trunk.backbone, unquoted(Path(path)), cfg))
        return same

    def write_flat(self, path: Path) -> None:
        """Write the flat network in timm's names: `timm.create_model(backbone, num_classes=…)` loads it."""
        state = {name: t.detach().cpu().contiguous() for name, t in flat_state(self.trunk, self.tail).items()}
        write_tensors(state, path, {"format": "pt"})
