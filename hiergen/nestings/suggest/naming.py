"""Names for the groups of a suggested nesting."""

from __future__ import annotations

from collections import Counter
from itertools import chain

from hiergen.nestings.suggest.evidence import Evidence
from hiergen.taxonomy.groupnames import FreeNames, GroupNamer
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.naming import slug
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.tree import ROOT, bottom_up, info


def name_groups(taxonomy: Taxonomy, nesting: Nesting, evidence: Evidence | None = None) -> Nesting:
    """The same nesting, its groups named: as the group of the file's merged tree that holds the same classes, else as
    `GroupNamer` says, by the evidence's similarity. Two groups of one name become "dog like pug", "dog like beagle".
    """
    namer = GroupNamer(
        taxonomy.classes,
        taxonomy.wordnet,
        given=_tree_names(taxonomy),
        similarity=None if evidence is None else evidence.similarity,
    )
    free = _free(taxonomy)
    titles = []
    for level in nesting.levels:
        groups = level.members
        plain = [namer.plain(group) for group in groups]
        count = Counter(slug(name) for name in plain if name is not None)
        names = []
        for name, group in zip(plain, groups, strict=True):
            plain_name = [name] if name is not None and count[slug(name)] == 1 else []
            names.append(free.take(chain(plain_name, namer.alike(group, name))))
        titles.append(names)
    return nesting.renamed(titles)


def number_groups(taxonomy: Taxonomy, nesting: Nesting) -> Nesting:
    """The same nesting, its groups called "mixture a", "mixture a1", "mixture a1.1" …: for groups that mean nothing."""
    free = _free(taxonomy)
    titles: list[list[str]] = []
    marks: list[str] = []
    for j in range(len(nesting.levels)):
        count: Counter[int] = Counter()
        below = []
        for parent in nesting.above(j + 1):
            count[parent] += 1
            number = count[parent]
            above = marks[parent] if j else ""
            below.append(_letters(number) if j == 0 else f"{above}{number}" if j == 1 else f"{above}.{number}")
        marks = below
        titles.append([free.take([f"mixture {mark}"]) for mark in marks])
    return nesting.renamed(titles)


def clean_names(taxonomy: Taxonomy, nesting: Nesting) -> Nesting:
    """The same nesting with every name that a taxonomy file could not have replaced by the nearest that it can: no two
    groups, and no group and class, become the same identifier."""
    free = _free(taxonomy)
    return nesting.renamed([[free.take([name]) for name in level.names] for level in nesting.levels])


def _free(taxonomy: Taxonomy) -> FreeNames:
    return FreeNames(text for c in taxonomy.classes for text in (c.id, c.name))


def _letters(number: int) -> str:
    """1 → a, 26 → z, 27 → aa."""
    text = ""
    while number:
        number, letter = divmod(number - 1, 26)
        text = chr(ord("a") + letter) + text
    return text


def _tree_names(taxonomy: Taxonomy) -> dict[frozenset[int], str]:
    """Set of classes → name of the group of the merged tree that holds exactly them."""
    tree = taxonomy.tree
    order: dict[str, int] = tree.graph["order"]
    held: dict[str, frozenset[int]] = {}
    names: dict[frozenset[int], str] = {}
    for key in bottom_up(tree):
        itself = [order[key]] if key in order else []
        held[key] = frozenset(itself).union(*(held[child] for child in tree.succ[key]))
        if key != ROOT and key not in order:
            names.setdefault(held[key], info(tree, key).name)
    return names
