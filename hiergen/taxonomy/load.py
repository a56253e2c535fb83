"""A taxonomy file, read and merged: the one call that everything else starts from."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hiergen.console.terminal import command
from hiergen.errors import HiergenError, SpecError, TaxonomyError, listed, nearest, quoted
from hiergen.taxonomy.classes import ClassEntry, read_classes
from hiergen.taxonomy.levels import nest_tree
from hiergen.taxonomy.merge import Merged, merge
from hiergen.taxonomy.naming import slug
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.relevel import complete
from hiergen.taxonomy.sources import SourceTree, open_wordnet, read_sources
from hiergen.taxonomy.spec import Spec, model_levels
from hiergen.taxonomy.specfile import read_spec
from hiergen.taxonomy.synsets import is_wnid, looks_like_synset
from hiergen.taxonomy.tree import ROOT, Conflict, Node, Provenance, Tree, class_key, info, leaves
from hiergen.taxonomy.wordnet.nouns import WordNet
from hiergen.taxonomy.yamlfile import Document

Report = Callable[[HiergenError], None]
_MOST_NEAREST = 100  # names whose nearest words are looked for


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
    written: Tree | None = None  # groups by hand as they stand in the file, where they are its strongest source
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
        """The synsets of classes whose ids do not say them; ">" before one says "a kind of"."""
        names: list[str | None] = []
        for entry in self.classes:
            says_it = entry.synset is None or is_wnid(entry.id) or looks_like_synset(entry.id)
            name = None if says_it or entry.synset is None else self.wordnet.synset_name(entry.synset)
            names.append(name if name is None or entry.exact else f">{name}")
        return tuple(names)

    def _lost_groups(self, nesting: Nesting) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Groups by hand that are no groups of a nesting: what they are called stays theirs."""
        if self.written is None:
            return ()
        names = {name for level in nesting.levels for name in level.names}
        order = self.written.graph["order"]
        groups = (info(self.written, key) for key in self.written)
        lost = {node.name: f"group:{node.name}" for node in groups if node.kind == "group" and node.name not in names}
        named = (
            (name, tuple(order[leaf] for leaf in leaves(self.written, key)))
            for name, key in lost.items()
            if key in self.written
        )
        return tuple(sorted(named, key=lambda pair: (pair[1], pair[0])))

    @property
    def missing(self) -> list[str]:
        """Classes in no group that WordNet does not have."""
        return _missing(self.merged, self.classes)

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
            written = None if options.refine or self.written is None else self.written
            try:
                nesting = nest_tree(
                    self.tree, levels, options, self.wordnet, base=base, completed=self._completed, written=written
                )
                self._nestings[levels] = replace(nesting, synsets=self._synsets, groups=self._lost_groups(nesting))
            except TaxonomyError as error:
                raise error.at(str(self.path)) from None
        return self._nestings[levels]


def _keep_names(tree: Tree, sources: Sequence[SourceTree], wordnet: WordNet) -> None:
    """A group by hand that is called food means its members: WordNet's food gets another of its names."""
    by_hand = [source.written for source in sources if source.written is not None]
    nodes = [info(written, key) for written in by_hand for key in written]
    taken = {slug(node.name) for node in nodes if node.kind == "group"}
    for key in tree if taken else ():
        node = info(tree, key)
        if node.kind == "group" and node.synset is not None and slug(node.name) in taken:
            names = (*wordnet.lemmas(node.synset), wordnet.synset_name(node.synset))
            tree.nodes[key]["info"] = replace(node, name=next((n for n in names if slug(n) not in taken), node.name))


def _hang_rest(written: Tree, classes: Sequence[ClassEntry]) -> None:
    """The classes that no group has hang below the root."""
    for entry in classes:
        if (key := class_key(entry.id)) not in written:
            written.add_node(key, info=Node("class", entry.id, entry.name, entry.synset))
            written.add_edge(ROOT, key, why=Provenance("classes", entry.place))


def _missing(merged: Merged, classes: Sequence[ClassEntry]) -> list[str]:
    """The unplaced classes that WordNet does not have. One that means nothing among the others, as Bombay among cats,
    hangs below the root, which W101 says."""
    missing = {c.id for c in classes if c.guess is None or not c.guess.others}
    return [class_id for class_id in merged.unplaced if class_id in missing]


def unplaced_error(
    unplaced: Sequence[str], classes: Sequence[ClassEntry], wordnet: WordNet, path: Path, *, most: int = 12
) -> TaxonomyError:
    """Names `most` of them, each with the word that it may be a slip of."""
    many, shown = len(unplaced) > 1, unplaced[:most]
    near = [(c, words) for c in shown[:_MOST_NEAREST] if (words := wordnet.nearest_names(c[:100]))]
    offers = f"nearest: {'; '.join(f'{quoted(c)}: {words[0]}' for c, words in near)}; " if near else ""
    rest = f"{command(('hiergen', 'validate', path))} lists them all; " if len(shown) < len(unplaced) else ""
    return TaxonomyError(
        f"{'classes' if many else 'class'} {listed(unplaced, most)} {'are' if many else 'is'} in no group"
        " and not in WordNet",
        place=next(c for c in classes if c.id == unplaced[0]).place,
        hint=f"{offers}{rest}say what they are under 'synsets:' or 'kind-of:', name them in a group, or add"
        " 'unplaced: root'",
        code="E301",
    )


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
    if spec.unplaced == "error" and (unplaced := _missing(merged, classes)):
        report(unplaced_error(unplaced, classes, wordnet, document.path))
    conflicts = (*inner, *merged.conflicts)
    _keep_names(merged.tree, sources, wordnet)
    written = sources[0].written if sources else None
    if written is not None:  # groups by hand are not joined
        merged.tree.graph["written"] = frozenset(key for key in written if key.startswith("group:"))
        if len(sources) == 1:
            _hang_rest(written, classes)
    return Taxonomy(document.path, spec, document, wordnet, classes, merged, conflicts, written)
