"""A suggestion as a taxonomy file: commented, to be edited, and known to say what was suggested.

The file is written beside its place, read again as every taxonomy file is, and put in place only when its deepest
model's nesting has been compared with the suggestion.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hiergen.errors import HiergenError, OutputError, listed, quoted
from hiergen.files import check_replaceable, check_yaml_name, replacing
from hiergen.partitions.grouping import Grouping, grouping_of
from hiergen.suggest.naming import clean_names
from hiergen.suggest.text import PLAIN, models_for, suggestion_name, taxonomy_text
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.naming import check_identifier
from hiergen.taxonomy.spec import WordNetCopy

__all__ = ["Written", "check_target", "default_path", "taxonomy_text", "write_suggestion"]

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
    grouping: Grouping,
    path: str | Path,
    *,
    by: str,
    notes: Sequence[str] = (),
    marks: Mapping[int, str] | None = None,
    origin: Mapping[str, str] | None = None,
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
    wanted = clean_names(taxonomy, grouping.reordered([c.id for c in taxonomy.classes]))
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
                origin=origin,
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
    check_replaceable(path)
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


def _ways(taxonomy: Taxonomy, grouping: Grouping) -> Iterator[tuple[str, bool]]:
    """Options of the nesting, and whether the file's own WordNet stays a source: the plain way first."""
    alone = any(size == 1 for level in grouping.levels for size in level.sizes())
    own = any(isinstance(source, WordNetCopy) for source in taxonomy.spec.sources)
    for keep in (False, True) if own else (False,):
        yield from ((options, keep) for options in (OPTIONS if alone else OPTIONS[:1]))


def _compared(new: Taxonomy, old: Taxonomy, wanted: Grouping) -> tuple[str, int, str | None]:
    """(model, number of classes grouped otherwise, what differs) of a file that has been read back."""
    for mine, theirs in zip(old.classes, new.classes, strict=True):
        if (mine.id, mine.name, mine.synset, mine.exact) != (theirs.id, theirs.name, theirs.synset, theirs.exact):
            raise OutputError(f"class {quoted(mine.id)} would be another one: {quoted(theirs.name)}, {theirs.synset}")
    model = next(m for m, k in new.levels.items() if k == wanted.k)
    found = grouping_of(new, model)
    moved: set[int] = set()
    for wished, got in zip(wanted.levels, found.levels, strict=True):
        ours, others = wished.members(), got.members()
        moved |= {i for i in range(len(wished.of)) if ours[wished.of[i]] != others[got.of[i]]}
    if not moved:
        return model, 0, None
    names = listed(wanted.labels[i] for i in sorted(moved))
    counts = f"{','.join(map(str, found.counts))} groups, not {','.join(map(str, wanted.counts))}"
    return model, len(moved), f"in {model} the groups of {len(moved)} classes are others ({names}): {counts}"
