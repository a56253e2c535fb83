"""Evidence from a trained classifier: which rows of its last layer point the same way (NBDT, Wan et al., ICLR 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hiergen.assets import class_list
from hiergen.errors import HiergenError, listed, nearest, quoted, unquoted
from hiergen.nestings.suggest.evidence import Evidence, Floats, cosine
from hiergen.taxonomy.load import Taxonomy

if TYPE_CHECKING:
    from torch import Tensor

IMAGENET = 1000
_LONGEST = 1000  # characters of the names of the mappings that a tensor lies in


def weights_evidence(
    taxonomy: Taxonomy, *, weights: Path | None = None, key: str | None = None, timm_name: str | None = None
) -> Evidence:
    """Cosine similarity of the centred rows of a classifier's weight, one row for each class.

    `weights`: a safetensors or torch file; the classifier is its tensor `key`, by default the only one with so many
    rows. `timm_name`: a pretrained timm model. As many rows as the file has classes are taken in its order, unless
    the weights name their own classes; 1000 rows of which each class finds its own by its wnid, in the sorted order
    that ImageNet-1k's classifiers have. The note says which it was. Raises HiergenError where rows cannot be told.
    """
    ids = [c.id for c in taxonomy.classes]
    if (weights is None) == (timm_name is None):
        raise HiergenError("whose weights?", expected="--weights FILE.safetensors or .pth, or --timm NAME")
    if timm_name is not None:
        rows, classes = _of_timm(timm_name), None
        place, source = f"timm's {timm_name}", "its classifier"
    else:
        assert weights is not None
        place = unquoted(weights)
        tensors, classes = read_tensors(weights)
        name, tensor = classifier(tensors, key, len(ids), place)
        _check_one_space(tensors, name, place)
        rows, source = _plain(tensor, place), f"tensor {name}"
    synsets = [c.synset if c.exact else None for c in taxonomy.classes]
    chosen, mapping = match_rows(len(rows), ids, synsets, classes, place)
    note = f"Rows of {source} {rows.shape}, {mapping}. Similarity: cosine of the rows, centred."
    return Evidence("weights", cosine(rows[chosen]), (note,))


def match_rows(
    count: int, ids: Sequence[str], synsets: Sequence[str | None], named: Sequence[str] | None, place: str
) -> tuple[list[int], str]:
    """The row of each class, and in words how that is known; never by luck.

    By the classes that the weights say they have (`named`); else as many rows as classes, in the order of the logits;
    else 1000 rows in the wnid order of ImageNet-1k. Raises HiergenError for everything else.
    """
    if named:
        at = {name: i for i, name in enumerate(named)}
        if missing := [c for c in ids if c not in at]:
            raise HiergenError(
                f"has no weights of {len(missing)} classes: {listed(missing)}", place=place, got=f"{len(named)} classes"
            )
        return [at[c] for c in ids], "matched by the class ids in the file"
    imagenet = {wnid: i for i, wnid in enumerate(class_list("imagenet1k"))}
    rows = [imagenet.get(synset or class_id) for class_id, synset in zip(ids, synsets, strict=True)]
    if count == len(ids) and not (count == IMAGENET and None not in rows):
        return list(range(count)), "taken in the order of the file's classes"
    if count != IMAGENET:
        raise HiergenError(
            f"has {count} rows", place=place, expected=f"{len(ids)}, one for each class, or {IMAGENET} of ImageNet-1k"
        )
    if missing := [class_id for class_id, row in zip(ids, rows, strict=True) if row is None]:
        raise HiergenError(
            f"has {IMAGENET} rows, but {len(missing)} classes are none of ImageNet-1k: {listed(missing)}",
            place=place,
            expected=f"{len(ids)} rows, or classes with ImageNet's wnids",
            hint="say what they are under 'synsets:'",
        )
    return [row for row in rows if row is not None], "matched by wnid, in ImageNet-1k's order"


def classifier(tensors: Mapping[str, Tensor], key: str | None, classes: int, place: str) -> tuple[str, Tensor]:
    """Name and tensor of the classifier's weight. Raises HiergenError where there is none, or several might be."""
    if key is not None:
        if key not in tensors:
            raise HiergenError(
                f"has no tensor {quoted(key)}",
                place=place,
                nearest=nearest(key, tensors),
                got=listed(_named_rows(tensors)),
            )
        if not _is_matrix(tensors[key]):
            shape = tuple(tensors[key].shape)
            raise HiergenError(
                f"tensor {quoted(key)} is no classifier", place=place, expected="(rows, d)", got=str(shape)
            )
        return key, tensors[key]
    for count in dict.fromkeys((classes, IMAGENET)):
        fitting = [name for name, tensor in tensors.items() if _is_matrix(tensor) and tensor.shape[0] == count]
        likely = [name for name in fitting if not any(part in name for part in ("embed", "norm", "bn"))] or fitting
        if len(likely) == 1:
            return likely[0], tensors[likely[0]]
        if likely:
            raise HiergenError(
                f"has {len(likely)} tensors with {count} rows: {listed(likely)}",
                place=place,
                hint="choose one with --key",
            )
    wanted = f"{classes} rows, or {IMAGENET}" if classes != IMAGENET else f"{IMAGENET} rows"
    raise HiergenError(
        "has no classifier", place=place, expected=f"a matrix with {wanted}", got=listed(_named_rows(tensors)) or "none"
    )


def read_tensors(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...] | None]:
    """All tensors of a safetensors or torch file, and the classes that it says it has (hiergen's files do).

    A torch file is read without running code. Raises HiergenError for a file that is neither.
    """
    from hiergen.models.convert import check_amount, read_pickle
    from hiergen.models.weightsfile import is_pickle, read_bytes, read_weights

    raw = read_bytes(path)
    if not is_pickle(raw):
        file = read_weights(path)
        return dict(file.tensors), file.classes or None
    tensors = _flattened(read_pickle(raw, path))
    check_amount(tensors.values(), len(raw), path)
    return tensors, None


def _flattened(data: Any) -> dict[str, Tensor]:
    """Tensors in nested mappings: {"state_dict": {…}} too; a wrapper's name is no part of theirs. A mapping that stands
    in several places, or in itself, is read once."""
    import torch

    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    waiting = [("", data)]
    while waiting:
        above, inside = waiting.pop()
        if not isinstance(inside, Mapping) or id(inside) in seen:
            continue
        seen.add(id(inside))
        below = []
        for name, value in inside.items():
            if isinstance(value, torch.Tensor):
                tensors.setdefault(f"{above}{name}", value)
            else:
                wrapper = name in {"state_dict", "model", "state_dict_ema", "module"}
                below.append(("" if wrapper else f"{above}{name}."[:_LONGEST], value))
        waiting += reversed(below)
    return tensors


def _of_timm(name: str) -> Floats:
    """The classifier of a pretrained timm model, from timm's cache or its download."""
    head = timm_model(name, pretrained=True).get_classifier()
    weight = getattr(head, "weight", None)
    if weight is None or not _is_matrix(weight):
        raise HiergenError(f"timm's {name} has no linear classifier", hint="give --weights FILE --key NAME")
    return _plain(weight.detach(), name)


def timm_model(name: str, *, pretrained: bool) -> Any:
    """A model of timm. Raises HiergenError for an unknown name, and for weights that are not to be had."""
    import timm

    if not timm.is_model(name):
        raise HiergenError(f"no timm model {quoted(name)}", nearest=nearest(name.split(".")[0], timm.list_models()))
    try:
        return timm.create_model(name, pretrained=pretrained)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        if not pretrained:
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise HiergenError(
            f"timm's pretrained weights of {quoted(name)} are not to be had: {unquoted(reason)}",
            hint="without a network, give a file: --weights FILE",
        ) from None


def _check_one_space(tensors: Mapping[str, Tensor], name: str, place: str) -> None:
    """Heads of separate branches read different features: their rows say nothing about each other."""
    heads = tensors[name].shape[0]
    levels = sorted(key for key in tensors if key.startswith("level"))
    if name == "head.weight" and levels and tensors[levels[-1]].shape[:1] not in ((), (1,)):
        branches = tensors[levels[-1]].shape[0]
        raise HiergenError(
            f"holds {heads} heads on {branches} branches, which read different features",
            place=place,
            expected="heads of one branch (single_branch: true), or a flat classifier",
            hint="--by features compares classes through one trunk",
        )


def _is_matrix(tensor: Tensor) -> bool:
    """(rows, d), or a 1 × 1 convolution."""
    shape = tuple(tensor.shape)
    flat = len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1))
    return flat and shape[0] > 1 and shape[1] > 1 and tensor.is_floating_point()


def _named_rows(tensors: Mapping[str, Tensor]) -> list[str]:
    return [f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items() if _is_matrix(tensor)][-5:]


def _plain(tensor: Tensor, place: str) -> Floats:
    rows: Floats = tensor.reshape(tensor.shape[0], -1).double().cpu().numpy()
    if not np.isfinite(rows).all():
        raise HiergenError("has weights that are not finite", place=place)
    return rows
