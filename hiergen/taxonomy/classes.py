"""The class list: from a built-in list, a text file, the taxonomy file itself or an image folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hiergen.assets import CLASS_LISTS, class_list
from hiergen.errors import HiergenError, SpecError, TaxonomyError, listed, named_at, nearest, quoted
from hiergen.files import read_text, reason, user_path
from hiergen.taxonomy.naming import bad_label, slug
from hiergen.taxonomy.spec import ImageFolder, Spec
from hiergen.taxonomy.synsets import class_synset, is_wnid, looks_like_synset
from hiergen.taxonomy.wordnet.nouns import WordNet
from hiergen.taxonomy.yamlfile import Document


@dataclass(frozen=True)
class ClassEntry:
    """One class: `synset` is where WordNet has it (None: nowhere), `exact` whether it is that synset itself.

    `note` says how the synset was guessed from a plain name, where it was guessed.
    """

    id: str
    name: str
    synset: str | None
    place: str
    exact: bool = True
    note: str | None = None


def read_classes(
    spec: Spec, document: Document, wordnet: WordNet, report: Callable[[HiergenError], None]
) -> tuple[ClassEntry, ...]:
    """All classes in their order, which is the order of the logits.

    Raises `SpecError` for a list that cannot be read; reports (and leaves out) unknown wnids and synsets, classes
    named twice, and names that become the same identifier.
    """
    items = _ids(spec, document)
    if len(items) < 2:
        raise TaxonomyError(
            "a taxonomy needs at least two classes", place=document.place(("classes",)), got=f"{len(items)}"
        )
    for label in ("synsets", "names"):
        for error in _unknown(getattr(spec, label), [item[0] for item in items], document, label):
            report(error)
    entries = []
    for item in items:
        try:
            entries.append(_entry(*item, spec, document, wordnet))
        except TaxonomyError as error:
            report(error)
    return _distinct_names(_unique(entries, report), wordnet)


def _ids(spec: Spec, document: Document) -> list[tuple[str, str | None, str]]:
    """(id, name or None, place) per class."""
    classes = spec.classes
    if isinstance(classes, list):
        return [(str(c), None, document.place(("classes", i))) for i, c in enumerate(classes)]
    here = document.path.parent
    if isinstance(classes, ImageFolder):
        place = document.place(("classes", "imagefolder"))
        with named_at(place):
            folder = here / user_path(classes.imagefolder)
        return _folder(folder, place)
    if classes in CLASS_LISTS:
        return [(wnid, None, f"class list {classes}") for wnid in class_list(classes)]
    with named_at(document.place(("classes",))):
        path = here / user_path(classes)
    if "/" not in classes and "." not in classes and not os.path.exists(path):  # False for a name too long, too
        raise SpecError(
            f"no class list {quoted(classes)}",
            place=document.place(("classes",)),
            expected=f"one of {', '.join(CLASS_LISTS)}, a text file, a list, or imagefolder: PATH",
            nearest=nearest(classes, CLASS_LISTS),
        )
    with named_at(document.place(("classes",))):
        text = read_text(path)
    return _lines(text, str(path))


def _lines(text: str, place: str) -> list[tuple[str, str | None, str]]:
    """One class a line. After a wnid a name may follow (as in ImageNet's LOC_synset_mapping.txt)."""
    entries: list[tuple[str, str | None, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        first, _, rest = line.partition("\t" if "\t" in line else " ")
        if is_wnid(first):
            entries.append((first, rest.split(",")[0].strip() or None, f"{place}:{number}"))
        else:
            entries.append((line, None, f"{place}:{number}"))
    return entries


def _folder(path: Path, place: str) -> list[tuple[str, str | None, str]]:
    try:
        names = sorted(p.name for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    except (OSError, ValueError) as error:  # a NUL in it, …
        raise SpecError(
            f"image folder {quoted(path)} cannot be read ({reason(error)})",
            place=place,
            expected="a folder with one sub-folder per class",
        ) from None
    if not names:
        raise SpecError(f"image folder {quoted(path)} has no sub-folders", place=place, expected="one per class")
    return [(name, None, str(path / name)) for name in names]


def _entry(class_id: str, name: str | None, place: str, spec: Spec, document: Document, wordnet: WordNet) -> ClassEntry:
    if problem := bad_label(class_id):
        raise TaxonomyError(
            f"class {quoted(class_id)} is {problem}", place=place, expected="printable text", code="E103"
        )
    name = spec.names.get(class_id, name)
    if name is not None and (problem := bad_label(name)):
        raise TaxonomyError(f"the name {quoted(name)} of {quoted(class_id)} is {problem}", place=place, code="E103")
    stated = spec.synsets.get(class_id)
    if stated is not None or is_wnid(class_id) or looks_like_synset(class_id):
        wnid = resolve_synset(stated or class_id, wordnet, document.place(("synsets", class_id)) if stated else place)
        name = name or (class_id if stated else wordnet.lemmas(wnid)[0])
        return ClassEntry(class_id, name, wnid, place)
    synset, exact, note = class_synset(class_id, name or class_id, wordnet)
    return ClassEntry(class_id, name or class_id, synset, place, exact, note)


def resolve_synset(text: str, wordnet: WordNet, place: str) -> str:
    """wnid or synset name → wnid. Raises `TaxonomyError` with the nearest names."""
    wnid = wordnet.resolve(text)
    if wnid is None:
        kind = "wnid" if is_wnid(text) else "synset"
        raise TaxonomyError(
            f"no {kind} {quoted(text)} in WordNet 3.0",
            place=place,
            nearest=wordnet.nearest_names(text[:100]),
            expected="a wnid like n02123045 or a synset name like tabby.n.01" if kind == "synset" else None,
            code="E101",
        )
    return wnid


def _unknown(table: dict[str, str], ids: list[str], document: Document, label: str) -> Iterator[TaxonomyError]:
    class_ids = set(ids)
    for key in table:
        if key not in class_ids:
            yield TaxonomyError(
                f"'{label}' names {quoted(key)}, which is not a class",
                place=document.place((label, key)),
                nearest=nearest(key, ids),
                code="E101",
            )


def _unique(entries: list[ClassEntry], report: Callable[[HiergenError], None]) -> list[ClassEntry]:
    """The entries without repetitions: by id, by synset, and by what their ids become as identifiers."""
    seen: dict[str, ClassEntry] = {}
    kept = []
    for entry in entries:
        keys = [entry.id, f"slug {slug(entry.id)}"] + ([entry.synset] if entry.synset and entry.exact else [])
        clash = next((key for key in keys if key in seen), None)
        if clash is None:
            seen.update(dict.fromkeys(keys, entry))
            kept.append(entry)
            continue
        other = seen[clash]
        first = f"the first stands at {other.place}"
        if other.id == entry.id:
            error = TaxonomyError(f"class {quoted(entry.id)} stands twice", place=entry.place, hint=first, code="E102")
        elif clash == entry.synset:
            error = TaxonomyError(
                f"classes {listed([other.id, entry.id])} are the same synset {clash}",
                place=entry.place,
                hint="remove one, or say which sense is meant under 'synsets:'",
                code="E102",
            )
        else:
            error = TaxonomyError(
                f"classes {listed([other.id, entry.id])} become the same identifier {clash.removeprefix('slug ')}",
                place=entry.place,
                hint="rename one",
                code="E104",
            )
        report(error)
    return kept


def _distinct_names(entries: list[ClassEntry], wordnet: WordNet) -> tuple[ClassEntry, ...]:
    """Two classes of one display name (crane, maillot) are told apart by their synset names."""
    taken: dict[str, int] = {}
    for entry in entries:
        taken[entry.name] = taken.get(entry.name, 0) + 1
    done = []
    for entry in entries:
        if taken[entry.name] > 1 and entry.synset and entry.exact and entry.name != entry.id:
            entry = replace(entry, name=wordnet.synset_name(entry.synset))
        done.append(entry)
    return tuple(done)
