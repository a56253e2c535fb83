"""How alike the classes are by WordNet: Wu–Palmer and path similarity of all pairs at once.

Values are nltk's (`Synset.wup_similarity`, `Synset.path_similarity`), from upward distances to all ancestors instead of
one search per pair: 1000 classes take seconds, not hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hiergen.errors import HiergenError, TaxonomyError, nearest, quoted
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.synsets import nesting_synsets
from hiergen.taxonomy.tree import ancestors, class_key, info
from hiergen.taxonomy.wordnet.nouns import WordNet, default

Measure = Literal["wu-palmer", "path"]
MEASURES: tuple[Measure, ...] = ("wu-palmer", "path")
_ROOT = "*ROOT*"  # over WordNets of several roots; never a name of theirs
_FAR = np.int32(1 << 20)


def wordnet_similarity(taxonomy: Taxonomy, how: Measure = "wu-palmer") -> NDArray[np.float64]:
    """Similarity of all pairs of a taxonomy's classes, `(n, n)`, symmetric, 0 < value <= 1, 1 on the diagonal.

    `wu-palmer`: 2·depth(lcs) / (depth(a) + depth(b)) through the lowest common subsumer (Wu & Palmer, ACL 1994, as
    nltk reads it); `path`: 1 / (1 + edges of the shortest path). A class that is only a kind of its synset counts as
    a hyponym of it. A class that WordNet has not hangs, with the groups of the merged tree down to it, below the
    lowest common hypernym of the classes that share its lowest group with such classes.
    Raises HiergenError for another measure, TaxonomyError for a WordNet with a cycle.
    """
    homes, chains = _homes(taxonomy)
    return _similarity(homes, chains, taxonomy.wordnet, how)


def wordnet_homes(taxonomy: Taxonomy) -> list[tuple[str | None, bool]]:
    """The synset of each class and whether the class is that synset itself; of a class that WordNet has not the synset
    that `wordnet_similarity` hangs it below (None: the root)."""
    homes, chains = _homes(taxonomy)
    inside = _inside(homes, chains)
    anchors: list[tuple[str | None, bool]] = []
    for (synset, exact), chain in zip(homes, chains, strict=True):
        anchor = synset if synset is not None else _anchor(chain, inside, taxonomy.wordnet, "")[0] or None
        anchors.append((anchor, exact and synset is not None))
    return anchors


def outside_wordnet(classes: Taxonomy | Nesting) -> int:
    """How many classes WordNet has not: where that is all of them, a similarity says no more than the groups that they
    hang in."""
    if isinstance(classes, Taxonomy):
        return sum(c.synset is None for c in classes.classes)
    return sum(synset is None for synset, _ in nesting_synsets(classes, default()))


def _homes(taxonomy: Taxonomy) -> tuple[list[tuple[str | None, bool]], list[list[_Above]]]:
    """Synset of each class, and the groups of the merged tree over it, top down."""
    tree, chains = taxonomy.tree, []
    for c in taxonomy.classes:
        above = list(ancestors(tree, class_key(c.id)))[1:-1][::-1]
        chains.append([_Above(key, info(tree, key).synset) for key in above])
    return [(c.synset, c.exact) for c in taxonomy.classes], chains


def nesting_similarity(nesting: Nesting, how: Measure = "wu-palmer") -> NDArray[np.float64]:
    """The same `(n, n)` where only a nesting is known (a generated file): its synsets, else those of ids and labels.

    Classes that WordNet has not hang below the nesting's own groups.
    """
    wordnet = default()
    homes = nesting_synsets(nesting, wordnet)
    chains = [
        [_Above(f"{j}:{level.of[c]}", None) for j, level in enumerate(nesting.levels)]
        for c in range(len(nesting.classes))
    ]
    return _similarity(homes, chains, wordnet, how)


@dataclass(frozen=True)
class _Above:
    """A group over a class: its key, and its synset where it is one."""

    key: str
    synset: str | None


def _similarity(
    homes: Sequence[tuple[str | None, bool]], chains: Sequence[Sequence[_Above]], wordnet: WordNet, how: Measure
) -> NDArray[np.float64]:
    if how not in MEASURES:
        raise HiergenError(
            f"no similarity {quoted(how)}", expected=" or ".join(MEASURES), nearest=nearest(how, MEASURES)
        )
    nodes, places = _placed(homes, chains, wordnet)
    graph = _Ancestry.of(nodes, wordnet)
    at = np.array([graph.index[place] for place in places])
    return graph.wu_palmer(at) if how == "wu-palmer" else graph.path(at)


def _placed(
    homes: Sequence[tuple[str | None, bool]], chains: Sequence[Sequence[_Above]], wordnet: WordNet
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Node → hypernyms for all that the classes need, and the node of each class."""
    needed = {synset for synset, _ in homes}
    needed |= {
        group.synset for (synset, _), chain in zip(homes, chains, strict=True) if synset is None for group in chain
    }
    nodes = wordnet.closure(sorted(synset for synset in needed if synset is not None))
    roots = [wnid for wnid, above in nodes.items() if not above]
    top = roots[0] if len(roots) == 1 else _ROOT
    if top == _ROOT:
        nodes.update(dict.fromkeys(roots, (_ROOT,)))
        nodes[_ROOT] = ()
    inside = _inside(homes, chains)
    places: list[str] = []
    for c, ((synset, exact), chain) in enumerate(zip(homes, chains, strict=True)):
        if synset is not None and exact:
            places.append(synset)
            continue
        above, free = (synset, []) if synset is not None else _anchor(chain, inside, wordnet, top)
        for key in (*free, f"class {c}"):
            nodes.setdefault(key, (str(above),))
            above = key
        places.append(str(above))
    return nodes, places


def _inside(homes: Sequence[tuple[str | None, bool]], chains: Sequence[Sequence[_Above]]) -> dict[str, set[str]]:
    """Group → synsets of its classes."""
    inside: dict[str, set[str]] = {}
    for (synset, _), chain in zip(homes, chains, strict=True):
        for group in chain if synset is not None else ():
            inside.setdefault(group.key, set()).add(str(synset))
    return inside


def _anchor(
    chain: Sequence[_Above], inside: Mapping[str, set[str]], wordnet: WordNet, top: str
) -> tuple[str, list[str]]:
    """Where a class that WordNet has not hangs, and its own groups below that, top down."""
    free: list[str] = []
    for group in reversed(chain):
        if group.synset is not None:
            return group.synset, free[::-1]
        if synsets := inside.get(group.key):
            return _lowest_common(synsets, wordnet, top), free[::-1]
        free.append(f"group {group.key}")
    return top, free[::-1]


def _lowest_common(synsets: set[str], wordnet: WordNet, top: str) -> str:
    """The deepest proper common hypernym."""
    shared = set.intersection(*({*wordnet.closure([synset])} - {synset} for synset in synsets))
    return max(sorted(shared), key=wordnet.depth, default=top)


@dataclass(frozen=True)
class _Ancestry:
    """The hypernym graph of m nodes. `up[i, a]`: edges of the shortest way up from i to a, `_FAR` if there is none."""

    index: dict[str, int]
    up: NDArray[np.int32]
    shortest: NDArray[np.int32]
    longest: NDArray[np.int32]
    order: NDArray[np.int64]

    @classmethod
    def of(cls, nodes: Mapping[str, tuple[str, ...]], wordnet: WordNet) -> _Ancestry:
        try:
            names = list(TopologicalSorter(nodes).static_order())  # hypernyms first
        except CycleError as error:
            cycle = " > ".join(error.args[1])
            raise TaxonomyError(f"hypernyms in a cycle: {cycle}", place=wordnet.path) from None
        index = {name: i for i, name in enumerate(names)}
        up = np.full((len(names), len(names)), _FAR, dtype=np.int32)
        shortest, longest = np.zeros(len(names), np.int32), np.zeros(len(names), np.int32)
        for i, name in enumerate(names):
            above = [index[key] for key in nodes[name]]
            if above:
                up[i] = np.minimum(up[above].min(0) + 1, _FAR)
                shortest[i], longest[i] = shortest[above].min() + 1, longest[above].max() + 1
            up[i, i] = 0
        # nltk's choice of a subsumer: the largest shortest depth, among equals the first by name
        titles = {name: wordnet.synset_name(name) if name[:1] == "n" and name[1:].isdigit() else name for name in names}
        ranked = sorted(names, key=titles.__getitem__, reverse=True)
        order = np.array(sorted((index[name] for name in ranked), key=lambda i: int(shortest[i])), dtype=np.int64)
        return cls(index, up, shortest, longest, order)

    def _below(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Each node at or above some of these rows, in `order`, with their numbers."""
        reach = self.up[rows] < _FAR
        for a in self.order:
            if len(below := np.flatnonzero(reach[:, a])):
                yield int(a), below

    def between(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int32]:
        """Edges of the shortest path over any common ancestor, `(rows, columns)`."""
        edges = np.full((len(rows), len(columns)), _FAR, dtype=np.int32)
        reach_rows, reach_columns = self.up[rows] < _FAR, self.up[columns] < _FAR
        for a in range(len(self.up)):
            i, j = np.flatnonzero(reach_rows[:, a]), np.flatnonzero(reach_columns[:, a])
            if len(i) and len(j):
                block = np.ix_(i, j)
                edges[block] = np.minimum(edges[block], self.up[rows[i], a][:, None] + self.up[columns[j], a][None, :])
        return edges

    def path(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        similarity: NDArray[np.float64] = 1.0 / (1.0 + self.between(rows, rows).astype(np.float64))
        return similarity

    def wu_palmer(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        n = len(rows)
        subsumer = np.empty((n, n), dtype=np.int64)
        for a, i in self._below(rows):
            subsumer[np.ix_(i, i)] = a
        # of several subsumers equally deep one that is a class of the pair goes first
        is_subsumer = (self.up[np.ix_(rows, rows)] < _FAR) & (self.shortest[rows][None, :] == self.shortest[subsumer])
        subsumer = np.where(is_subsumer, rows[None, :], np.where(is_subsumer.T, rows[:, None], subsumer))
        used, inverse = np.unique(subsumer, return_inverse=True)
        ways = self.between(rows, used)[np.arange(n)[:, None], inverse.reshape(n, n)]
        depth = self.longest[subsumer] + 1.0
        similarity: NDArray[np.float64] = 2 * depth / (ways + ways.T + 2 * depth)
        # by nltk a class with a shortcut to the root is not wholly like itself: its subsumer then lies above it
        np.fill_diagonal(similarity, 1.0)
        return similarity
