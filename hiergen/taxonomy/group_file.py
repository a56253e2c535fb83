"""The shape of a `groups:` block: mappings and lists of the YAML file → groups with members, places and parents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hiergen.errors import HiergenError, TaxonomyError, listed, quoted
from hiergen.taxonomy.naming import bad_label, first_clash
from hiergen.taxonomy.yamlfile import Document, Key

Report = Callable[[HiergenError], None]


@dataclass
class Group:
    """One group as written: its own members and the groups inside it, each with its place ("file:line")."""

    name: str
    place: str
    members: list[tuple[str, str]] = field(default_factory=list)
    subgroups: list[tuple[str, str]] = field(default_factory=list)


def read_groups(data: dict[str, Any], key: Key, document: Document, report: Report) -> dict[str, Group]:
    """All groups of one block by name, in the file's order. A member may be text, or a mapping of further groups."""
    groups: dict[str, Group] = {}
    if not data:
        report(TaxonomyError("'groups' is empty", place=document.place(key), expected="name: [members]", code="E203"))
    stack: list[tuple[str, Any, Key]] = [(name, members, (*key, name)) for name, members in reversed(data.items())]
    while stack:
        name, members, where = stack.pop()
        place = document.place(where)
        if problem := _name_problem(name, groups):
            report(TaxonomyError(problem[0], place=place, expected=problem[1], code=problem[2]))
            continue
        group = groups[name] = Group(name, place)
        inner: list[tuple[str, Any, Key]] = []
        for member, at in _members(members, where):
            if isinstance(member, str):
                group.members.append((member, document.place(at)))
            elif isinstance(member, dict) and member:
                inner += [(sub, value, at if at[-1] == sub else (*at, sub)) for sub, value in member.items()]
            else:
                kind = "a list" if isinstance(member, list) else "nothing"
                text = f"a member of group {quoted(name)} is {kind}"
                expected = "a class, synset, word or group"
                report(TaxonomyError(text, place=document.place(at), expected=expected, code="E201"))
        group.subgroups += [(sub, document.place(at)) for sub, _, at in inner]
        stack += inner[::-1]
        if not group.members and not group.subgroups:
            error = TaxonomyError(
                f"group {quoted(name)} is empty", place=place, expected="at least one member", code="E203"
            )
            report(error)
    if clash := first_clash(groups):
        place = groups[clash[1]].place
        text = f"groups {listed(clash)} become the same identifier"
        report(TaxonomyError(text, place=place, hint="rename one", code="E104"))
    return groups


def _name_problem(name: str, groups: dict[str, Group]) -> tuple[str, str, str] | None:
    if problem := bad_label(name):
        return f"group {quoted(name)} is {problem}", "printable text", "E103"
    if name in groups:
        return f"group {quoted(name)} stands twice", f"once (the first stands at {groups[name].place})", "E205"
    return None


def _members(members: Any, key: Key) -> Iterator[tuple[Any, Key]]:
    if isinstance(members, dict):
        yield from (({name: value}, (*key, name)) for name, value in members.items())
    elif isinstance(members, list):
        yield from ((member, (*key, i)) for i, member in enumerate(members))
    elif members is not None:
        yield members, key


def group_parents(groups: dict[str, Group], report: Report) -> dict[str, tuple[str, str]]:
    """Group → (the group it is in, place). Reports groups in two groups, and groups that contain each other."""
    parents: dict[str, tuple[str, str]] = {}
    for group in groups.values():
        for name, place in group.subgroups:
            if name not in groups:
                continue  # reported where it was read
            if name in parents and parents[name][0] != group.name:
                text = f"group {quoted(name)} is in groups {quoted(parents[name][0])} and {quoted(group.name)}"
                report(TaxonomyError(text, place=place, hint=f"the other stands at {parents[name][1]}", code="E205"))
                continue
            parents[name] = (group.name, place)
    clear: set[str] = set()  # groups that have no loop above them
    for start in list(parents):
        way = {start: None}
        at = start
        while at in parents and at not in clear:
            above = parents[at][0]
            if above in way:
                names = list(way)
                loop = " → ".join(quoted(name) for name in [*names[names.index(above) :], above][:8])
                place = parents.pop(above)[1]
                report(TaxonomyError(f"groups contain each other: {loop}", place=place, code="E204"))
                break
            way[above] = None
            at = above
        clear.update(way)
    return parents
