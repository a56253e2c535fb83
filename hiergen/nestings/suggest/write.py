"""A suggestion as a taxonomy file: commented, to be edited, and known to say what was suggested.

The file is written beside its place, read again as every taxonomy file is, and put in place only when its deepest
model's nesting has been compared with the suggestion.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hiergen.errors import HiergenError, OutputError, listed, quoted
from hiergen.files import check_writable, check_yaml_name, replacing
from hiergen.nestings.read import nesting_of
from hiergen.nestings.suggest.naming import clean_names
from hiergen.planning.from_taxonomy import find_model
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.naming import check_identifier
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.spec import WordNetCopy
from hiergen.taxonomy.yamlfile import WIDTH, comment, flow, member, models, scalar, table

PLAIN = "balance: 0"  # gives exactly the groups that are written, if none has a single member
# A class that is a group of its own needs a price that lets it be, and which one depends on the sizes of the others.
OPTIONS = (PLAIN, *(f"{PLAIN}, single_child: {price}" for price in ("0.5", "0.7", "1", "1.5", "2", "3", "5")))


@dataclass(frozen=True)
class Written:
    """The file, the model whose nesting is the suggestion, and, where it is not quite, what differs."""

    path: Path
    model: str
    difference: str | None
    left_out: tuple[str, ...] = ()


def write_suggestion(
    taxonomy: Taxonomy,
    nesting: Nesting,
    path: str | Path,
    *,
    by: str,
    notes: Sequence[str] = (),
    marks: Mapping[int, str] | None = None,
    command: str | None = None,
    force: bool = False,
) -> Written:
    """Write the suggestion to `path`, once the file has been read back and compared.

    Where no way of writing it gives exactly this nesting (a group whose only member is a group, say), the nearest is
    written and `difference` says what differs. Raises OutputError for a file that is there already (unless `force`),
    for the taxonomy's own file, and for a path that cannot be written.
    """
    path = Path(path)
    check_target(taxonomy, path, force=force)
    wanted = clean_names(taxonomy, nesting.in_class_order([c.id for c in taxonomy.classes]))
    name = path.stem if _is_name(path.stem) else None
    best: tuple[int, str, str, str | None] | None = None
    problem: HiergenError | None = None
    with replacing(path) as part:
        for options, keep in _ways(taxonomy, wanted):
            text = taxonomy_text(
                taxonomy,
                wanted,
                by=by,
                notes=notes,
                marks=marks,
                command=command,
                name=name,
                folder=path.parent,
                options=options,
                keep_wordnet=keep,
            )
            part.write_text(text, encoding="utf-8", newline="\n")
            try:
                model, moved, difference = _compared(load_taxonomy(part), taxonomy, wanted)
            except HiergenError as error:
                problem = error
                continue
            if best is None or moved < best[0]:
                best = (moved, text, model, difference)
            if moved == 0:
                break
        if best is None:
            assert problem is not None
            text = f"the suggestion cannot be written: {str(problem).replace(str(part), str(path))}"
            raise OutputError(text, place=str(path)) from None
        part.write_text(best[1], encoding="utf-8", newline="\n")
    return Written(path, best[2], best[3], tuple(models_for(taxonomy, wanted)[1]))


def default_path(taxonomy: Taxonomy, by: str) -> Path:
    """Beside the taxonomy's file: taxonomies/imagenet100.yaml → taxonomies/imagenet100-weights.yaml."""
    return taxonomy.path.parent / f"{suggestion_name(taxonomy, by)}.yaml"


def check_target(taxonomy: Taxonomy, path: Path, *, force: bool) -> None:
    """Raises OutputError where `write_suggestion` would refuse `path`: asked before the work, not after it."""
    check_writable(path)
    check_yaml_name(path)
    if path.exists() and taxonomy.path.exists() and path.samefile(taxonomy.path):
        raise OutputError("is the file that the suggestion is made from", place=str(path), expected="another --out")
    if path.exists() and not force:
        raise OutputError("is there already", place=str(path), hint="give another --out, or --force to write over it")


def _is_name(text: str) -> bool:
    try:
        check_identifier(text)
    except ValueError:
        return False
    return True


def _ways(taxonomy: Taxonomy, nesting: Nesting) -> Iterator[tuple[str, bool]]:
    """Options of the nesting, and whether the file's own WordNet stays a source: the plain way first."""
    alone = any(size == 1 for level in nesting.levels for size in level.sizes)
    has_wordnet = any(isinstance(source, WordNetCopy) for source in taxonomy.spec.sources)
    for keep in (False, True) if has_wordnet else (False,):
        yield from ((options, keep) for options in (OPTIONS if alone else OPTIONS[:1]))


def _compared(new: Taxonomy, old: Taxonomy, wanted: Nesting) -> tuple[str, int, str | None]:
    """(model, number of classes grouped otherwise, what differs) of a file that has been read back."""
    for mine, theirs in zip(old.classes, new.classes, strict=True):
        same = (mine.id, mine.name, mine.synset, mine.exact) == (theirs.id, theirs.name, theirs.synset, theirs.exact)
        if not same and mine.synset is not None:
            raise OutputError(f"class {quoted(mine.id)} would be another one: {quoted(theirs.name)}, {theirs.synset}")
    model = find_model(new, wanted.depth)
    assert model is not None  # `models_for` sees to it
    written = nesting_of(new, model)
    moved: set[int] = set()
    for wished, got in zip(wanted.levels, written.levels, strict=True):
        ours, others = wished.members, got.members
        moved |= {i for i in range(len(wished.of)) if ours[wished.of[i]] != others[got.of[i]]}
    if not moved:
        return model, 0, None
    names = listed(wanted.labels[i] for i in sorted(moved))
    counts = f"{','.join(map(str, written.counts))} groups, not {','.join(map(str, wanted.counts))}"
    return model, len(moved), f"in {model} the groups of {len(moved)} classes are others ({names}): {counts}"


_OF_LEVELS = {"levels", "branches", "single_branch"}


def taxonomy_text(
    taxonomy: Taxonomy,
    nesting: Nesting,
    *,
    by: str,
    notes: Sequence[str] = (),
    marks: Mapping[int, str] | None = None,
    command: str | None = None,
    name: str | None = None,
    folder: Path | None = None,
    options: str = PLAIN,
    keep_wordnet: bool = False,
) -> str:
    """The text of a taxonomy file over the same classes whose groups are the nesting's; same input, same bytes.

    `by`: the kind of evidence. `notes`: sentences for the head. `marks`: class index → what to ask there, written as
    "# ? …". `command`: the whole command. `folder` is where the file will lie (default: beside `taxonomy`'s), which
    relative paths in it depend on; `name` is by default that of the taxonomy and `by`.
    """
    nesting = clean_names(taxonomy, nesting.in_class_order([c.id for c in taxonomy.classes]))
    data = dict(taxonomy.document.data)
    kept, left_out = models_for(taxonomy, nesting)
    sentences = [f"Suggested by `{command or shlex.join(['hiergen', 'suggest', taxonomy.path.name, '--by', by])}`."]
    sentences += list(notes)
    if marks:
        sentences.append(f"{len(marks)} of {len(nesting.classes)} classes could as well be elsewhere: look for '# ?'.")
    if left_out:
        sentences.append(f"Left out, as the groups below have {nesting.depth} levels: {', '.join(left_out)}.")
    lines = [line for sentence in sentences for line in comment(sentence)]
    lines.append(f"name: {name or suggestion_name(taxonomy, by)}")
    lines.append(f"classes: {_classes(taxonomy, folder)}")
    # other groups are other company for names that are guessed: what they mean here stays
    guessed = [(c, taxonomy.wordnet.synset_name(c.synset)) for c in taxonomy.classes if c.guess and c.synset]
    for key, exact in (("synsets", True), ("kind-of", False)):
        lines += table(key, (data.get(key) or {}) | {c.id: name for c, name in guessed if c.exact is exact})
    lines += table("names", data.get("names") or {})
    if not nesting.levels:  # the groups are then still the old sources'
        lines += [f"{key}: {flow(data[key])}" for key in ("hypernyms", "unplaced") if data.get(key)]
    sources = list(_sources(taxonomy, nesting, marks or {}, folder, keep_wordnet))
    lines += ["sources:", *sources] if sources else ["sources: []"]
    if nesting.levels:
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
    from hiergen.assets import CLASS_LISTS

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
    taxonomy: Taxonomy, nesting: Nesting, marks: Mapping[int, str], folder: Path | None, keep_wordnet: bool
) -> Iterator[str]:
    if nesting.levels:
        yield "  - groups:"
        yield from _groups(taxonomy, nesting, marks, 0, list(range(len(nesting.levels[0].names))), "      ")
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
    taxonomy: Taxonomy, nesting: Nesting, marks: Mapping[int, str], j: int, groups: Sequence[int], indent: str
) -> Iterator[str]:
    level = nesting.levels[j]
    members = level.members
    for group in groups:
        yield f"{indent}{scalar(level.names[group])}:"
        if j + 1 < len(nesting.levels):
            yield from _groups(taxonomy, nesting, marks, j + 1, nesting.children(j + 1, group), indent + "  ")
            continue
        for i in members[group]:
            yield member(f"{indent}  ", taxonomy.classes[i], marks.get(i, ""))


def models_for(taxonomy: Taxonomy, nesting: Nesting) -> tuple[dict[str, Any], list[str]]:
    """The file's models of at most as many levels as the groups have, and the names of the others.

    Where none has exactly as many, one is added: like the deepest, its stages left to hiergen.
    """
    data = taxonomy.document.data.get("models")
    stated: dict[str, Any] = dict(data) if data else {name: {} for name in taxonomy.spec.models}
    kept = {name: value or {} for name, value in stated.items() if taxonomy.levels[name] <= nesting.depth}
    left_out = [name for name in stated if name not in kept]
    if all(taxonomy.levels[name] != nesting.depth for name in kept):
        settings = {k: v for k, v in (stated[taxonomy.deepest] or {}).items() if k not in _OF_LEVELS}
        name = f"N{nesting.depth}HL" if nesting.depth > 1 else "PHL"
        lowered = {other.lower().replace("-", "_") for other in stated}
        while name.lower() in lowered:
            name += "x"
        kept[name] = settings
    return kept, left_out
