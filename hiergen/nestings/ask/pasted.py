"""Answers that a person brings back in a file: the model's replies as they were copied, checked line by line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hiergen.errors import SpecError, listed, nearest, quoted
from hiergen.files import read_text
from hiergen.nestings.ask.questions import Question
from hiergen.nestings.ask.schema import Candidate, find_answers

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
