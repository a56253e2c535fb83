"""What is asked: one item, the few candidates for it, and what answers are allowed."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from hiergen.errors import listed, nearest, quoted
from hiergen.partitions.grouping import Grouping
from hiergen.suggest.llm.votes import Spot
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.naming import bad_label, slug

VERSION = 1  # of the wording: another one makes other questions of all
EXAMPLES = 4  # classes shown of a candidate
MEMBERS = 12  # members shown of a group that is asked about
_GLOSS = 200  # characters
_NAME = 40  # characters of a new name
_UNNAMED = re.compile(r"^[\d.]+$|^(?:like|mostly|mixture) | like ")

Kind = Literal["place", "name"]


@dataclass(frozen=True)
class Question:
    """`item` is unique among the questions; `about` is what the prompt says of it, as JSON data.

    kind "place": the answer is one of `allowed`; kind "name": any short name whose slug is not in `taken`.
    """

    kind: Kind
    item: str
    about: Mapping[str, Any]
    allowed: tuple[str, ...] = ()
    taken: frozenset[str] = field(default=frozenset(), repr=False)

    @cached_property
    def key(self) -> str:
        """16 hexadecimal digits of the SHA-256 of all that the model reads about it."""
        text = json.dumps([VERSION, self.kind, self.item, self.about, self.allowed], sort_keys=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]

    def check(self, answer: str) -> tuple[str | None, str]:
        """The answer as we write it, or None and what is wrong with it. Case and outer blanks do not matter."""
        text = " ".join(answer.split())
        if self.kind == "place":
            found = [name for name in self.allowed if name == answer]
            found = found or [name for name in self.allowed if name.casefold() == text.casefold()]
            if len(found) == 1:
                return found[0], ""
            near = nearest(answer, self.allowed, 1)
            tail = f"; nearest: {near[0]}" if near else ""
            return None, f"{quoted(answer)} is none of its candidates {listed(self.allowed)}{tail}"
        if problem := bad_label(text):
            return None, f"{quoted(answer)} is {problem}"
        if len(text) > _NAME:
            return None, f"{quoted(answer)} is longer than {_NAME} characters"
        if slug(text) in self.taken:
            return None, f"{quoted(answer)} is the name of a class or of another group"
        return text, ""


def placements(taxonomy: Taxonomy, grouping: Grouping, found: Sequence[Spot]) -> list[Question]:
    """One question per spot, in their order; nothing in it depends on the answer to another one.

    `grouping` has the classes in the taxonomy's order.
    """
    titles = group_titles(grouping)
    disputed = {(spot.level, spot.index) for spot in found}
    last = len(grouping.levels) - 1
    classes = [level.members() for level in grouping.levels]
    items = _items(grouping, titles)
    questions = []
    for spot in found:
        j, i = spot.level, spot.index
        children: dict[int, list[int]] = {}
        for child, parent in enumerate(grouping.parents(j + 1)):
            children.setdefault(parent, []).append(child)
        candidates = []
        for group in spot.candidates:
            others = [child for child in children[group] if child != i]
            others.sort(key=lambda child: ((j, child) in disputed, child))  # the undisputed say more
            examples = _spread([[child] if j == last else classes[j + 1][child] for child in others])
            about: dict[str, Any] = {"group": titles[j][group]}
            if j:
                about["in"] = titles[j - 1][grouping.parents(j)[group]]
            about["such as"] = [grouping.labels[c] for c in examples]
            candidates.append(about)
        candidates.sort(key=lambda c: str(c["group"]))  # by name: the order gives no hint of the votes
        shown = _class(taxonomy, grouping, i) if j == last else _group(grouping, j + 1, i)
        allowed = tuple(str(c["group"]) for c in candidates)
        item = items[j, i]
        questions.append(Question("place", item, {"item": item, **shown, "candidates": candidates}, allowed))
    return questions


def group_titles(grouping: Grouping) -> list[tuple[str, ...]]:
    """What the groups of each level are called in questions and answers: their names, told apart where two are one."""
    return [_distinct(level.names) for level in grouping.levels]


def unnamed(grouping: Grouping) -> list[tuple[int, int]]:
    """(level, group) of all groups whose names say little: a number, "like tabby", "mostly dog", "mixture a"."""
    return [
        (j, i) for j, level in enumerate(grouping.levels) for i, name in enumerate(level.names) if _UNNAMED.search(name)
    ]


NAME = "name of "


def namings(grouping: Grouping, where: Iterable[tuple[int, int]]) -> list[Question]:
    """One question per group that wants a name."""
    items = _items(grouping, group_titles(grouping))
    taken = frozenset(
        slug(name)
        for names in (grouping.classes, grouping.labels, *(level.names for level in grouping.levels))
        for name in names
    )
    questions = []
    for j, i in where:
        item = NAME + items[j - 1, i]
        about: dict[str, Any] = {"item": item, **_group(grouping, j, i)}
        if j:
            about["in"] = grouping.levels[j - 1].names[grouping.parents(j)[i]]
        questions.append(Question("name", item, about, taken=taken))
    return questions


def _spread(children: Sequence[Sequence[int]]) -> list[int]:
    """The first class of each child, then the second of each …: at most `EXAMPLES`."""
    rounds = range(max(map(len, children), default=0))
    return [child[i] for i in rounds for child in children if i < len(child)][:EXAMPLES]


def _class(taxonomy: Taxonomy, grouping: Grouping, c: int) -> dict[str, Any]:
    entry, label = taxonomy.classes[c], grouping.labels[c]
    shown: dict[str, Any] = {"name": label} if label != entry.id else {}
    if entry.synset and entry.exact and entry.note is None:  # that of a wider synset, or a guessed one, would mislead
        gloss = taxonomy.wordnet.gloss(entry.synset)
        shown["gloss"] = gloss if len(gloss) <= _GLOSS else f"{gloss[: _GLOSS - 1]}…"
    return shown


def _group(grouping: Grouping, j: int, i: int) -> dict[str, Any]:
    members = grouping.levels[j].members()[i]
    shown = [grouping.labels[c] for c in members[:MEMBERS]]
    return {"members": shown + ([f"{len(members) - MEMBERS} more"] if len(members) > MEMBERS else [])}


def _items(grouping: Grouping, titles: Sequence[Sequence[str]]) -> dict[tuple[int, int], str]:
    """What each class and group is called in questions and answers: its id; "group …", told apart where needed."""
    last = len(grouping.levels) - 1
    found = {(last, c): name for c, name in enumerate(grouping.classes)}
    used = set(grouping.classes)
    for j in range(len(titles)):
        for i, title in enumerate(titles[j]):
            name = f"group {title}"
            if name in used:
                name = f"group {title} (level {j + 1})"
            while name in used:
                name += "'"
            used.add(name)
            found[j - 1, i] = name
    return found


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Groups of one name get numbers; of names that differ in case only, too."""
    counts = Counter(name.casefold() for name in names)
    used = {name.casefold() for name in names if counts[name.casefold()] == 1}
    done = []
    for name in names:
        title, number = name, 1
        while counts[name.casefold()] > 1 and (number == 1 or title.casefold() in used):
            title, number = f"{name} ({number})", number + 1
        used.add(title.casefold())
        done.append(title)
    return tuple(done)
