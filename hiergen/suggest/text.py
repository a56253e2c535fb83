"""The text of a suggested taxonomy file: the same classes, new groups, comments for the person who edits it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hiergen.partitions.grouping import Grouping
from hiergen.suggest.naming import clean_names
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.spec import WordNetCopy
from hiergen.taxonomy.yamltext import WIDTH, comment, flow, member, models, scalar, table

PLAIN = "balance: 0"  # gives exactly the groups that are written, if none has a single member


def taxonomy_text(
    taxonomy: Taxonomy,
    grouping: Grouping,
    *,
    by: str,
    notes: Sequence[str] = (),
    marks: Mapping[int, str] | None = None,
    origin: Mapping[str, str] | None = None,
    command: str | None = None,
    name: str | None = None,
    folder: Path | None = None,
    options: str = PLAIN,
    keep_wordnet: bool = False,
) -> str:
    """The text of a taxonomy file over the same classes whose groups are the grouping's; same input, same bytes.

    `by`: the kind of evidence. `notes`: sentences for the head. `marks`: class index → what to ask there, written as
    "# ? …". `origin`: what it was made from, "key: value" in the head; `command`: the whole command. `folder` is where
    the file will lie (default: beside `taxonomy`'s), which relative paths in it depend on; `name` is by default that of
    the taxonomy and `by`.
    """
    grouping = clean_names(taxonomy, grouping.reordered([c.id for c in taxonomy.classes]))
    data = dict(taxonomy.document.data)
    kept, left_out = models_for(taxonomy, grouping)
    told = [f"Suggested by `{command or shlex.join(['hiergen', 'suggest', taxonomy.path.name, '--by', by])}`."]
    told += [f"{key}: {value}" for key, value in (origin or {}).items()]
    told += list(notes)
    if marks:
        told.append(f"{len(marks)} of {len(grouping.classes)} classes could as well be elsewhere: look for '# ?'.")
    if left_out:
        told.append(f"Left out, as the groups below have {grouping.k} levels: {', '.join(left_out)}.")
    lines = [line for sentence in told for line in comment(sentence)]
    lines.append(f"name: {name or suggestion_name(taxonomy, by)}")
    lines.append(f"classes: {_classes(taxonomy, folder)}")
    for key in ("synsets", "names"):
        lines += table(key, data.get(key) or {})
    if not grouping.levels:  # the groups are then still the old sources'
        lines += [f"{key}: {flow(data[key])}" for key in ("hypernyms", "unplaced") if data.get(key)]
    sources = list(_sources(taxonomy, grouping, marks or {}, folder, keep_wordnet))
    lines += ["sources:", *sources] if sources else ["sources: []"]
    if grouping.levels:
        lines.append(f"nesting: {{{options}}}  # exactly these groups")
    lines += models(kept)
    return "\n".join(lines) + "\n"


def suggestion_name(taxonomy: Taxonomy, by: str) -> str:
    """ "imagenet100-weights", of at most 60 characters."""
    return f"{taxonomy.spec.name[: 60 - len(by) - 1]}-{by}"


def _classes(taxonomy: Taxonomy, folder: Path | None) -> str:
    """The list of classes as the file names it; a path seen from where the new file lies."""
    classes = taxonomy.document.data["classes"]
    if isinstance(classes, dict):
        return flow({"imagefolder": _moved(taxonomy, str(classes["imagefolder"]), folder)})
    if isinstance(classes, list):
        return _wrapped([scalar(str(c)) for c in classes])
    from hiergen.data import CLASS_LISTS

    return scalar(classes if classes in CLASS_LISTS else _moved(taxonomy, classes, folder))


def _wrapped(items: Sequence[str]) -> str:
    """A list over as many lines as it needs."""
    lines = ["["]  # after "classes: "
    for i, item in enumerate(items):
        piece = item + ("," if i < len(items) - 1 else "]")
        if len(lines[-1]) + len(piece) + (10 if len(lines) == 1 else 1) > WIDTH:
            lines.append(f"  {piece}")
        else:
            lines[-1] += piece if lines[-1] == "[" else f" {piece}"
    return "\n".join(lines)


def _moved(taxonomy: Taxonomy, text: str, folder: Path | None) -> str:
    here = taxonomy.path.parent
    if folder is None or text.startswith("~") or os.path.isabs(text) or folder.resolve() == here.resolve():
        return text
    return Path(os.path.relpath(here.resolve() / text, folder.resolve())).as_posix()


def _sources(
    taxonomy: Taxonomy, grouping: Grouping, marks: Mapping[int, str], folder: Path | None, keep_wordnet: bool
) -> Iterator[str]:
    if grouping.levels:
        yield "  - groups:"
        yield from _groups(taxonomy, grouping, marks, 0, list(range(len(grouping.levels[0].names))), "      ")
    else:  # one level has no groups: any source will do
        for source in taxonomy.document.data.get("sources", ["imagenet-superclass", "wordnet"]):
            yield f"  - {_source(taxonomy, source, folder)}"
        return
    for source in taxonomy.spec.sources:
        if keep_wordnet and isinstance(source, WordNetCopy):
            yield f"  - {flow({'wordnet': _moved(taxonomy, source.wordnet, folder)})}"


def _source(taxonomy: Taxonomy, source: Any, folder: Path | None) -> str:
    if isinstance(source, dict):
        return flow(
            {key: _moved(taxonomy, value, folder) if isinstance(value, str) else value for key, value in source.items()}
        )
    return scalar(str(source))


def _groups(
    taxonomy: Taxonomy, grouping: Grouping, marks: Mapping[int, str], j: int, groups: Sequence[int], indent: str
) -> Iterator[str]:
    level = grouping.levels[j]
    members = level.members()
    for group in groups:
        yield f"{indent}{scalar(level.names[group])}:"
        if j + 1 < len(grouping.levels):
            below = [i for i, parent in enumerate(grouping.parents(j + 1)) if parent == group]
            yield from _groups(taxonomy, grouping, marks, j + 1, below, indent + "  ")
            continue
        for i in members[group]:
            yield member(f"{indent}  ", taxonomy.classes[i], marks.get(i, ""))


def models_for(taxonomy: Taxonomy, grouping: Grouping) -> tuple[dict[str, Any], list[str]]:
    """The file's models of at most as many levels as the groups have, and the names of the others.

    Where none has exactly as many, one is added: like the deepest, its stages left to hiergen.
    """
    data = taxonomy.document.data.get("models")
    known: dict[str, Any] = dict(data) if data else {name: {} for name in taxonomy.spec.models}
    kept = {name: value or {} for name, value in known.items() if taxonomy.levels[name] <= grouping.k}
    left_out = [name for name in known if name not in kept]
    if all(taxonomy.levels[name] != grouping.k for name in kept):
        deepest = max(taxonomy.levels, key=lambda m: taxonomy.levels[m])
        own = {k: v for k, v in (known[deepest] or {}).items() if k not in {"levels", "branches", "single_branch"}}
        name = f"N{grouping.k}HL" if grouping.k > 1 else "PHL"
        lowered = {known_name.lower().replace("-", "_") for known_name in known}
        while name.lower() in lowered:
            name += "x"
        kept[name] = own
    return kept, left_out
