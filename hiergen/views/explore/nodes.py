"""What is known of each class and group besides its costs: synset, gloss, other names, who put it there, conflicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

from hiergen.errors import HiergenError
from hiergen.lookup.select import key_of
from hiergen.taxonomy.checks import DOUBTFUL
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.nesting import Group, Nesting
from hiergen.taxonomy.senses import describe
from hiergen.taxonomy.synsets import nesting_synsets
from hiergen.taxonomy.tree import ROOT, Tree, bottom_up, class_key, class_sizes, depths, info, parent, provenance
from hiergen.taxonomy.wordnet.nouns import WordNet, default
from hiergen.views.explore.read import Source, plain


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
        origins = [str(provenance(tree, class_key(c)) or "") for c in source.ids]
        texts = sorted(set(origins))
        number = {text: i for i, text in enumerate(texts)}
        table["origins"], table["origin"] = texts, [number[text] for text in origins]
        table["path"] = _paths(tree, source.ids)
        guesses = [(i, c.guess) for i, c in enumerate(source.taxonomy.classes) if c.guess and c.guess.is_doubtful]
        table["notes"] = {i: describe(sense, wordnet) for i, sense in guesses}
        table["guessed"] = [i for i, sense in guesses if sense.doubt >= DOUBTFUL]
    return table


def _synsets(source: Source, wordnet: WordNet) -> list[tuple[str | None, bool]]:
    if source.taxonomy is None:
        return nesting_synsets(source.nestings[0], wordnet)
    return [(c.synset, c.exact) for c in source.taxonomy.classes]


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

    def of(self, group: Group) -> dict[str, Any]:
        """`synset`, `wnid`, `gloss`, `also` where WordNet has them."""
        wnid = self._synset(group)
        if wnid is None:
            return {}
        return {
            "synset": self._wordnet.synset_name(wnid),
            "wnid": wnid,
            "gloss": self._wordnet.gloss(wnid),
            "also": ", ".join(self._wordnet.lemmas(wnid)),
        }

    def _synset(self, group: Group) -> str | None:
        if self._taxonomy is None or group.kind != "node":
            return None
        tree = self._taxonomy.tree
        node = self._cover(tree, group.classes)
        if node == ROOT or self._sizes[node] != len(group.classes):
            return None
        node_info = info(tree, node)
        for text in (node_info.synset, node_info.id):
            if text is None:
                continue
            try:
                wnid = self._wordnet.resolve(text)
            except HiergenError:
                wnid = None
            if wnid is not None:
                return wnid
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


def nesting_data(source: Source, nesting: Nesting) -> list[dict[str, Any]]:
    """The levels of a nesting: columns over the groups of each."""

    facts, levels = GroupFacts(source), []
    for level, terms in zip(nesting.levels, group_terms(nesting, source.ids), strict=True):
        more = [facts.of(group) for group in level.groups]
        levels.append(
            plain(
                {
                    **{key: [getattr(g, key) for g in level.groups] for key in ("name", "parent", "kind", "origin")},
                    "term": [term for term, _ in terms],
                    "acts": [acts for _, acts in terms],
                    **{what: [m.get(what, "") for m in more] for what in ("synset", "wnid", "gloss", "also")},
                }
            )
        )
    return levels


def group_terms(nesting: Nesting, ids: Sequence[str]) -> list[list[tuple[str | None, int]]]:
    """By level and group: a term, and the level whose branch a gain on that term acts in (from 1).

    The name where it is one group's alone (or that of a chain with the same classes, whose highest branch it then
    means), else the path from level 1; None where neither is clear.
    """
    taken = {key_of(one) for one in ids}
    members: dict[str, set[tuple[int, ...]]] = {}
    highest: dict[str, int] = {}
    for j, level in enumerate(nesting.levels, 1):
        for group in level.groups:
            members.setdefault(group.name, set()).add(group.classes)
            highest.setdefault(group.name, j)
    paths = [["/" + "/".join(nesting.path(j, i)) for i in range(count)] for j, count in enumerate(nesting.counts, 1)]
    times = Counter(key_of(path).strip("/") for level in paths for path in level)
    names = {key_of(name) for name in members}

    def term(j: int, i: int, name: str) -> tuple[str | None, int]:
        if key_of(name) not in taken and len(members[name]) == 1:
            return name, highest[name]
        path = paths[j - 1][i] if j == 1 else paths[j - 1][i].removeprefix("/")
        full, bare = key_of(path), key_of(path).strip("/")
        clear = times[bare] == 1 and full not in names and not (j > 1 and {full, bare} & taken)
        return (path, j) if clear else (None, j)

    return [[term(j, i, name) for i, name in enumerate(level.names)] for j, level in enumerate(nesting.levels, 1)]


def comma_pieces(names: Sequence[str]) -> frozenset[str]:
    """Keys of the pieces of names that hold commas: next to another term, such a piece may be read as part of one."""
    return frozenset(
        piece
        for name in names
        if "," in name
        for text in (name, name.rpartition("/")[2], name.partition("/")[0])
        for piece in map(key_of, text.split(","))
    )


def moves_data(first: Source, nestings: Sequence[Nesting], counts: Sequence[int]) -> list[dict[str, Any]]:
    """For pairs of nestings (those of different sources where there are two): their levels side by side, and of each
    pair of levels the classes that are not in their group's partner.

    `counts[s]` is the number of nestings of source s; they stand in `nestings` one source after the other.
    """
    from hiergen.nestings.compare.agreement import matched_levels, moves

    owner = [s for s, count in enumerate(counts) for _ in range(count)]
    nestings = [nesting.in_class_order(first.ids) for nesting in nestings]
    pairs_data = []
    for i, j in combinations(range(len(nestings)), 2):
        a, b = nestings[i], nestings[j]
        if not a.levels or not b.levels or (len(counts) > 1 and owner[i] == owner[j]):
            continue
        pairs = []
        for x, y in matched_levels(a, b):
            done = moves(a.levels[x], b.levels[y])
            pairs.append({"first": x, "second": y, "moved": sorted(m.index for m in done.moved)})
        pairs_data.append({"first": i, "second": j, "levels": pairs})
    return pairs_data
