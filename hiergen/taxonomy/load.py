"""A taxonomy file, read and merged: the one call that everything else starts from."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hiergen.errors import HiergenError, SpecError, TaxonomyError, listed, nearest, quoted
from hiergen.taxonomy.classes import ClassEntry, read_classes
from hiergen.taxonomy.levels import nest_tree
from hiergen.taxonomy.merge import Merged, merge
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.relevel import complete
from hiergen.taxonomy.sources import open_wordnet, read_sources
from hiergen.taxonomy.spec import Spec, model_levels
from hiergen.taxonomy.specfile import read_spec
from hiergen.taxonomy.synsets import is_wnid, looks_like_synset
from hiergen.taxonomy.tree import ROOT, Conflict, Tree
from hiergen.taxonomy.wordnet.nouns import WordNet
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


@dataclass(frozen=True, repr=False)
class Taxonomy:
    """Spec, classes in logit order, and the merged tree; nestings are solved when asked for and kept.

    >>> taxonomy = load_taxonomy("taxonomies/imagenet100.yaml")
    >>> taxonomy.nesting("N3HL").counts
    (12, 32)
    """

    path: Path
    spec: Spec
    document: Document
    wordnet: WordNet
    classes: tuple[ClassEntry, ...]
    merged: Merged
    conflicts: tuple[Conflict, ...]
    _nestings: dict[int, Nesting] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        models, counts = (
            ", ".join(self.levels) or "none",
            f"{len(self.classes)} classes, {len(self.conflicts)} conflicts",
        )
        return f"Taxonomy {self.spec.name!r}: {counts}; models: {models}"

    def _repr_html_(self) -> str:
        from hiergen.console.notebook import tree_html

        return tree_html(repr(self), self._outline())

    def _outline(self) -> Iterator[tuple[int, str, list[str]]]:
        """Depth, name and labels of the classes directly below; each group before those below it."""
        tree, info = self.tree, self.tree.nodes
        stack = [(0, key) for key in reversed([*tree.successors(ROOT)])]
        while stack:
            depth, key = stack.pop()
            groups = [inner for inner in tree.successors(key) if tree.out_degree(inner)]
            classes = [info[inner]["info"].name for inner in tree.successors(key) if not tree.out_degree(inner)]
            yield depth, info[key]["info"].name, classes
            stack += [(depth + 1, inner) for inner in reversed(groups)]

    @property
    def tree(self) -> Tree:
        return self.merged.tree

    @cached_property
    def levels(self) -> dict[str, int]:
        """Model → number of levels."""
        return {name: model_levels(name, model) or 0 for name, model in self.spec.models.items()}

    @cached_property
    def _synsets(self) -> tuple[str | None, ...]:
        """The synsets of classes whose ids do not say them."""
        names: list[str | None] = []
        for entry in self.classes:
            says_it = not entry.exact or is_wnid(entry.id) or looks_like_synset(entry.id)
            names.append(None if says_it or entry.synset is None else self.wordnet.synset_name(entry.synset))
        return tuple(names)

    @property
    def deepest(self) -> str:
        """The model with the most levels, the first of them."""
        return max(self.levels, key=self.levels.__getitem__)

    @cached_property
    def _completed(self) -> Tree:
        """What every nesting starts from."""
        return complete(self.tree)

    def check_model(self, model: str) -> str:
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
            return self.nesting_of(self.levels[self.check_model(model)])
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
                nesting = nest_tree(self.tree, levels, options, self.wordnet, base=base, completed=self._completed)
                self._nestings[levels] = replace(nesting, synsets=self._synsets)
            except TaxonomyError as error:
                raise error.at(str(self.path)) from None
        return self._nestings[levels]


@_few_collections()
def load_taxonomy(source: str | Path | Mapping[str, Any], report: Report = fail) -> Taxonomy:
    """Read, resolve and merge one taxonomy: a file, one that comes with hiergen by its name, or a mapping of the same
    keys as a file's.

    Raises `SpecError` or `TaxonomyError` (place, problem, nearest names). With a `report` that does not raise, as
    many problems as can be seen at once are handed to it, and what they concern is left out.
    """
    spec, document = read_spec(source, report)
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
    return Taxonomy(document.path, spec, document, wordnet, classes, merged, conflicts)
