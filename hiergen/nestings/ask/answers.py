"""Text that may hold answers → answers: found wherever they stand in it, checked by pydantic, each with its line; and
those that a person brings back in a file, as they were copied."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, StrictStr, ValidationError

from hiergen.errors import SpecError, listed, nearest, quoted
from hiergen.files import read_text
from hiergen.nestings.ask.questions import Question

_START = re.compile(r"\{")
_LOOKS = re.compile(r"\{\s*[\"'“”„]?(?:item|answer)\b")
_EFFORT = 8  # times that a text may be read on the way through it
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", flags=re.S)
_TYPES = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}


class ItemAnswer(BaseModel):
    """What is wanted of the model. More keys (a reason, say) do no harm and are not read."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    item: StrictStr
    answer: StrictStr


@dataclass(frozen=True)
class Candidate:
    """An answer, or something that was meant as one: then `answer` is None and `problem` says what is wrong.

    `line` counts from 1; `item` is None where not even that can be read.
    """

    line: int
    item: str | None
    answer: ItemAnswer | None = None
    problem: str = ""


def find_answers(text: str) -> list[Candidate]:
    """All answers in a text, in order: whole JSON, JSON in a code fence, in prose, several one below the other, or cut
    off (what is whole counts). Replies of a chat API, as a batch service gives them back, are opened.

    >>> find_answers('Sure! {"answers": [{"item": "tabby", "answer": "cat"}, {"item": "pug", "ans')[0].answer
    ItemAnswer(item='tabby', answer='cat')
    """
    return list(_scan(text, 1, nested=False))


def without_thoughts(text: str) -> str:
    """What reasoning models write between <think> tags may hold drafts: it does not count."""
    return _THOUGHT.sub("", text)


def _scan(text: str, first: int, *, nested: bool) -> Iterator[Candidate]:
    decoder = json.JSONDecoder(object_pairs_hook=_once, strict=False)
    at, line, counted = 0, first, 0
    effort = _EFFORT * len(text) + 100_000  # garbage in deep brackets would be read again from each of them
    while effort > 0 and (match := _START.search(text, at)):
        start = match.start()
        line, counted = line + text.count("\n", counted, start), start
        at = start + 1
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            effort -= error.pos - start if isinstance(error, json.JSONDecodeError) else 10_000
            effort -= start // 32  # json counts the lines up to an error
            if _LOOKS.match(text, start):
                yield Candidate(line, _item_near(text, start), problem=f"is not JSON ({_why(error)})")
            continue
        effort -= end - start
        if "item" in value or "answer" in value:
            at = end
            yield _checked(value, line)
        elif "choices" in value and not nested:
            at = end
            for content in _contents(value["choices"]):
                yield from _scan(without_thoughts(content), line, nested=True)


def _checked(value: dict[str, Any], line: int) -> Candidate:
    item = value.get("item")
    item = item if isinstance(item, str) else None
    try:
        return Candidate(line, item, ItemAnswer.model_validate(value))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    name = str(first["loc"][0])
    if first["type"] == "missing":
        return Candidate(line, item, problem=f'has no "{name}"')
    got = value[name]
    shown = "null" if got is None else _TYPES.get(type(got), "something else")
    return Candidate(line, item, problem=f'"{name}" is {shown}, not text')


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's keys, none of them twice."""
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{quoted(twice)} stands twice")
    return value


def _contents(choices: Any) -> Iterator[str]:
    for choice in choices if isinstance(choices, list) else ():
        message = choice.get("message") if isinstance(choice, dict) else None
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            yield content


def _item_near(text: str, start: int) -> str | None:
    match = re.match(r'\{\s*"item"\s*:\s*"([^"\\\n]{1,200})"', text[start : start + 300])
    return match[1] if match else None


def _why(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg[:1].lower() + error.msg[1:]
    return "nested too deep" if isinstance(error, RecursionError) else str(error)


_FORM = '{"answers": [{"item": "…", "answer": "…"}]}'


@dataclass
class Pasted:
    """What the file says; `take` hands out the answers to some questions, `finish` complains about the rest."""

    path: Path
    candidates: list[Candidate]
    _used: set[int] = field(default_factory=set)

    def take(self, questions: Sequence[Question]) -> dict[str, str]:
        """Answers by item. Raises SpecError, with the line, for one that its question does not allow, and for two
        different ones about one item; an item without an answer is no mistake."""
        by_item = {question.item: question for question in questions}
        good: dict[str, str] = {}
        lines: dict[str, int] = {}
        for i, one in enumerate(self.candidates):
            question = by_item.get(one.item or "")
            if question is None:
                continue
            self._used.add(i)
            place = f"{self.path}:{one.line}"
            if one.answer is None:
                raise SpecError(f"the answer of {quoted(one.item)} {one.problem}", place=place, expected=_FORM)
            text, problem = question.check(one.answer.answer)
            if text is None:
                raise SpecError(f"the answer of {quoted(one.item)} cannot be: {problem}", place=place)
            if good.setdefault(question.item, text) != text:
                raise SpecError(
                    f"another answer of {quoted(one.item)}: {listed([text])}",
                    place=place,
                    hint=f"line {lines[question.item]} says {quoted(good[question.item])}; remove one",
                )
            lines.setdefault(question.item, one.line)
        return good

    def finish(self, questions: Sequence[Question], *, later: str | None = None) -> None:
        """Raises SpecError for the first answer that nobody took; items that start with `later` may still be asked."""
        for i, one in enumerate(self.candidates):
            if i in self._used or (later and one.item and one.item.startswith(later)):
                continue
            place = f"{self.path}:{one.line}"
            if one.item is None:
                raise SpecError(f"an answer {one.problem}", place=place, expected=_FORM)
            raise SpecError(
                f"{quoted(one.item)} is not asked about",
                place=place,
                nearest=nearest(one.item, [question.item for question in questions]),
                hint="was the file of prompts written for these groups? --dry-run writes it anew",
            )


def read_answers(path: Path) -> Pasted:
    """Raises SpecError for a file that cannot be read or has no answers in it."""
    candidates = find_answers(read_text(path))
    if not candidates:
        raise SpecError("has no answers in it", place=str(path), expected=f"JSON as {_FORM}")
    return Pasted(path, candidates)
