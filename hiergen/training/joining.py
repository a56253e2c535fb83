"""Where classes that join a network go, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hiergen.data.imageclasses import match
from hiergen.data.sources import open_data
from hiergen.errors import HiergenError, listed, nearest, quoted, unquoted
from hiergen.nn.network import HierarchicalNetwork
from hiergen.taxonomy.naming import bad_label, slug
from hiergen.taxonomy.synsets import is_wnid, looks_like_synset
from hiergen.taxonomy.wordnet.nouns import default


@dataclass(frozen=True)
class Place:
    """Where new classes go: the `names` of the groups above them, how many levels from the top are there already
    (`known`), and the classes whose branches a new one may start from."""

    names: tuple[str, ...]
    known: int
    members: tuple[int, ...]

    @classmethod
    def of(cls, network: HierarchicalNetwork, group: str | None, new_group: str | None) -> Place:
        nesting, every = network.nesting, tuple(range(network.num_classes))
        finest = nesting.depth - 1
        if new_group is not None:
            check_name(new_group, "group")
            if new_group in nesting.classes:
                raise HiergenError(f"a class is called {quoted(new_group)} already", hint="call the group otherwise")
        if not finest:  # no groups at all
            if group is not None or new_group is not None:
                raise HiergenError("the network has no groups", hint="leave --group out")
            return cls((), len(network.levels) if network.levels[-1].branches < network.num_classes else 0, every)
        if group is None and new_group is None:
            raise HiergenError("no group for the new classes", expected="--group NAME or --new-group NAME")
        path, members, known, branch = tuple[str, ...](), every, 0, 0
        if group is not None:
            found = [(j, i) for j in range(1, finest + 1) for i, n in enumerate(nesting.names(j)) if n == group]
            if not found:
                names = [n for j in range(1, finest + 1) for n in nesting.names(j)]
                near = nearest(group, names)
                hint = "--new-group makes one"
                raise HiergenError(f"no group {quoted(group)}", expected=listed(names), nearest=near, hint=hint)
            known, branch = found[-1]
            path, members = nesting.path(known, branch), nesting.members(known, branch)
        if new_group is not None:
            if known == finest:
                raise HiergenError(f"{quoted(str(group))} is of the finest level: no group can be below it")
            if any(new_group in level.names for level in nesting.levels):
                raise HiergenError(f"there is a group {quoted(new_group)} already", hint="--group names it")
            return cls((*path, *(new_group,) * (finest - known)), known, members)
        if known < finest:
            below = listed(nesting.names(known + 1)[i] for i in nesting.children(known, branch))
            raise HiergenError(f"{quoted(str(group))} has groups below it", expected=below, hint="or --new-group NAME")
        return cls(path, known, members)


def new_classes(network: HierarchicalNetwork, data: str | Path, named: Sequence[str]) -> tuple[str, ...]:
    """Ids of the classes that join: those that are `named`, or the data's that the network has not.

    Raises HiergenError for a name that cannot be, or that is a class or group of the network, by whatever name.
    """
    names = tuple(named) or _unknown(network, data)
    ids = {slug(class_id): class_id for class_id in network.classes}
    groups = {name for level in network.nesting.levels for name in level.names}
    for name in names:
        check_name(name, "class")
        if name in network.classes:
            raise HiergenError(f"the network has a class {quoted(name)} already", expected="new ones")
        if name in groups:
            hint = "call the class's folder otherwise" + ", or name the new ones with --class (classes=…)" * (not named)
            raise HiergenError(f"a group is called {quoted(name)} already", hint=hint)
        if (other := ids.setdefault(slug(name), name)) != name or names.count(name) > 1:
            what = (
                f"{quoted(other)} and {quoted(name)} are one name"
                if other != name
                else f"{quoted(name)} is named twice"
            )
            raise HiergenError(f"class {what}", expected="each class once")
    for name, index in match(sorted(names), network.nesting, place=str(data), strict=False).items():
        label = network.nesting.labels[index]
        raise HiergenError(
            f"folder {quoted(name)} is the network's class {quoted(label)} ({unquoted(network.classes[index])})",
            place=str(data),
            expected="a new class",
            hint="if it is another class, call its folder otherwise",
        )
    return names


def described(network: HierarchicalNetwork, names: Sequence[str]) -> list[tuple[str, str | None]]:
    """Of each new class what to show of it, and its synset where the id has one in it: WordNet's word for a wnid or a
    synset's name that no other class is called."""
    taken = {slug(name) for name in (*network.classes, *network.nesting.labels, *names)}
    found: list[tuple[str, str | None]] = []
    for name in names:
        first = re.match(r"(n[0-9]{8})[-_ .](.+)", name)  # n02108089-boxer, as Stanford Dogs has it
        wnid = (
            default().resolve(first[1] if first else name)
            if first or is_wnid(name) or looks_like_synset(name)
            else None
        )
        words = () if wnid is None else (first[2].replace("_", " "),) if first else default().lemmas(wnid)
        label = next((word for word in words if slug(word) not in taken), name)
        taken.add(slug(label))
        found.append((label, default().synset_name(wnid) if first and wnid else None))
    return found


def check_name(name: str, what: str) -> None:
    """Raise HiergenError for what no class or group may be called."""
    if problem := bad_label(name):
        raise HiergenError(f"{what} {quoted(name)} is {problem}", expected="printable text")


def _unknown(network: HierarchicalNetwork, data: str | Path) -> tuple[str, ...]:
    """The data's classes that the network has not."""
    try:
        names = open_data(data, network, classes="present").left_out
    except HiergenError as error:
        if not error.problem.endswith("is a class of the network"):
            raise
        raise HiergenError(
            "no folder is a class of the network, so the new ones are to be named",
            place=str(data),
            got=error.got,
            hint="--class NAME, repeatable (classes=…)",
        ) from None
    if not names:
        raise HiergenError("all folders are classes of the network already", place=str(data))
    return names
