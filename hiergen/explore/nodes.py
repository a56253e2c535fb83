"""What is known of each class and group besides its costs: synset, gloss, other names, who put it there, conflicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hiergen.errors import HiergenError
from hiergen.explore.read import GroupView, Nest, Source, plain
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.synsets import class_synset
from hiergen.taxonomy.tree import ROOT, Tree, bottom_up, class_key, class_sizes, depths, info, parent, provenance
from hiergen.taxonomy.wordnet import WordNet, default


def class_table(source: Source) -> dict[str, Any]:
    """Columns over the classes in logit order; "" or None where nothing is known."""
    wordnet = source.taxonomy.wordnet if source.taxonomy else default()
    pairs = _synsets(source, wordnet)
    table: dict[str, Any] = {"id": list(source.ids), "name": list(source.labels)}
    table["synset"] = [wordnet.synset_name(w) if w else "" for w, _ in pairs]
    table["wnid"] = [w or "" for w, _ in pairs]
    table["inexact"] = [i for i, (w, exact) in enumerate(pairs) if w and not exact]
    table["gloss"] = [wordnet.gloss(w) if w else "" for w, _ in pairs]
    table["also"] = [", ".join(wordnet.lemmas(w)) if w and exact else "" for w, exact in pairs]
    if source.taxonomy:
        tree = source.taxonomy.tree
        found = [str(provenance(tree, class_key(c)) or "") for c in source.ids]
        texts = sorted(set(found))
        number = {text: i for i, text in enumerate(texts)}
        table["origins"], table["origin"] = texts, [number[text] for text in found]
        table["path"] = _paths(tree, source.ids)
        table["notes"] = {i: c.note for i, c in enumerate(source.taxonomy.classes) if c.note}
    return table


def _synsets(source: Source, wordnet: WordNet) -> list[tuple[str | None, bool]]:
    if source.taxonomy is None:
        return [
            (wordnet.resolve(found) if found else None, exact)
            for found, exact in (
                class_synset(i, name, wordnet) for i, name in zip(source.ids, source.labels, strict=True)
            )
        ]
    return [(wordnet.resolve(c.synset) if c.synset else None, c.exact) for c in source.taxonomy.classes]


def _paths(tree: Tree, ids: Iterable[str]) -> dict[str, Any]:
    """The merged tree above the classes: `names` and `parent` of its groups (-1: the root), and the group of each."""
    inner = [key for key in reversed(bottom_up(tree)) if key != ROOT and key not in tree.graph["order"]]
    number = {key: i for i, key in enumerate(inner)}
    return {
        "names": [info(tree, key).name for key in inner],
        "parent": [number.get(parent(tree, key) or ROOT, -1) for key in inner],
        "of": [number.get(parent(tree, class_key(c)) or ROOT, -1) for c in ids],
    }


class GroupFacts:
    """Finds the synset of a group: that of its node in the merged tree, else a sense of its name over its classes."""

    def __init__(self, source: Source) -> None:
        self._taxonomy = source.taxonomy
        self._wordnet = source.taxonomy.wordnet if source.taxonomy else default()
        self._keys = [class_key(c) for c in source.ids]
        if source.taxonomy:
            self._sizes, self._depths = class_sizes(source.taxonomy.tree), depths(source.taxonomy.tree)

    def of(self, group: GroupView) -> dict[str, Any]:
        """`synset`, `wnid`, `gloss`, `also` where WordNet has them."""
        found = self._synset(group)
        if found is None:
            return {}
        return {
            "synset": self._wordnet.synset_name(found),
            "wnid": found,
            "gloss": self._wordnet.gloss(found),
            "also": ", ".join(self._wordnet.lemmas(found)),
        }

    def _synset(self, group: GroupView) -> str | None:
        if self._taxonomy is None or group.kind != "node":
            return None
        tree = self._taxonomy.tree
        node = self._cover(tree, group.classes)
        if node == ROOT or self._sizes[node] != len(group.classes):
            return None
        known = info(tree, node)
        for text in (known.synset, known.id):
            if text is None:
                continue
            try:
                found = self._wordnet.resolve(text)
            except HiergenError:
                found = None
            if found is not None:
                return found
        return None

    def _cover(self, tree: Tree, classes: Sequence[int]) -> str:
        """The lowest node over all these classes."""
        low = self._keys[classes[0]]
        for c in classes[1:]:
            other = self._keys[c]
            while low != other:
                if self._depths[low] >= self._depths[other]:
                    low = parent(tree, low) or ROOT
                else:
                    other = parent(tree, other) or ROOT
        return low


def conflict_data(taxonomy: Taxonomy) -> list[dict[str, Any]]:
    """Each disagreement of the sources as a sentence, with the classes it concerns (indices)."""
    number = {c.id: i for i, c in enumerate(taxonomy.classes)}
    return [
        {
            "kind": c.kind,
            "names": sorted({c.subject, c.kept, c.lost}),
            "text": c.sentence(),
            "classes": [number[one] for one in c.classes if one in number],
        }
        for c in taxonomy.conflicts
    ]


def nest_data(source: Source, nest: Nest) -> list[dict[str, Any]]:
    """The levels of a nesting: columns over the groups of each."""
    from hiergen.explore.terms import group_terms

    facts, levels = GroupFacts(source), []
    for level, terms in zip(nest.levels, group_terms(nest, source.ids), strict=True):
        more = [facts.of(group) for group in level]
        levels.append(
            plain(
                {
                    "name": [g.name for g in level],
                    "parent": [g.parent for g in level],
                    "kind": [g.kind for g in level],
                    "origin": [g.origin for g in level],
                    "term": [term for term, _ in terms],
                    "acts": [acts for _, acts in terms],
                    **{what: [m.get(what, "") for m in more] for what in ("synset", "wnid", "gloss", "also")},
                }
            )
        )
    return levels
