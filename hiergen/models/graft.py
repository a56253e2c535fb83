"""The jobs of `hiergen graft` and `hiergen shrink`: networks put together or made smaller, as source and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hiergen.errors import HiergenError
from hiergen.lookup.choose import choose
from hiergen.models.folder import Written, write_network
from hiergen.models.load import ModelRef, check_weights, find_model, load_network
from hiergen.nn import graft as grafting
from hiergen.nn.cutout import difference
from hiergen.nn.network import HierarchicalNetwork

UNFITTED = "the threshold for none of these was fitted to the network before and is left out: 'hiergen reject' fits one"
IMAGES = 4  # random ones, for the proof


@dataclass(frozen=True)
class Grafted:
    """What was written, the networks that went in, and the largest |difference| of a class's logit from the one that
    it had there, on `IMAGES` random images in float32, one branch at a time."""

    written: Written
    networks: tuple[HierarchicalNetwork, ...]
    difference: float | None  # None: no network answers in the form that the new one has
    lost: tuple[str, ...]  # branches for all classes that could not stay


def graft(
    models: Sequence[str | Path],
    folder: str | Path,
    *,
    weights: Sequence[str | Path] = (),
    put_back: bool = False,
    name: str | None = None,
    force: bool = False,
) -> Grafted:
    """Put networks and cutouts on one trunk together, as FOLDER/model.py and .safetensors; see
    `hiergen.nn.graft.graft`.

    `models` are what `find_model` takes; those that are no folder take the `weights` in order. Raises HiergenError as
    `graft` does, and for weights that are missing or too many.
    """
    if len(models) < 2:
        raise HiergenError("one network is nothing to put together", expected="two or more")
    references = [find_model(model) for model in models]
    files = list(weights)
    networks = []
    for reference in references:
        file = files.pop(0) if reference.weights is None and files else None
        check_weights(reference, file, False, hint="one --weights for each model that is no folder, in their order")
        networks.append(load_network(reference, file))
    if files:
        raise HiergenError("there are more weights than models without any", got=str(files[0]))
    whole = grafting.graft(networks, put_back=put_back)
    how = " and ".join(
        f"{ref.name} with {net.num_classes} classes" for ref, net in zip(references, networks, strict=True)
    )
    return _written(whole, networks, Path(folder), references[0], name, how, force, put_back)


def shrink(
    model: str | Path,
    folder: str | Path,
    classes: str | Sequence[str],
    *,
    weights: str | Path | None = None,
    name: str | None = None,
    force: bool = False,
) -> Grafted:
    """Take classes out of a network for good, in all its forms; see `hiergen.nn.graft.shrink`. Raises HiergenError as
    that does, and for weights that are missing."""
    reference = find_model(model)
    check_weights(reference, weights, False, hint="the classes are taken out of trained weights")
    network = load_network(reference, weights)
    gone = choose(network.selector, [classes] if isinstance(classes, str) else list(classes))
    if gone is None:
        raise HiergenError("no classes named", expected="--classes")
    small = grafting.shrink(network, gone)
    how = f"{reference.name} without {len(gone)} of its {network.num_classes} classes"
    return _written(small, [network], Path(folder), reference, name, how, force, False)


def _written(
    whole: HierarchicalNetwork,
    networks: Sequence[HierarchicalNetwork],
    folder: Path,
    reference: ModelRef,
    name: str | None,
    how: str,
    force: bool,
    put_back: bool,
) -> Grafted:
    written = write_network(whole, folder, reference, name=name, how=how, force=force)
    first = networks[0]
    lost = tuple(n for n in ("generalist", "flat") if first._modules.get(n) and not whole._modules.get(n))
    return Grafted(written, tuple(networks), _difference(written.network, networks, put_back), lost)


def _difference(whole: HierarchicalNetwork, networks: Sequence[HierarchicalNetwork], put_back: bool) -> float | None:
    """Of each class from the network that it comes from, where that answers in the same form."""
    images = torch.randn(IMAGES, *whole.trunk.input_size, generator=torch.Generator().manual_seed(0))
    left, found = set(whole.classes), list[float]()
    for network in reversed(networks) if put_back else networks:
        mine = [c for c in network.classes if c in left]
        left.difference_update(mine)
        if mine and network.form == whole.form:
            found.append(difference(whole, network, images, classes=mine))
    return max(found, default=None)
