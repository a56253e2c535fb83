"""The class list: from a built-in list, a text file, the taxonomy file itself or an image folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hiergen.assets import CLASS_LISTS, class_list
from hiergen.errors import HiergenError, SpecError, TaxonomyError, listed, named_at, nearest, quoted
from hiergen.files import read_text, user_path
from hiergen.taxonomy.class_files import structured_names
from hiergen.taxonomy.naming import bad_label, nfc, slug
from hiergen.taxonomy.roots import subfolders, training_part
from hiergen.taxonomy.senses import Label, Sense
from hiergen.taxonomy.spec import Groups, ImageFolder, Spec
from hiergen.taxonomy.synsets import guess_senses, is_wnid, looks_like_synset
from hiergen.taxonomy.wordnet.nouns import WordNet, default
from hiergen.taxonomy.yamlfile import Document

_MARKS = ("___", " > ", "::", "|", "/")  # between the steps of class names that are paths
_INDEX = re.compile(r"^[0-9]+(?:[:,;.)] *|\s+)(?=\S*[^\W\d_])")  # before every name
_WNID_FIRST = re.compile(r"(n[0-9]{8})[-_ .](.+)")


@dataclass(frozen=True)
class ClassEntry:
    """One class: `synset` is where WordNet has it (None: nowhere), `exact` whether it is that synset itself.

    `guess` is how its plain name was read; None where the file says the synset. `path` are the groups that its name
    says itself, as "Apple___scab" does.
    """

    id: str
    name: str
    synset: str | None
    place: str
    exact: bool = True
    guess: Sense | None = None
    path: tuple[str, ...] = ()


def read_classes(
    spec: Spec, document: Document, wordnet: WordNet, report: Callable[[HiergenError], None], *, guess: bool = True
) -> tuple[ClassEntry, ...]:
    """All classes in their order, which is the order of the logits; without `guess` plain names stay without synset.

    Raises `SpecError` for a list that cannot be read; reports (and leaves out) unknown wnids and synsets, classes
    named twice, and names that become the same identifier.
    """
    items = _ids(spec, document)
    if len(items) < 2:
        raise TaxonomyError(
            "a taxonomy needs at least two classes", place=document.place(("classes",)), got=f"{len(items)}"
        )
    ids = [item[0] for item in items]
    for label, table in (("synsets", spec.synsets), ("kind-of", spec.kind_of), ("names", spec.names)):
        for error in _unknown(table, ids, document, label):
            report(error)
    entries = []
    for item in items:
        try:
            entries.append(_entry(*item, spec, document, wordnet))
        except TaxonomyError as error:
            report(error)
    entries = _unique(entries, report)
    if guess:
        entries = _unique(_read_names(entries, spec, wordnet), report)
    return _distinct_names(entries, wordnet)


def _read_names(entries: list[ClassEntry], spec: Spec, wordnet: WordNet) -> list[ClassEntry]:
    """The entries, those without a stated synset as their names say together."""
    groups = _groups(spec)
    entries = _split_paths(entries)
    labels = []
    for entry in entries:
        text = re.split("|".join(map(re.escape, _MARKS)), entry.id)[-1] if entry.path else entry.id
        above = groups.get(entry.id) or groups.get(entry.name) or entry.path
        labels.append(
            Label(text, entry.synset, above, is_kind=bool(entry.path) or not entry.exact, is_whole=bool(entry.path))
        )
    senses = guess_senses(labels, [entry.name for entry in entries], wordnet)
    return [
        entry if entry.synset else replace(entry, synset=sense.synset, exact=sense.exact, guess=sense)
        for entry, sense in zip(entries, senses, strict=True)
    ]


def _split_paths(entries: list[ClassEntry]) -> list[ClassEntry]:
    """The entries, with their paths where most names are such."""
    ids = [entry.id for entry in entries]
    mark = next((mark for mark in _MARKS if sum(mark in name.strip(mark) for name in ids) > 0.8 * len(ids)), None)
    if any(name.startswith("/") for name in ids):  # Open Images' /m/0k4j is no path
        return entries
    if mark is None:
        return entries
    return [
        replace(entry, path=tuple(part.strip("_ ") for part in entry.id.split(mark)[:-1]))
        if entry.synset is None and mark in entry.id
        else entry
        for entry in entries
    ]


def _groups(spec: Spec) -> dict[str, tuple[str, ...]]:
    """Member → the groups by hand that it stands in, from the outermost on."""
    homes: dict[str, tuple[str, ...]] = {}
    stack: list[tuple[Any, tuple[str, ...]]] = [
        (source.groups, ()) for source in reversed(spec.sources) if isinstance(source, Groups)
    ]
    while stack:
        inside, above = stack.pop()
        if isinstance(inside, Mapping):
            stack += [(members, (*above, str(group))) for group, members in inside.items()]
        elif isinstance(inside, list):
            stack += [(member, above) for member in inside]
        elif isinstance(inside, str) and above:
            homes.setdefault(inside, above)
    return homes


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
    names = structured_names(path, text)
    return _lines(text, str(path)) if names is None else [(class_id, name, str(path)) for class_id, name in names]


def _lines(text: str, place: str) -> list[tuple[str, str | None, str]]:
    """One class a line. After a wnid a name may follow (as in ImageNet's LOC_synset_mapping.txt)."""
    entries: list[tuple[str, str | None, str]] = []
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    numbered = all(_INDEX.match(line) for _, line in lines)
    for number, line in lines:
        line = _INDEX.sub("", line) if numbered else line
        first, _, rest = line.partition("\t" if "\t" in line else " ")
        if is_wnid(first):
            entries.append((first, rest.split(",")[0].strip() or None, f"{place}:{number}"))
        else:
            entries.append((line, None, f"{place}:{number}"))
    return entries


def _folder(path: Path, place: str) -> list[tuple[str, str | None, str]]:
    """The innermost folders of its training part, or of all of it, sorted by their names."""
    top = path
    try:
        top, _ = training_part(path)
        found, waiting, seen = list[Path](), subfolders(top), {top.resolve()}
        while waiting:
            folder = waiting.pop()
            if folder.resolve() not in seen:  # links may make a loop
                seen.add(folder.resolve())
                inside = subfolders(folder)
                waiting += inside
                found += [] if inside else [folder]
    except HiergenError as error:
        raise SpecError(
            f"image {error.problem}" if error.problem.startswith("folder") else error.problem,
            place=place,
            expected="a folder with one sub-folder per class",
        ) from None
    if not found:
        raise SpecError(f"image folder {quoted(top)} has no sub-folders", place=place, expected="one per class")
    return [(nfc(folder.name), None, str(folder)) for folder in sorted(found, key=lambda folder: folder.name)]


def _entry(class_id: str, name: str | None, place: str, spec: Spec, document: Document, wordnet: WordNet) -> ClassEntry:
    if problem := bad_label(class_id):
        raise TaxonomyError(
            f"class {quoted(class_id)} is {problem}", place=place, expected="printable text", code="E103"
        )
    name = spec.names.get(class_id, name)
    if name is not None and (problem := bad_label(name)):
        raise TaxonomyError(f"the name {quoted(name)} of {quoted(class_id)} is {problem}", place=place, code="E103")
    for key, table, exact in (("synsets", spec.synsets, True), ("kind-of", spec.kind_of, False)):
        if stated := table.get(class_id):
            wnid = resolve_synset(stated, wordnet, document.place((key, class_id)))
            return ClassEntry(class_id, name or class_id, wnid, place, exact)
    if is_wnid(class_id) or looks_like_synset(class_id):
        wnid = resolve_synset(class_id, wordnet, place)
        return ClassEntry(class_id, name or wordnet.lemmas(wnid)[0], wnid, place)
    if (match := _WNID_FIRST.match(class_id)) and wordnet.resolve(match[1]):  # n02108089-boxer, as Stanford Dogs has it
        return ClassEntry(class_id, name or match[2].replace("_", " "), match[1], place)
    return ClassEntry(class_id, name or class_id, None, place)


def resolve_synset(text: str, wordnet: WordNet, place: str) -> str:
    """wnid, synset name or word of one sense → wnid. Raises `TaxonomyError` with the senses, or the nearest names."""
    wnid = wordnet.of_3_0(text) if is_wnid(text) else wordnet.resolve(text)
    if wnid is not None:
        return wnid
    kind = "wnid" if is_wnid(text) else "synset" if looks_like_synset(text) else "noun"
    senses = wordnet.senses(text) if kind == "noun" else ()
    if len(senses) == 1:
        return senses[0]
    if senses:
        names = " or ".join(f"{wordnet.synset_name(s)} ({wordnet.gloss(s)})" for s in senses)
        raise TaxonomyError(f"{quoted(text)} has {len(senses)} senses", place=place, expected=names, code="E101")
    raise TaxonomyError(
        f"no {kind} {quoted(text)} in WordNet {wordnet.version or 'of your own'}",
        place=place,
        nearest=wordnet.nearest_names(text[:100]),
        hint=_ids_of(text, wordnet) if kind == "wnid" else None,
        expected=None if kind == "wnid" else "a wnid like n02123045, a synset like tabby.n.01, or a word of one sense",
        code="E101",
    )


def _ids_of(wnid: str, wordnet: WordNet) -> str | None:
    """What to say of an id that a WordNet of another version has not."""
    name = default().resolve(wnid) and default().synset_name(wnid)
    if wordnet.version in ("3.0", "") or not name:
        return None
    return f"ids are WordNet 3.0's, where it is {name}; {wordnet.version} has no such synset"


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
