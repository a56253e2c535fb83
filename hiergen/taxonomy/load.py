"""A taxonomy file, read and merged: the one call that everything else starts from."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hiergen.errors import HiergenError, SpecError, TaxonomyError, listed, nearest, quoted
from hiergen.taxonomy.classes import ClassEntry, read_classes
from hiergen.taxonomy.conflicts import Conflict
from hiergen.taxonomy.merge import Merged, merge
from hiergen.taxonomy.nest import complete
from hiergen.taxonomy.nesting import Nesting, nest_tree
from hiergen.taxonomy.sources import open_wordnet, read_sources
from hiergen.taxonomy.spec import Spec, model_levels
from hiergen.taxonomy.specfile import read_spec
from hiergen.taxonomy.tree import Tree
from hiergen.taxonomy.wordnet import WordNet
from hiergen.taxonomy.yamlfile import Document

Report = Callable[[HiergenError], None]


def fail(error: HiergenError) -> None:
    """The usual way to report a problem: stop at the first."""
    raise error


@contextmanager
def _few_collections() -> Iterator[None]:
    """Python's garbage collector looks at all that lives ever again; the hundred thousands of nodes and edges of a
    large tree live on, and looking at them took a third of the time."""
    before = gc.get_threshold()
    if before[0]:
        gc.set_threshold(100_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@dataclass(frozen=True)
class Taxonomy:
    """Spec, classes in logit order, and the merged tree; nestings are solved when asked for and kept.

    >>> taxonomy = load_taxonomy("taxonomies/imagenet100.yaml")
    >>> [len(groups) for groups in taxonomy.nesting("N3HL").groups]
    [12, 32]
    """

    path: Path
    spec: Spec
    document: Document
    wordnet: WordNet
    classes: tuple[ClassEntry, ...]
    merged: Merged
    conflicts: tuple[Conflict, ...]
    _nestings: dict[int, Nesting] = field(default_factory=dict, repr=False)

    @property
    def tree(self) -> Tree:
        return self.merged.tree

    @cached_property
    def levels(self) -> dict[str, int]:
        """Model → number of levels."""
        return {name: model_levels(name, model) or 0 for name, model in self.spec.models.items()}

    @cached_property
    def _completed(self) -> Tree:
        """What every nesting starts from."""
        return complete(self.tree)

    def known(self, model: str) -> str:
        """The name of a model of the file, as it is. Raises `SpecError` for one that the file has not."""
        if model not in self.levels:
            raise SpecError(
                f"no model {quoted(model)}",
                place=str(self.path),
                expected=f"one of {', '.join(self.levels)}",
                nearest=nearest(model, self.levels),
            )
        return model

    def nesting(self, model: str) -> Nesting:
        """The nesting of one model of the file.

        Raises `SpecError` for a model that it has not, `TaxonomyError` if the tree has too few levels.
        """
        try:
            return self.nesting_of(self.levels[self.known(model)])
        except TaxonomyError as error:
            error.problem = f"model {model}: {error.problem}"
            error.place = self.document.place(("models", model))
            raise

    @_few_collections()
    def nesting_of(self, levels: int) -> Nesting:
        """The nesting with this many levels; with `refine: true` it keeps the groups of the shallower models."""
        if levels not in self._nestings:
            options = self.spec.nesting
            shallower = [k for k in sorted(set(self.levels.values())) if 1 < k < levels]
            base = self.nesting_of(shallower[-1]) if options.refine and shallower else None
            try:
                self._nestings[levels] = nest_tree(
                    self.tree, levels, options, self.wordnet, base=base, completed=self._completed
                )
            except TaxonomyError as error:
                raise error.at(str(self.path)) from None
        return self._nestings[levels]


@_few_collections()
def load_taxonomy(path: str | Path, report: Report = fail) -> Taxonomy:
    """Read, resolve and merge one taxonomy file.

    Raises `SpecError` or `TaxonomyError` (place, problem, nearest names). With a `report` that does not raise, as
    many problems as can be seen at once are handed to it, and what they concern is left out.
    """
    spec, document = read_spec(path, report)
    wordnet = open_wordnet(spec, document)
    classes = read_classes(spec, document, wordnet, report)
    sources, inner = read_sources(spec, document, classes, wordnet, report)
    merged = merge(classes, sources)
    if merged.unplaced and spec.unplaced == "error":
        entry = next(c for c in classes if c.id == merged.unplaced[0])
        many = len(merged.unplaced) > 1
        report(
            TaxonomyError(
                f"{'classes' if many else 'class'} {listed(merged.unplaced)} {'are' if many else 'is'} in no group"
                " and not in WordNet",
                place=entry.place,
                hint="name them in a group, say what they are under 'synsets:', or add 'unplaced: root'",
                code="E301",
            )
        )
    conflicts = (*inner, *merged.conflicts)
    return Taxonomy(Path(path), spec, document, wordnet, classes, merged, conflicts)
