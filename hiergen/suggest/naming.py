"""Names for groups that were found, not chosen: readable, distinct, and fit to stand in a taxonomy file."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from hiergen.partitions.grouping import Grouping, Level
from hiergen.suggest.evidence import Evidence
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.naming import bad_label, slug
from hiergen.taxonomy.synsets import Coverage
from hiergen.taxonomy.tree import ROOT, bottom_up, info

LONGEST = 80  # characters of a group's name
SAYS, MOST = 0.5, 0.6  # the F1 score from which a hypernym says something of a group, and the share "mostly" needs


def name_groups(taxonomy: Taxonomy, grouping: Grouping, evidence: Evidence | None = None) -> Grouping:
    """The same nesting, its groups named.

    A group that the file's merged tree has too keeps its name there. Else the WordNet synset that fits it best gives
    the name, as the lowest common hypernym does in NBDT (Wan et al. 2020): that with the best F1 score of its classes
    against the group's, if it is at least 0.5; "mostly dog" where it covers not all of them. Else the most central
    class by the evidence (without one, the first): "like tabby". Two groups of one name become "dog like pug".
    """
    namer = _Namer(taxonomy, evidence)
    taken = _taken(taxonomy)
    levels = []
    for level in grouping.levels:
        groups = level.members()
        plain = [namer.name(group) for group in groups]
        count = Counter(slug(name) for name in plain if name is not None)
        names = []
        for name, group in zip(plain, groups, strict=True):
            tries = [f"like {c}" if name is None else f"{name} like {c}" for c in namer.central(group)]
            if name is not None and count[slug(name)] == 1:
                tries.insert(0, name)
            names.append(_free(tries, taken))
        levels.append(Level(tuple(names), level.of))
    return replace(grouping, levels=tuple(levels))


def number_groups(taxonomy: Taxonomy, grouping: Grouping, word: str = "mixture") -> Grouping:
    """The same nesting, its groups called "mixture a", "mixture a1", "mixture a1.1" …: for groups that mean nothing."""
    taken = _taken(taxonomy)
    levels: list[Level] = []
    marks: list[str] = []
    for j, level in enumerate(grouping.levels):
        count: Counter[int] = Counter()
        below = []
        for parent in grouping.parents(j):
            count[parent] += 1
            number = count[parent]
            above = marks[parent] if j else ""
            below.append(_letters(number) if j == 0 else f"{above}{number}" if j == 1 else f"{above}.{number}")
        marks = below
        levels.append(Level(tuple(_free([f"{word} {mark}"], taken) for mark in marks), level.of))
    return replace(grouping, levels=tuple(levels))


def clean_names(taxonomy: Taxonomy, grouping: Grouping) -> Grouping:
    """The same nesting with every name that a taxonomy file could not have replaced by the nearest that it can: no two
    groups, and no group and class, become the same identifier."""
    taken = _taken(taxonomy)
    levels = []
    for level in grouping.levels:
        levels.append(Level(tuple(_free([name], taken) for name in level.names), level.of))
    return replace(grouping, levels=tuple(levels))


def printable(text: str) -> str:
    """One line of text that YAML may hold anywhere: what no YAML file may contain becomes a question mark."""
    return "".join(c if c == " " or c.isprintable() else " " if c.isspace() else "?" for c in text).strip()


def _taken(taxonomy: Taxonomy) -> set[str]:
    """Slugs of the classes' ids and names, which no group may have."""
    return {slug(text) for c in taxonomy.classes for text in (c.id, c.name)}


def _free(tries: Sequence[str], taken: set[str]) -> str:
    """The first that is free, else the first with a number; it is then taken."""
    cleaned = [_cleaned(name) for name in tries]
    numbered = (f"{cleaned[0]} {number}" for number in range(2, len(taken) + 3))
    for name in (*cleaned, *numbered):
        if slug(name) not in taken:
            taken.add(slug(name))
            return name
    raise AssertionError("more numbers than names")


def _cleaned(name: str) -> str:
    """A label that `bad_label` finds nothing against."""
    kept = "".join(c if not unicodedata.category(c).startswith("C") else " " for c in name)
    kept = " ".join(kept.split())
    if len(kept) > LONGEST:
        kept = kept[: LONGEST - 1].rstrip() + "…"
    return kept if bad_label(kept) is None else "group"


def _letters(number: int) -> str:
    """1 → a, 26 → z, 27 → aa."""
    text = ""
    while number:
        number, letter = divmod(number - 1, 26)
        text = chr(ord("a") + letter) + text
    return text


class _Namer:
    def __init__(self, taxonomy: Taxonomy, evidence: Evidence | None) -> None:
        self._classes = taxonomy.classes
        self._wordnet = taxonomy.wordnet
        self._similarity = None if evidence is None else evidence.similarity
        coverage = Coverage([c.synset for c in taxonomy.classes], taxonomy.wordnet)
        self._below = {wnid: frozenset(coverage.below(wnid)) for wnid in coverage.synsets()}
        self._depth: Callable[[str], int] = self._wordnet.depth
        self._known = _tree_names(taxonomy)

    def name(self, group: Sequence[int]) -> str | None:
        """A name from the file's tree or from WordNet, or None."""
        members = frozenset(group)
        if members in self._known:
            return self._known[members]
        found: list[tuple[float, float, str]] = []
        for wnid in self._above(members):
            below = self._below[wnid]
            both = len(members & below)
            score = 2 * both / (len(members) + len(below))
            if both > 1 and score >= SAYS and both >= MOST * len(members):
                found.append((score, both / len(members), wnid))
        if not found:
            return None
        best = max((score, share) for score, share, _ in found)
        deepest = min((-self._depth(wnid), wnid) for score, share, wnid in found if (score, share) == best)[1]
        lemma = self._wordnet.lemmas(deepest)[0]
        return lemma if best[1] == 1 else f"mostly {lemma}"

    def central(self, group: Sequence[int]) -> list[str]:
        """Display names of the group's classes, that which is most like the others first."""
        order = list(range(len(group)))
        if self._similarity is not None and len(group) > 2:
            inside = self._similarity[np.ix_(group, group)].copy()
            np.fill_diagonal(inside, 0)
            order = [int(i) for i in np.argsort(-inside.sum(axis=1), kind="stable")]
        return [self._classes[group[i]].name for i in order]

    def _above(self, members: Iterable[int]) -> list[str]:
        synsets = sorted({s for i in members if (s := self._classes[i].synset) is not None})
        return list(self._wordnet.closure(synsets))


def _tree_names(taxonomy: Taxonomy) -> dict[frozenset[int], str]:
    """Set of classes → name of the group of the merged tree that holds exactly them."""
    tree = taxonomy.tree
    order: dict[str, int] = tree.graph["order"]
    held: dict[str, frozenset[int]] = {}
    names: dict[frozenset[int], str] = {}
    for key in bottom_up(tree):
        own = [order[key]] if key in order else []
        held[key] = frozenset(own).union(*(held[child] for child in tree.succ[key]))
        if key != ROOT and key not in order:
            names.setdefault(held[key], info(tree, key).name)
    return names
