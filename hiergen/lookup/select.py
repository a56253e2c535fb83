"""What a user may type for classes and groups → logits and branches of a network.

A term is an index of a logit (0 … n-1) or a text, which is, whichever fits first:

1. a class id;
2. a group's name on any level, or a path to a group, "animal/cat" (names between may be left out; "/animal/cat" is
   the whole path from level 1);
3. a class's display name, or a path to a class;
4. a range of positions, "0:20" for the first twenty;
5. a WordNet term: a wnid, a synset name ("cat.n.01") or a word ("domestic cat"), for all classes that are that or
   below it. Of a word's senses it is the most frequent one with a class of this network.

Case does not matter, and "_" and "-" are blanks; where two names differ in nothing else, the one typed exactly wins. A
group that recurs level after level with the same classes (a pass-through chain) is its highest branch: a gain there
acts on all blocks that these classes have to themselves, and a change can grow through the most of them.
"""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

from hiergen.errors import HiergenError, listed, nearest, quoted
from hiergen.taxonomy.nesting import Nesting

if TYPE_CHECKING:
    from hiergen.lookup.vocabulary import Lexicon
    from hiergen.taxonomy.wordnet.nouns import WordNet

ClassSelection: TypeAlias = "int | str | Iterable[int | str | bool]"
_TERM = "a class id, a class or group name, a WordNet term or an index"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Node:
    """One branch: `level` is 1 … k, `name` its group, or on level k its class id."""

    level: int
    branch: int
    name: str


@dataclass(frozen=True)
class _Meaning:
    classes: tuple[int, ...]
    nodes: tuple[Node, ...]
    why: str


class Selector:
    """Finds the classes and nodes that a user names; built once per network.

    Without hiergen's own WordNet (a generated file that stands alone) WordNet terms are unknown.

    >>> nesting = Nesting.from_tree({"cat": ["n1", "n3"], "dog": ["n2"]}, ["n1", "n2", "n3"])
    >>> Selector(nesting).classes(["Cat", 1]), Selector(nesting).nodes("cat")
    ((0, 1, 2), (Node(level=1, branch=0, name='cat'),))
    """

    def __init__(self, nesting: Nesting, *, wordnet: WordNet | None = None) -> None:
        self.nesting = nesting
        self._wordnet = wordnet
        last = nesting.names(nesting.depth)
        self._leaves = tuple(
            Node(nesting.depth, branch, last[branch]) for branch in nesting.heads
        )  # in the classes' order
        self._groups = tuple(
            Node(j, i, name) for j in range(1, nesting.depth) for i, name in enumerate(nesting.names(j))
        )
        self._ids = {leaf.name: i for i, leaf in enumerate(self._leaves)}
        self._by_id = _index((leaf.name, i) for i, leaf in enumerate(self._leaves))
        self._by_label = _index((label, i) for i, label in enumerate(nesting.labels))
        self._by_group = _index((group.name, group) for group in self._groups)

    def classes(self, wanted: ClassSelection) -> tuple[int, ...]:
        """Ascending indices of the logits that one term, several terms, or a mask of n booleans choose.

        Arrays and tensors of one dimension count as lists. Raises HiergenError for an unknown or ambiguous term, an
        index past the end, another type, and if nothing is chosen.
        """
        wanted = _plain(wanted)
        if isinstance(wanted, str) or not isinstance(wanted, Iterable):
            return self._find(wanted).classes
        if isinstance(wanted, Mapping | bytes | bytearray):
            _refuse(wanted)
        terms = [_plain(term) for term in wanted]
        count = len(self._leaves)
        if terms and all(isinstance(term, bool) for term in terms):
            if len(terms) != count:
                raise HiergenError("a mask of booleans needs one per class", expected=f"{count}", got=f"{len(terms)}")
            chosen = {i for i, keep in enumerate(terms) if keep}
        else:
            chosen = {i for term in terms for i in self._find(term).classes}
        if not chosen:
            raise HiergenError("no class is chosen", expected="at least one")
        return tuple(sorted(chosen))

    def nodes(self, term: int | str) -> tuple[Node, ...]:
        """A group's branch; a class's own branch on the last level; for a WordNet term the group with exactly its
        classes, else the branches of these. Raises HiergenError as `classes` does."""
        return self._find(_plain(term)).nodes

    def explain(self, term: int | str) -> str:
        """What the term was taken for, in one line. Raises HiergenError as `classes` does."""
        return self._find(_plain(term)).why

    # the readings of a text, in order

    def _find(self, term: object) -> _Meaning:
        if isinstance(term, str):
            readings = (self._class_id, self._group, self._named, self._label, self._range, self._wordnet_term)
            return next((it for reading in readings if (it := reading(term))), None) or self._unknown(term)
        return self._class(self._position(term))

    def _position(self, term: object) -> int:
        if isinstance(term, bool):
            _refuse(term)
        try:
            index = operator.index(term)  # type: ignore[arg-type]
        except TypeError:
            _refuse(term)
        if not 0 <= index < len(self._leaves):
            raise HiergenError(
                f"no class has the index {index}", expected=f"0..{len(self._leaves) - 1}", hint="or name the class"
            )
        return index

    def _class_id(self, text: str) -> _Meaning | None:
        indices = [self._ids[text]] if text in self._ids else self._by_id.get(key_of(text), [])
        return self._one_class(text, indices) if indices else None

    def _group(self, text: str) -> _Meaning | None:
        named = self._by_group.get(key_of(text), [])
        nodes = [node for node in named if node.name == text] or named
        nodes = nodes or [self._groups[i] for i in self._at_path(text, self._groups)]
        nodes = [node for node in nodes if self._typed(node) == text] or nodes
        if not nodes:
            return None
        members = {self.nesting.members(node.level, node.branch) for node in nodes}
        if len(members) > 1:
            self._several_groups(text, nodes)
        node = min(nodes, key=lambda node: node.level)
        classes = members.pop()
        why = f"group of level {node.level}: {'/'.join(self.nesting.path(node.level, node.branch))} → {_count(classes)}"
        return _Meaning(classes, (node,), why)

    def _named(self, text: str) -> _Meaning | None:
        """A group by hand that is none of this nesting."""
        sets = [classes for name, classes in self.nesting.groups if key_of(name) == key_of(text)]
        if not sets:
            return None
        nodes = self._exactly(sets[0]) or tuple(self._leaves[i] for i in sets[0])
        return _Meaning(sets[0], nodes, f"group of the taxonomy file → {_count(sets[0])}")

    def _label(self, text: str) -> _Meaning | None:
        named = self._by_label.get(key_of(text), [])
        exact = [i for i in named if self.nesting.labels[i] == text]
        indices = exact or named or self._at_path(text, self._leaves)
        return self._one_class(text, indices) if indices else None

    def _range(self, text: str) -> _Meaning | None:
        if not (match := re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", text.strip())):
            return None
        first, end = map(int, match.groups())
        if not first < end <= len(self._leaves):
            raise HiergenError(
                f"{quoted(text)} is no range of positions",
                expected=f"FROM:TO with 0 <= FROM < TO <= {len(self._leaves)}",
            )
        classes = tuple(range(first, end))
        why = f"classes {first} to {end - 1} → {_count(classes)}"
        return _Meaning(classes, tuple(self._leaves[i] for i in classes), why)

    def _wordnet_term(self, text: str) -> _Meaning | None:
        words = self._words
        if words is None or _is_number(text) or not (senses := words.senses(text)):
            return None
        covering = next(((i, wnid) for i, wnid in enumerate(senses, 1) if words.below(wnid)), None)
        if covering is None:
            first = words.described(senses[0])
            which = f"first of {len(senses)} senses: {first}" if len(senses) > 1 else first
            raise HiergenError(
                f"{quoted(text)} is in WordNet, but no class of this network is a kind of it ({which})",
                nearest=self._nearest(text),
            )
        number, wnid = covering
        classes = words.below(wnid)
        named = [i for sense in senses for i in words.below(sense) if words.is_class(i, sense)]
        if any(words.is_class(i, wnid) for i in classes):
            self._one_class(text, named)  # "crane" is a bird's name as much as a machine's
        sense = f", sense {number} of {len(senses)}" if len(senses) > 1 else ""
        why = f"WordNet{sense}: {words.described(wnid)} → {_count(classes)}"
        if len(classes) == 1 and words.is_class(classes[0], wnid):
            return _Meaning(classes, (self._leaves[classes[0]],), why)
        return _Meaning(classes, self._exactly(classes) or tuple(self._leaves[i] for i in classes), why)

    # inner

    @cached_property
    def _words(self) -> Lexicon | None:
        """What WordNet says of these classes, read when first asked for; None where it is not installed."""
        try:
            from hiergen.lookup.vocabulary import Lexicon
        except ImportError:
            return None
        return Lexicon(self.nesting, self._wordnet)

    def _exactly(self, classes: tuple[int, ...]) -> tuple[Node, ...]:
        """The highest group with just these classes, or ()."""
        return next(((g,) for g in self._groups if self.nesting.members(g.level, g.branch) == classes), ())

    def _class(self, index: int) -> _Meaning:
        leaf, label = self._leaves[index], self.nesting.labels[index]
        return _Meaning((index,), (leaf,), f"class {index}: {label} ({leaf.name})")

    def _one_class(self, text: str, indices: Sequence[int]) -> _Meaning:
        if len(indices) > 1:
            ids = listed(self._leaves[i].name for i in indices)
            raise HiergenError(f"{quoted(text)} names {len(indices)} classes", hint=f"type the id of one: {ids}")
        return self._class(indices[0])

    def _several_groups(self, text: str, nodes: Sequence[Node]) -> NoReturn:
        paths = [self._typed(node) for node in nodes]
        if len(set(paths)) == len(nodes):
            hint = f"type the path of one: {listed(paths)}"
        else:
            hint = "their paths are alike too, so name their classes by id"
        raise HiergenError(f"{quoted(text)} names {len(nodes)} groups with different classes", hint=hint)

    def _typed(self, node: Node) -> str:
        """The path that names this node; on level 1 its slash tells it from the bare name."""
        path = "/".join(self.nesting.path(node.level, node.branch))
        return path if node.level > 1 else f"/{path}"

    def _at_path(self, text: str, nodes: Sequence[Node]) -> list[int]:
        """Which of the nodes "animal/cat" may mean. Names may hold slashes, so the text is matched, never split."""
        key = key_of(text)
        if "/" not in key:
            return []
        spelled = [self._spellings(node) for node in nodes]
        for path in dict.fromkeys((key, key.removeprefix("/"))):
            if exact := [i for i, names in enumerate(spelled) if _matches(path, names, gaps=False)]:
                return exact
        return [i for i, names in enumerate(spelled) if _matches(key, names, gaps=True)]

    def _spellings(self, node: Node) -> list[tuple[str, ...]]:
        """What each step of a node's path may be called, from level 1 down."""
        names: list[tuple[str, ...]] = [(key_of(name),) for name in self.nesting.path(node.level, node.branch)]
        if node.level == self.nesting.depth:
            names[-1] = (key_of(node.name), key_of(self.nesting.labels[self._ids[node.name]]))
        return names

    def _unknown(self, text: str) -> NoReturn:
        close = self._nearest(text)
        hint = "write an index as a number, not as text" if _is_number(text) else None
        raise HiergenError(
            f"no class or group {quoted(text)}",
            expected=None if close or hint else _TERM,
            nearest=close,
            hint=hint,
        )

    def _nearest(self, text: str) -> tuple[str, ...]:
        """Names of this network, then of WordNet where they name a class of it."""
        names = [*self.nesting.labels, *(g.name for g in self._groups), *self._ids]
        keys = {key_of(name): name for name in reversed(names)}
        close = [keys[key] for key in nearest(key_of(text), keys)]
        if len(close) < 3 and self._words is not None:
            close += [name for name in self._words.nearest(text) if key_of(name) not in map(key_of, close)]
        return tuple(close[:3])


def key_of(text: str) -> str:
    """What two names have in common that count as one: no case, blanks for "_" and "-"."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r" ?/ ?", "/", " ".join(re.sub(r"[_-]", " ", folded).split()))


def _index(named: Iterable[tuple[str, _T]]) -> dict[str, list[_T]]:
    by_key: dict[str, list[_T]] = {}
    for name, item in named:
        by_key.setdefault(key_of(name), []).append(item)
    return by_key


def _matches(path: str, names: Sequence[tuple[str, ...]], *, gaps: bool) -> bool:
    """Whether the text is these names joined by "/"; with `gaps` all but the last may be missing."""
    for name in names[-1]:
        if path == name and (gaps or len(names) == 1):
            return True
        if path.endswith(f"/{name}"):
            rest = path[: -len(name) - 1]
            above = range(len(names) - 1, 0, -1) if gaps else ([len(names) - 1] if len(names) > 1 else [])
            if any(_matches(rest, names[:end], gaps=gaps) for end in above):
                return True
    return False


def _plain(value: Any) -> Any:
    """Numpy's and torch's values as Python's own; a generator or anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]+", text.strip()) is not None


def _count(classes: Sequence[int]) -> str:
    return f"{len(classes)} class{'es' * (len(classes) != 1)}"


def _refuse(term: object) -> NoReturn:
    raise HiergenError(
        "a class is named by an int or a str",
        expected=_TERM,
        got=f"{quoted(repr(term)) if isinstance(term, str | bytes) else quoted(term)} ({type(term).__name__})",
    )
