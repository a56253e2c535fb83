"""Hand-edited groups: a mapping of group → members becomes a tree over the classes.

A member is a class (id or name), another group of the same block, or a synset or word that stands for every class at
or below it. A class named outright outweighs a synset that merely covers it, and a closer synset outweighs a wider
one; both are recorded. Two equal claims on one class are an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hiergen.errors import HiergenError, TaxonomyError, listed, nearest, quoted
from hiergen.taxonomy.classes import ClassEntry
from hiergen.taxonomy.group_file import Group, group_parents, read_groups
from hiergen.taxonomy.tree import (
    ROOT,
    Conflict,
    Node,
    Provenance,
    Tree,
    ancestors,
    class_key,
    class_sizes,
    new_tree,
)
from hiergen.taxonomy.wordnet.nouns import WordNet
from hiergen.taxonomy.yamlfile import Document, Key

SOURCE = "groups"
_Covered = list[tuple[ClassEntry, int]]


@dataclass(frozen=True)
class _Claim:
    """How far the member is from the class: 0 named outright, else steps up to the synset that covers it."""

    distance: int
    group: str
    place: str
    member: str


def groups_tree(
    data: dict[str, Any],
    key: Key,
    document: Document,
    classes: tuple[ClassEntry, ...],
    wordnet: WordNet,
    report: Callable[[HiergenError], None],
) -> tuple[Tree, list[Conflict]]:
    """One `groups:` block as root → groups → classes, not contracted (classes that no group names are absent), and its
    conflicts.

    Reports unknown members, classes or groups in two groups, groups that are empty or contain each other.
    """
    groups = read_groups(data, key, document, report)
    ids = {c.id for c in classes}
    for name in sorted(ids & set(groups)):
        text = f"{quoted(name)} is both a group and a class"
        report(TaxonomyError(text, place=groups[name].place, hint="rename the group", code="E206"))
    members = _Members(groups, classes, wordnet, report)
    claims: dict[str, list[_Claim]] = {}
    blamed: set[str] = set()
    for group in groups.values():
        for text, place in group.members:
            if text in groups:
                group.subgroups.append((text, place))
                continue
            covered = members.classes(text, place, group.name)
            if not covered:
                blamed.add(group.name)
            for entry, distance in covered:
                claims.setdefault(entry.id, []).append(_Claim(distance, group.name, place, text))
    return _build(groups, classes, claims, blamed, report)


def _build(
    groups: dict[str, Group],
    classes: tuple[ClassEntry, ...],
    claims: dict[str, list[_Claim]],
    blamed: set[str],
    report: Callable[[HiergenError], None],
) -> tuple[Tree, list[Conflict]]:
    """`blamed`: groups of which something was reported already; that they end up empty is no news."""
    tree = new_tree({class_key(c.id): i for i, c in enumerate(classes)})
    conflicts: list[Conflict] = []
    parents = group_parents(groups, report)
    for name in groups:
        tree.add_node(f"group:{name}", info=Node("group", name, name))
    for name, group in groups.items():
        above, place = parents.get(name, (None, group.place))
        home = ROOT if above is None else f"group:{above}"
        tree.add_edge(home, f"group:{name}", why=Provenance(SOURCE, place))
    for entry in classes:
        if entry.id in claims:
            claim = _decide(entry, claims[entry.id], conflicts, blamed, report)
            tree.add_node(class_key(entry.id), info=Node("class", entry.id, entry.name, entry.synset))
            tree.add_edge(f"group:{claim.group}", class_key(entry.id), why=Provenance(SOURCE, claim.place))
    blamed |= {name for name, group in groups.items() if not group.members and not group.subgroups}
    for name in list(blamed):
        blamed.update(above.removeprefix("group:") for above in ancestors(tree, f"group:{name}"))
    sizes = class_sizes(tree)
    for name, group in groups.items():
        if not sizes[f"group:{name}"] and name not in blamed:
            text = f"group {quoted(name)} ends up empty: closer groups took all its classes"
            report(TaxonomyError(text, place=group.place, code="E203"))
    return tree, conflicts


def _decide(
    entry: ClassEntry,
    claims: list[_Claim],
    conflicts: list[Conflict],
    blamed: set[str],
    report: Callable[[HiergenError], None],
) -> _Claim:
    """The one group that gets the class; weaker claims become conflicts."""
    best, *others = sorted(claims, key=lambda c: c.distance)
    for other in others:
        if other.group == best.group:
            continue
        if other.distance == best.distance:
            blamed.add(other.group)
            report(
                TaxonomyError(
                    f"class {quoted(entry.id)} is in groups {quoted(best.group)} and {quoted(other.group)}",
                    place=other.place,
                    hint=f"the other claim stands at {best.place}; name the class in one of them only",
                    code="E202",
                )
            )
            continue
        conflicts.append(
            Conflict(
                kind="member",
                subject=entry.name,
                kept=f"{best.group} ({best.member})",
                kept_by=str(Provenance(SOURCE, best.place)),
                lost=f"{other.group} ({other.member})",
                lost_by=str(Provenance(SOURCE, other.place)),
                rule="the closer member wins",
                classes=(entry.id,),
            )
        )
    return best


class _Members:
    """Turns the text of a member into the classes it stands for."""

    def __init__(
        self,
        groups: dict[str, Group],
        classes: tuple[ClassEntry, ...],
        wordnet: WordNet,
        report: Callable[[HiergenError], None],
    ) -> None:
        self._groups = groups
        self._wordnet = wordnet
        self._report = report
        self._by_name: dict[str, list[ClassEntry]] = {}
        for entry in classes:
            self._by_name.setdefault(entry.name, []).append(entry)
        self._by_name.update({entry.id: [entry] for entry in classes})  # an id wins over a name
        self._below: dict[str, _Covered] = {}  # synset → classes at or below it, with their distance
        for entry in classes:
            for above, steps in _steps_up(entry.synset, wordnet).items():
                distance = steps if entry.exact or steps else 1
                self._below.setdefault(above, []).append((entry, distance))

    def classes(self, text: str, place: str, group: str) -> _Covered:
        """(class, distance) for each class that the member means; empty after a report."""
        named = self._by_name.get(text, [])
        if len(named) == 1:
            return [(named[0], 0)]
        member_place = f"{quoted(text)} in group {quoted(group)}"
        if named:
            return self._refuse(
                f"{member_place} names {len(named)} classes", place, f"one of {listed(c.id for c in named)}"
            )
        wnid = self._wordnet.resolve(text)
        if wnid is not None:
            covered = self._below.get(wnid, [])
            if not covered:
                return self._refuse(
                    f"{member_place} covers no class of this taxonomy", place, "a synset at or above a class"
                )
            return covered
        covering = [s for s in self._wordnet.senses(text) if s in self._below]
        if len(covering) == 1:
            return self._below[covering[0]]
        if covering:
            names = ", ".join(self._wordnet.synset_name(s) for s in covering)
            return self._refuse(f"{member_place} has several senses here", place, f"one of {names}")
        all_names = [*self._groups, *self._by_name]
        return self._refuse(
            f"{member_place} is no class, group or synset with classes",
            place,
            None,
            nearest(text, all_names) or self._wordnet.nearest_names(text[:100]),
        )

    def _refuse(self, problem: str, place: str, expected: str | None, near: tuple[str, ...] = ()) -> _Covered:
        self._report(TaxonomyError(problem, place=place, expected=expected, nearest=near, code="E201"))
        return []


def _steps_up(wnid: str | None, wordnet: WordNet) -> dict[str, int]:
    """Every synset at or above `wnid` → the fewest steps to it."""
    steps = {wnid: 0} if wnid else {}
    queue = list(steps)
    for current in queue:
        for above in wordnet.hypernyms(current):
            if above not in steps:
                steps[above] = steps[current] + 1
                queue.append(above)
    return steps
