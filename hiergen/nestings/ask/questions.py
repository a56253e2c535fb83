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
from hiergen.nestings.ask.votes import Spot
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.naming import bad_label, slug
from hiergen.taxonomy.nesting import Nesting

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
            names = [name for name in self.allowed if name == answer]
            names = names or [name for name in self.allowed if name.casefold() == text.casefold()]
            if len(names) == 1:
                return names[0], ""
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


def placements(taxonomy: Taxonomy, nesting: Nesting, spots: Sequence[Spot]) -> list[Question]:
    """One question per spot, in their order; nothing in it depends on the answer to another one.

    `nesting` has the classes in the taxonomy's order.
    """
    titles = group_titles(nesting)
    disputed = {(spot.level, spot.index) for spot in spots}
    last = len(nesting.levels) - 1
    classes = [level.members for level in nesting.levels]
    items = _items(nesting, titles)
    questions = []
    for spot in spots:
        j, i = spot.level, spot.index
        children: dict[int, list[int]] = {}
        for child, parent in enumerate(nesting.above(j + 2)):
            children.setdefault(parent, []).append(child)
        candidates = []
        for group in spot.candidates:
            others = [child for child in children[group] if child != i]
            others.sort(key=lambda child: ((j, child) in disputed, child))  # the undisputed say more
            examples = _spread([[child] if j == last else classes[j + 1][child] for child in others])
            about: dict[str, Any] = {"group": titles[j][group]}
            if j:
                about["in"] = titles[j - 1][nesting.above(j + 1)[group]]
            about["such as"] = [nesting.labels[c] for c in examples]
            candidates.append(about)
        candidates.sort(key=lambda c: str(c["group"]))  # by name: the order gives no hint of the votes
        shown = _class(taxonomy, nesting, i) if j == last else _group(nesting, j + 1, i)
        allowed = tuple(str(c["group"]) for c in candidates)
        item = items[j, i]
        questions.append(Question("place", item, {"item": item, **shown, "candidates": candidates}, allowed))
    return questions


def group_titles(nesting: Nesting) -> list[tuple[str, ...]]:
    """What the groups of each level are called in questions and answers: their names, told apart where two are one."""
    return [_distinct(level.names) for level in nesting.levels]


def unnamed(nesting: Nesting) -> list[tuple[int, int]]:
    """(level, group) of all groups whose names say little: a number, "like tabby", "mostly dog", "mixture a"."""
    return [
        (j, i) for j, level in enumerate(nesting.levels) for i, name in enumerate(level.names) if _UNNAMED.search(name)
    ]


NAME = "name of "


def namings(nesting: Nesting, where: Iterable[tuple[int, int]]) -> list[Question]:
    """One question per group that wants a name."""
    items = _items(nesting, group_titles(nesting))
    taken = frozenset(
        slug(name)
        for names in (nesting.classes, nesting.labels, *(level.names for level in nesting.levels))
        for name in names
    )
    questions = []
    for j, i in where:
        item = NAME + items[j - 1, i]
        about: dict[str, Any] = {"item": item, **_group(nesting, j, i)}
        if j:
            about["in"] = nesting.levels[j - 1].names[nesting.above(j + 1)[i]]
        questions.append(Question("name", item, about, taken=taken))
    return questions


def _spread(children: Sequence[Sequence[int]]) -> list[int]:
    """The first class of each child, then the second of each …: at most `EXAMPLES`."""
    rounds = range(max(map(len, children), default=0))
    return [child[i] for i in rounds for child in children if i < len(child)][:EXAMPLES]


def _class(taxonomy: Taxonomy, nesting: Nesting, c: int) -> dict[str, Any]:
    entry, label = taxonomy.classes[c], nesting.labels[c]
    shown: dict[str, Any] = {"name": label} if label != entry.id else {}
    if entry.synset and entry.exact and entry.note is None:  # that of a wider synset, or a guessed one, would mislead
        gloss = taxonomy.wordnet.gloss(entry.synset)
        shown["gloss"] = gloss if len(gloss) <= _GLOSS else f"{gloss[: _GLOSS - 1]}…"
    return shown


def _group(nesting: Nesting, j: int, i: int) -> dict[str, Any]:
    members = nesting.levels[j].members[i]
    shown = [nesting.labels[c] for c in members[:MEMBERS]]
    return {"members": shown + ([f"{len(members) - MEMBERS} more"] if len(members) > MEMBERS else [])}


def _items(nesting: Nesting, titles: Sequence[Sequence[str]]) -> dict[tuple[int, int], str]:
    """What each class and group is called in questions and answers: its id; "group …", told apart where needed."""
    last = len(nesting.levels) - 1
    items = {(last, c): name for c, name in enumerate(nesting.classes)}
    used = set(nesting.classes)
    for j in range(len(titles)):
        for i, title in enumerate(titles[j]):
            name = f"group {title}"
            if name in used:
                name = f"group {title} (level {j + 1})"
            while name in used:
                name += "'"
            used.add(name)
            items[j - 1, i] = name
    return items


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
