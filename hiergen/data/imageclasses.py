"""Which class of a network does the name of a folder, or of a data set's class, mean? Never by order or by luck."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeAlias

from hiergen.data.images import (
    LabelledImages,
    LabelSets,
    PictureRows,
    RowImages,
    Transform,
    depth_note,
    eval_transform,
)
from hiergen.errors import HiergenError, listed, nearest, quoted, unquoted
from hiergen.lookup.vocabulary import Lexicon
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.pictures import image_mode
from hiergen.taxonomy.imagefolder import ImagePlace
from hiergen.taxonomy.naming import nfc
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.roots import Split
from hiergen.taxonomy.synsets import is_wnid, looks_like_synset

PRESENT = "present"
NO_CLASS = -1  # the target of an image that shows none of the classes


@dataclass(frozen=True)
class Others:
    """Images of none of these classes (indices of logits; None: of none of the network's, (): all images)."""

    classes: tuple[int, ...] | None = None


class NoOthersError(HiergenError):
    """Data that have images of the chosen classes only."""


Wanted: TypeAlias = "Sequence[int] | str | Others | None"


def homes_of(
    named: Iterable[str],
    network: HierarchicalNetwork,
    *,
    classes: Wanted,
    place: str,
    noun: str = "folder",
    some: bool = False,
    groups: bool = False,
) -> tuple[dict[str, int], tuple[str, ...], str, LabelSets | None]:
    """Name → index of its class, for the names of all images (in any order, repeated), the names left out, what is to
    be said of classes without images, and the sets of classes that indices beyond the classes' are.

    With `groups`, a name that is no class but a group of the network stands for images of one of the group's classes,
    nobody knows which. `classes` is what `open_data` takes. Raises HiergenError as `match` does, and for a class
    without images, or (with `some`) if all are without.
    """
    names = sorted(set(named))
    vague = _groups(names, network.nesting, place, noun) if groups or isinstance(classes, Others) else {}
    alone = [name for name in names if name not in vague]
    indices = match(alone, network.nesting, place=place, strict=classes is None, noun=noun)
    there, missing = set(indices.values()), list[int]()
    if isinstance(classes, Others):
        return *_others(names, {**indices, **dict.fromkeys(vague, NO_CLASS)}, classes, place, noun), "", None
    if classes == PRESENT:
        wanted = there
    else:
        wanted = set(range(network.num_classes)) if classes is None else {int(i) for i in classes}
        missing = sorted(wanted - there)
        if missing and not (some and there & wanted):
            raise _without_images(network.classes, network.nesting.labels, missing, place, noun)
    if not wanted:
        raise HiergenError(f"no {noun} is a class of the network", place=place, got=listed(names))
    homes = {name: index for name, index in indices.items() if index in wanted}
    vague = {name: members for name, members in vague.items() if wanted.issuperset(members)}
    sets = tuple(sorted({*vague.values()}))
    homes |= {name: network.num_classes + sets.index(members) for name, members in vague.items()}
    note = f"{len(missing)} of {len(wanted)} classes have no images ({listed(network.classes[i] for i in missing)})"
    left_out = tuple(name for name in names if name not in homes)
    return homes, left_out, note if missing else "", LabelSets(network.num_classes, sets) if sets else None


def _others(
    names: Sequence[str], indices: Mapping[str, int], wanted: Others, place: str, noun: str
) -> tuple[dict[str, int], tuple[str, ...]]:
    if wanted.classes == ():
        return dict.fromkeys(names, NO_CLASS), ()
    own = {name for name, index in indices.items() if wanted.classes is None or index in {*wanted.classes, NO_CLASS}}
    homes = {name: NO_CLASS for name in names if name not in own}
    if not homes:
        raise NoOthersError(f"every {noun} is one of the classes", place=place, expected="images of other classes")
    return homes, tuple(sorted(own))


def _groups(names: Sequence[str], nesting: Nesting, place: str, noun: str) -> dict[str, tuple[int, ...]]:
    """The classes of those names that are a group's and no class's. Raises HiergenError for one of two groups."""
    known = {_key(name) for name in (*nesting.classes, *nesting.labels)}
    groups: dict[str, set[tuple[int, ...]]] = {}
    for level in range(1, nesting.depth):
        for branch, group in enumerate(nesting.names(level)):
            groups.setdefault(_key(group), set()).add(nesting.members(level, branch))
    for group, members in nesting.groups:
        groups.setdefault(_key(group), set()).add(tuple(sorted(members)))
    found = {name: groups[_key(name)] for name in names if _key(name) in groups.keys() - known}
    for name, several in found.items():
        if len(several) > 1:
            raise HiergenError(f"{noun} {quoted(name)} may be any of {len(several)} groups", place=place)
    return {name: next(iter(several)) for name, several in found.items()}


def match(
    folders: Sequence[str],
    nesting: Nesting,
    *,
    place: str,
    strict: bool = True,
    noun: str = "folder",
) -> dict[str, int]:
    """Folder → index of its class: by class id, or else by display name, or else by WordNet: a wnid, a synset name or a
    word whose sense is the class itself, not something above or below it.

    Raises HiergenError for a name that may be several classes, two folders of one class, and if `strict` for a folder
    that is no class.
    """
    ids, labels = nesting.classes, nesting.labels
    by_id = {class_id: i for i, class_id in enumerate(ids)}
    by_key: dict[str, set[int]] = {}
    for i, names in enumerate(zip(ids, labels, strict=True)):
        for name in names:
            by_key.setdefault(_key(name), set()).add(i)
    words = _Words(nesting)
    homes: dict[str, int] = {}
    taken: dict[int, str] = {}
    for folder in folders:
        fitting = {by_id[folder]} if folder in by_id else by_key.get(_key(folder), set())
        if not fitting and folder:
            fitting = words.named(folder)
        if len(fitting) > 1:
            candidates = listed(ids[i] for i in sorted(fitting))
            raise HiergenError(
                f"{noun} {quoted(folder)} may be any of {candidates}", place=place, hint="name it by its id"
            )
        if not fitting:
            if strict:
                close = () if re.fullmatch(r"n\d{8}", folder) else nearest(_key(folder), by_key)
                raise HiergenError(
                    f"{noun} {quoted(folder)} is no class of the network" if folder else "images lie in no folder",
                    place=place,
                    expected=f"one {noun} for each class, called by its id or its name",
                    nearest=dict.fromkeys(_shown(i, ids, labels) for key in close for i in sorted(by_key[key])),
                    hint=f"--classes {PRESENT} leaves out what is no class" if folder else None,
                )
            continue
        (index,) = fitting
        if index in taken:
            pair = f"{quoted(taken[index])} and {quoted(folder)}"
            raise HiergenError(f"{_several(noun)} {pair} are the same class, {_shown(index, ids, labels)}", place=place)
        homes[folder] = index
        taken[index] = folder
    return homes


class _Words:
    """WordNet's names of the classes; read when a name is neither an id nor a display name."""

    def __init__(self, nesting: Nesting) -> None:
        self._nesting = nesting

    @cached_property
    def _lexicon(self) -> Lexicon:
        return Lexicon(self._nesting)

    @cached_property
    def _certain(self) -> tuple[bool, ...]:
        """Whether a class's synset is stated, or the only sense of its name: a guessed one proves nothing."""
        ids, synsets = self._nesting.classes, self._nesting.synsets
        return tuple(
            synset is not None or is_wnid(text) or looks_like_synset(text) or len(self._lexicon.senses(text)) == 1
            for text, synset in zip(ids, synsets, strict=True)
        )

    def named(self, name: str) -> set[int]:
        """The classes that are a sense of this name."""
        return {
            i
            for sense in self._lexicon.senses(name)
            for i in self._lexicon.below(sense)
            if self._certain[i] and self._lexicon.is_class(i, sense)
        }


def _without_images(
    ids: Sequence[str], labels: Sequence[str], missing: Sequence[int], place: str, noun: str
) -> HiergenError:
    first, rest = missing[0], len(missing) - 1
    empty = noun == "folder" and any((Path(place) / name).is_dir() for name in (ids[first], labels[first]))
    more = f", and of {rest} class{'es' * (rest > 1)} more" if rest else ""
    return HiergenError(
        f"holds no images of class {_shown(first, ids, labels)}{more}",
        place=place,
        got="an empty folder" if empty else None,
        hint=f"--classes {PRESENT} takes the classes that have images",
    )


def _shown(index: int, ids: Sequence[str], labels: Sequence[str]) -> str:
    same = ids[index] == labels[index]
    return quoted(ids[index]) if same else f"{quoted(labels[index])} ({unquoted(ids[index])})"


def _several(noun: str) -> str:
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"


def _key(name: str) -> str:
    return " ".join(nfc(name).casefold().replace("_", " ").replace("-", " ").split())


@dataclass(frozen=True)
class ImageRequest:
    """How images are wanted, whatever they are read from."""

    network: HierarchicalNetwork
    split: Split = "train"
    classes: Wanted = None
    transform: Transform | None = None
    root: Path | None = None
    download: bool = False
    groups: bool = False


def label_images(
    images: Sequence[tuple[ImagePlace, str]], request: ImageRequest, place: str, *, noun: str = "class", note: str = ""
) -> LabelledImages:
    """Images with the name of the class of each, which is that of its folder where `noun` is "folder".

    Raises HiergenError as `open_data` does.
    """
    names = (name for _, name in images)
    homes, left_out, missing, labels = homes_of(
        names,
        request.network,
        classes=request.classes,
        place=place,
        noun=noun,
        some=request.split == "validation",
        groups=request.groups,
    )
    kept = [(where, homes[name]) for where, name in images if name in homes]
    if noun == "folder" and not isinstance(request.classes, Others):
        _check_parents([(where.folder, name) for where, name in images if name in homes], place)
    deep = depth_note(where.read for where, _ in kept[:: max(len(kept) // 16, 1)])
    note = "; ".join(filter(None, (note, missing, _group_note(kept, labels), deep)))
    return LabelledImages(
        places=tuple(where for where, _ in kept),
        targets=tuple(target for _, target in kept),
        transform=request.transform or eval_transform(request.network),
        left_out=left_out,
        note=note,
        mode=image_mode(request.network),
        labels=labels,
    )


def _group_note(kept: Sequence[tuple[object, int]], labels: LabelSets | None) -> str:
    if labels is None:
        return ""
    count = sum(target >= labels.classes for _, target in kept)
    return f"{count:,} images are known to one of {len(labels.sets)} group{'s' * (len(labels.sets) > 1)} only"


def _check_parents(images: Iterable[tuple[str, str]], place: str) -> None:
    """Raises HiergenError for a class whose images lie in several folders: they may be of another part of the data."""
    parents: dict[str, dict[str, None]] = {}
    for folder, name in images:
        parents.setdefault(name, {})[folder] = None
    several = {name: list(folders) for name, folders in parents.items() if len(folders) > 1}
    if several:
        name, folders = next(iter(several.items()))
        top = os.path.commonpath(folders)
        more = f", and so do {len(several) - 1} classes more" if len(several) > 1 else ""
        raise HiergenError(
            f"images of class {quoted(name)} lie in several folders{more}",
            place=place,
            expected="one folder for each class, or parts called train and val",
            got=listed(os.path.relpath(folder, top) for folder in folders),
            hint="name the part to train on as the data (and the other as --val), or join the folders",
        )


def label_rows(
    source: PictureRows,
    names: Sequence[str],
    request: ImageRequest,
    place: str,
    *,
    rows: Sequence[int] | None = None,
    note: str = "",
) -> RowImages:
    """Rows of a source (default: all of them) with the name of the class of each. Raises HiergenError likewise."""
    homes, left_out, missing, labels = homes_of(
        names,
        request.network,
        classes=request.classes,
        place=place,
        noun="class",
        some=request.split == "validation",
        groups=request.groups,
    )
    numbers = range(len(names)) if rows is None else rows
    kept = [(row, homes[name]) for row, name in zip(numbers, names, strict=True) if name in homes]
    deep = depth_note(partial(source.picture, row) for row, _ in kept[:: max(len(kept) // 16, 1)])
    note = "; ".join(filter(None, (note, missing, _group_note(kept, labels), deep)))
    return RowImages(
        source=source,
        rows=tuple(row for row, _ in kept),
        targets=tuple(target for _, target in kept),
        transform=request.transform or eval_transform(request.network),
        left_out=left_out,
        note=note,
        mode=image_mode(request.network),
        labels=labels,
    )
