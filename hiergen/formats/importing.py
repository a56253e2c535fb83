"""The job of `hiergen init` and `hiergen import`: a folder of images, a tree or a list of names → a taxonomy file."""

from __future__ import annotations

import io
import re
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hiergen.console.terminal import one_line
from hiergen.errors import HiergenError, OutputError, PlanError, SpecError, TaxonomyError, listed
from hiergen.files import check_yaml_name, replacing
from hiergen.formats.classtree import class_tree, levels, name_groups, taxonomy_yaml
from hiergen.formats.files import read_graph
from hiergen.formats.matching import above, classes_value, leaves_besides, match, moved, own_leaves, read_given
from hiergen.formats.tree import Tree, depths, text, title, to_tree, top_down
from hiergen.planning.from_taxonomy import plan_if_known
from hiergen.taxonomy import tree as merged
from hiergen.taxonomy.checks import DOUBTFUL, sense_lines
from hiergen.taxonomy.class_files import read_label_file
from hiergen.taxonomy.classes import ClassEntry
from hiergen.taxonomy.imagefolder import find_images
from hiergen.taxonomy.imageformats import formats
from hiergen.taxonomy.load import load_taxonomy
from hiergen.taxonomy.naming import check_identifier
from hiergen.taxonomy.roots import training_part
from hiergen.taxonomy.senses import Label
from hiergen.taxonomy.synsets import guess_senses, is_wnid, looks_like_synset
from hiergen.taxonomy.tree import ancestors as tree_ancestors
from hiergen.taxonomy.wordnet.nouns import default
from hiergen.taxonomy.yamlfile import scalar

MODELS = {"PHL": 1, "N2HL": 2, "N3HL": 3, "N4HL": 4}
# classes from which a network may have so many levels: where WordNet groups them, and where the source does
ENOUGH = {1: 2, 2: 2, 3: 40, 4: 400}
ENOUGH_GIVEN = {1: 2, 2: 2, 3: 6, 4: 24}
BACKBONE, AIM = "tf_efficientnet_lite0", 0.6  # what a folder's models are made of, unless it is said
_BY_WORDNET = ("imagenet-superclass", "wordnet")
_MOST_REMARKS = 2_000  # classes that are explained one by one
_MOST_NEAREST = 100  # names whose nearest words are looked for


@dataclass(frozen=True)
class Imported:
    """The file that was written, its format before, and what there is in it; `notes` are what had to be decided."""

    path: Path
    format: str
    classes: int
    groups: int
    levels: int
    models: tuple[str, ...]
    notes: tuple[str, ...]
    doubtful: tuple[str, ...] = ()  # classes whose sense should be looked at
    unplaced: tuple[str, ...] = ()  # classes that WordNet does not have, where it groups them
    by_wordnet: bool = False  # whether the source says nothing of groups


def init(
    source: str | Path,
    path: str | Path | None = None,
    *,
    format: str | None = None,
    classes: str | None = None,
    names: str | Path | None = None,
    columns: str | Sequence[str] | None = None,
    subset: bool | None = None,
    drop_missing: bool = False,
    join_roots: bool = False,
    header: bool | None = None,
    backbone: str | None = None,
    input_size: int | None = None,
    cutout: float = AIM,
    force: bool = False,
) -> Imported:
    """Write a taxonomy file, ready to edit, from what `source` says of its classes.

    `source` is a folder of images (folders in folders are groups), a table, an outline, pairs, paths, JSON, Newick, or
    a list of names, which WordNet then groups. `classes` are a built-in list, a text file, an image folder or names
    with commas; without it the leaves are the classes, in the file's order. `names` is a file of "id name" lines,
    `columns` are those of a table to take, from the root to the classes. `subset` keeps of the tree only what is above
    the classes (None: with edge lists, which are mostly of a whole WordNet), `drop_missing` leaves out classes that the
    tree lacks. A folder's models, or with a `backbone` any, are trunks of it with tails and a generalist; `input_size`
    is in px (default: by the folder's images), `cutout` their aim. The file is read back and compared before it is put
    in place; `path` None is the source's name with .yaml, in this folder.

    Raises HiergenError for a source that cannot be read or is no tree, for classes and leaves that do not fit, and for
    a path that cannot be written.
    """
    target = Path(f"{Path(source).resolve().stem or 'taxonomy'}.yaml") if path is None else Path(path)
    _target(target, force=force)
    picked = [c.strip() for c in columns.split(",")] if isinstance(columns, str) else list(columns or ())
    graph = read_graph(source, format, header=header, columns=picked)
    depths(graph)  # raises for a circle, whose nodes are no leaves
    if names is not None:
        _call(graph, Path(names))
    kind = str(graph.graph["format"])
    if subset and classes is None:
        raise SpecError("--subset without classes", expected="--classes LIST or FILE")
    listing: str | dict[str, str] | None = None
    stated: dict[str, str] = {}
    kind_of: dict[str, str] = {}
    if classes is None:
        ends = own_leaves(graph)
        which, entries, stated, kind_of = ends.which, ends.classes, ends.synsets, ends.kind_of
    else:
        value = classes_value(classes)
        entries = read_given(value)
        which, entries = match(graph, entries, drop_missing=drop_missing)
        _besides(graph, which, subset=kind == "isa" if subset is None else subset)
        graph = above(graph, which)
        listing = None if drop_missing else moved(value, target)
    _show(graph)
    tree = class_tree(to_tree(graph, join_roots=join_roots), which, entries)
    group_names = name_groups(tree, entries, default())
    deep = levels(tree)
    synsets, titles = _stated(graph, which, entries, own_names=classes is None)
    synsets = stated | synsets
    entries = _with_senses(tree, group_names, entries, synsets, titles)
    flat = not group_names and kind in ("names", "folder")
    groups = "groups by WordNet" if flat else f"{len(group_names)} group{'s' * (len(group_names) != 1)}"
    typed = one_line(shlex.join(["hiergen", "init", str(source)]))
    head = [f"Imported by `{typed}` ({kind}): {len(entries)} classes, {groups}."]
    about: dict[str, str] = {}
    remarks: dict[str, list[str]] = {}
    if listing is None and len(entries) <= _MOST_REMARKS:
        about, pinned, remarks = _explained(entries, flat=flat)
        synsets = pinned | synsets
    aimed = backbone is not None or Path(source).is_dir()
    settings = _aimed(Path(source), backbone, input_size, cutout) if aimed else {}

    def written(models: Sequence[str]) -> str:
        return taxonomy_yaml(
            _name(target),
            tree,
            group_names,
            entries,
            listing=listing,
            head=head,
            synsets=synsets,
            kind_of=kind_of,
            titles=titles,
            about=about,
            remarks=remarks,
            sources=_BY_WORDNET if flat else (),
            models=dict.fromkeys(models, settings),
        )

    wished = [name for name, k in MODELS.items() if len(entries) >= (ENOUGH if flat else ENOUGH_GIVEN)[k]]
    wished = wished if flat else [name for name in wished if MODELS[name] <= deep + 1]
    if settings:  # of one level every class would have a tail of its own
        wished = [name for name in wished if MODELS[name] in (2, 3)] or wished
    models = _write(target, written, wished, tree, group_names)
    doubtful = [entry.id for entry in entries if flat and entry.guess and entry.guess.doubt >= DOUBTFUL]
    missing = [entry.id for entry in entries if flat and entry.synset is None]
    return Imported(
        target,
        kind,
        len(entries),
        len(group_names),
        deep,
        tuple(models),
        tuple(tree.graph["notes"]),
        tuple(doubtful),
        tuple(missing),
        flat,
    )


import_tree = init  # the same under its older name


def _call(graph: Tree, path: Path) -> None:
    """Names of an "id name" file for the nodes; what has one is called by it."""
    called = {class_id: name for class_id, name in read_label_file(path) if name}
    if not any(text(graph, key, "id") in called for key in graph):
        raise SpecError("names none of the tree's ids", place=str(path), expected="lines of an id and a name")
    for key in graph:
        if name := called.get(text(graph, key, "id")):
            graph.nodes[key].update(id=name, name="")


def _with_senses(
    tree: Tree, names: dict[str, str], entries: Sequence[ClassEntry], synsets: dict[str, str], titles: dict[str, str]
) -> tuple[ClassEntry, ...]:
    """The classes as the file that is written will have them: read in the company of their groups."""
    homes: dict[int, tuple[str, ...]] = {}
    for key in top_down(tree):
        if not tree.succ[key]:
            path = [names[higher] for higher in tree_ancestors(tree, key) if higher in names]
            homes[int(tree.nodes[key]["index"])] = tuple(path[::-1])
    wordnet = default()
    stated = [wordnet.resolve(synsets.get(e.id, "")) or (e.synset if e.guess is None else None) for e in entries]
    labels = [Label(e.id, synset, homes.get(i, ())) for i, (e, synset) in enumerate(zip(entries, stated, strict=True))]
    senses = guess_senses(labels, [titles.get(e.id, e.name) for e in entries], wordnet)
    return tuple(
        entry if synset else replace(entry, synset=sense.synset, exact=sense.exact, guess=sense)
        for entry, synset, sense in zip(entries, stated, senses, strict=True)
    )


def _explained(
    entries: Sequence[ClassEntry], *, flat: bool
) -> tuple[dict[str, str], dict[str, str], dict[str, list[str]]]:
    """What each class was taken for; the guesses that a reader should look at, as lines of `synsets:`; and below each
    of those what else it may be."""
    wordnet = default()
    about: dict[str, str] = {}
    pinned: dict[str, str] = {}
    remarks: dict[str, list[str]] = {}
    searched = 0
    for entry in entries:
        sense = entry.guess
        if sense is None:
            continue
        if entry.synset is None:
            if not flat:
                continue
            searched += 1
            near = wordnet.nearest_names(entry.name[:100]) if searched <= _MOST_NEAREST else ()
            about[entry.id] = "not in WordNet" + (f"; under synsets: {scalar(entry.id)}: {near[0]}" if near else "")
            continue
        kind = "" if entry.exact else "a kind of "
        about[entry.id] = f"{kind}{wordnet.synset_name(entry.synset)}: {wordnet.gloss(entry.synset)}"
        if entry.exact and sense.is_doubtful and (flat or sense.doubt >= DOUBTFUL):
            pinned[entry.id] = wordnet.synset_name(entry.synset)
            remarks[entry.id] = [line.strip() for line in sense_lines(entry.id, sense, wordnet)]
    return about, pinned, remarks


def _aimed(source: Path, backbone: str | None, size: int | None, cutout: float) -> dict[str, Any]:
    """A trunk and an aim for cutouts, with a branch for all classes beside those of groups."""
    side = size if size is not None else _side(source) if source.is_dir() else None
    return {
        "trunk": {"backbone": backbone or BACKBONE, "until": "auto"},
        **({} if side is None else {"input_size": side}),
        "aim": {"cutout": cutout},
        "generalist": "both",
    }


def _side(folder: Path) -> int | None:
    """px of the folder's images, in the mean and within reason for a pretrained backbone; None without images."""
    from PIL import Image

    try:
        places = [place for place, _ in find_images(training_part(folder)[0])]
    except HiergenError:  # folders without images, yet
        return None
    sizes = []
    for place in places[:: max(1, len(places) // 50)]:
        try:
            with Image.open(io.BytesIO(place.read()), formats=formats()) as image:
                sizes.append(min(image.size))
        except OSError:
            continue
    side = sorted(sizes)[len(sizes) // 2] if sizes else 224
    return min(224, max(128, 32 * round(side / 32)))


def _show(graph: Tree) -> None:
    """What notes call a node that the file gives as a bare wnid."""
    for key in graph:
        given_id = text(graph, key, "id")
        if not text(graph, key, "name") and is_wnid(given_id) and (wnid := default().resolve(given_id)):
            graph.nodes[key]["shown"] = default().lemmas(wnid)[0].replace("_", " ")


def _besides(graph: Tree, which: dict[str, int], *, subset: bool) -> None:
    others = leaves_besides(graph, which)
    if others and not subset:
        many = f"{len(others)} leaves of the tree are" if len(others) > 1 else "a leaf of the tree is"
        raise TaxonomyError(
            f"{many} not among --classes: {listed(title(graph, key) for key in others)}",
            place=text(graph, others[0], "place"),
            hint="--subset leaves out what is above no class",
        )
    if others:
        many = f"they are no class: {len(others)} leaves" if len(others) > 1 else "it is no class: 1 leaf"
        graph.graph["notes"].append(f"left out, as {many} of the tree")


def _stated(
    graph: Tree, which: dict[str, int], entries: Sequence[ClassEntry], *, own_names: bool
) -> tuple[dict[str, str], dict[str, str]]:
    """Synsets of classes with plain names, and (with `own_names`) names of classes, that the file says."""
    synsets: dict[str, str] = {}
    titles: dict[str, str] = {}
    taken: set[str] = set()
    stand = {key: text(graph, key, "synset") or text(graph, key, "id") for key in which}
    at = Counter(stand.values())  # a class that is only a kind of a synset stands there beside the synset's own class
    for key, i in sorted(which.items(), key=lambda item: item[1]):
        entry, name = entries[i], text(graph, key, "name")
        if own_names and name and name != entry.name and (graph.graph["format"] == "json" or not is_wnid(entry.id)):
            titles[entry.id] = name
        synset = stand[key]
        plain = not is_wnid(entry.id) and not looks_like_synset(entry.id)
        certain = entry.synset == synset and (entry.guess is None if entry.exact else at[synset] > 1)
        if plain and is_wnid(synset) and not certain and synset not in taken and default().resolve(synset):
            synsets[entry.id] = synset
            taken.add(synset)
    return synsets, titles


def _target(path: Path, *, force: bool) -> None:
    check_yaml_name(path)
    if path.exists() and not path.is_dir() and not force:
        raise OutputError("is there already", place=str(path), hint="give another -o, or --force to write over it")


def _name(path: Path) -> str:
    """The file's name as the taxonomy's."""
    name = re.sub(r"[^A-Za-z0-9_]+", "-", path.stem).strip("-")[:60].strip("-")
    try:
        return check_identifier(name)
    except ValueError:
        return f"tree-{name}"[:60].strip("-")


def _write(
    target: Path, written: Callable[[Sequence[str]], str], models: list[str], tree: Tree, names: dict[str, str]
) -> list[str]:
    """Put the file in place once it has been read back, and its merged tree has been compared with the import.

    Models whose default budget is too small for so many branches are left out, which is noted; gives the others. Where
    none can be built, all stay, for the file is to be edited, and why is noted.
    """
    with replacing(target) as part:
        part.write_text(written(models), encoding="utf-8", newline="\n")
        try:
            loaded = load_taxonomy(part)
        except HiergenError as error:
            problem = str(error).replace(str(part), str(target))
            raise OutputError(f"cannot be written: {problem}", place=str(target)) from None
        calls = {key: names.get(key, text(tree, key, "id")) for key in tree}
        wanted = {(calls[a] if a in names else merged.ROOT, calls[b]) for a, b in tree.edges}
        if loaded.written is not None:
            inside = loaded.written
            got = {(merged.info(inside, a).id, merged.info(inside, b).id) for a, b in inside.edges}
            got |= {(merged.ROOT, c.id) for c in loaded.classes if merged.class_key(c.id) not in inside}
            assert got == wanted, sorted(got ^ wanted)[:10]
        small = {}
        for model in models:
            try:
                plan_if_known(loaded, model)
            except (PlanError, TaxonomyError) as error:
                small[model] = error.problem.removeprefix(f"model {model}: ")
                hint = f"; {error.hint}" if error.hint else ""
        if small and len(small) < len(models):
            models = [model for model in models if model not in small]
            tree.graph["notes"] += [f"{model} is left out: {problem}" for model, problem in small.items()]
        elif small:
            tree.graph["notes"] += [f"{model} cannot be built yet: {problem}{hint}" for model, problem in small.items()]
        if small:
            part.write_text(written(models), encoding="utf-8", newline="\n")
    return models
