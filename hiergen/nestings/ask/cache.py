"""The answers that have been given, in a file beside the taxonomy: with it a rebuild needs neither server nor key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictStr, ValidationError

from hiergen.errors import SpecError, listed, quoted
from hiergen.files import read_text, taking_turns, write_text
from hiergen.nestings.ask.questions import Question
from hiergen.taxonomy.specfile import misfit

_LARGEST = 64_000_000  # bytes; an answer takes 150 or so, and those to earlier questions stay
_ABOUT = "Answers to the questions of hiergen ask. Keep it beside the taxonomy file that it goes with."


def _whole(text: str) -> str:
    if any("\ud800" <= char <= "\udfff" for char in text):  # JSON can hold it, UTF-8 cannot
        raise ValueError("half of a surrogate pair")
    return text


_Text = Annotated[StrictStr, AfterValidator(_whole)]


class CacheEntry(BaseModel):
    """One answer. `question` is `Question.key`; `answer` None: asked, and nothing usable came; `by`: the model, or
    where else it is from, "" where nobody gave an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    item: _Text = Field(min_length=1)
    question: StrictStr = Field(pattern=r"^[0-9a-f]{16}$")
    answer: _Text | None
    by: _Text


_Stamp = tuple[int, int, int] | None


@dataclass
class Cache:
    """Answers by question; what is put in is on disk only after `save`.

    An answer holds for what was asked, word for word, whichever model gave it; answers to questions that are not asked
    any more stay, and so do those that another process has saved meanwhile. One entry a line, sorted, so that a change
    of one answer is a change of one line.
    """

    path: Path
    _entries: dict[str, CacheEntry] = field(default_factory=dict)
    _new: dict[str, CacheEntry] = field(default_factory=dict)
    _lines: dict[str, int] = field(default_factory=dict)
    _stamp: _Stamp = None
    _dirty: bool = False

    def entry(self, question: Question) -> CacheEntry | None:
        """What is known of a question. Raises SpecError with the line for an answer that it cannot have."""
        entry = self._entries.get(question.key)
        if entry is None or entry.answer is None:
            return entry
        text, problem = question.check(entry.answer)
        if text is None and question.kind == "name":
            return None  # the name has been given to another group since: to be asked again
        if text is None:
            place = f"{self.path}:{self._lines[question.key]}" if question.key in self._lines else str(self.path)
            raise SpecError(f"the answer of {quoted(entry.item)} cannot be: {problem}", place=place)
        return entry.model_copy(update={"answer": text})

    def put(self, question: Question, answer: str | None, by: str) -> None:
        entry = CacheEntry(item=question.item, question=question.key, answer=answer, by=by)
        if self._entries.get(question.key) != entry:
            self._entries[question.key] = self._new[question.key] = entry
            self._lines.pop(question.key, None)
            self._dirty = True

    def save(self) -> None:
        """Write the file, if anything has changed. Raises OutputError."""
        if not self._dirty:
            return
        with taking_turns(self.path):
            if _stamp(self.path) != self._stamp:
                with suppress(SpecError):  # damaged meanwhile: ours are not given up for it
                    there = read_cache(self.path)
                    self._entries |= there._entries | self._new
                    self._lines = {key: line for key, line in there._lines.items() if key not in self._new}
            write_text(self.path, self._text())
            self._stamp, self._dirty = _stamp(self.path), False

    def _text(self) -> str:
        entries = sorted(self._entries.values(), key=lambda entry: (entry.item, entry.question))
        lines = [json.dumps(entry.model_dump(), ensure_ascii=False) for entry in entries]
        body = ",\n".join(lines)
        return f'{{"about": {json.dumps(_ABOUT)}, "version": 1, "answers": [\n{body}\n]}}\n'


def read_cache(path: Path) -> Cache:
    """The cache at `path`, empty if there is no such file. Raises SpecError with the line for one that is damaged."""
    cache = Cache(path, _stamp=_stamp(path))  # before reading
    if not path.exists():
        return cache
    for line, value in _values(read_text(path, limit=_LARGEST), str(path)):
        try:
            entry = CacheEntry.model_validate(value)
        except ValidationError as error:
            raise SpecError(f"this answer is damaged: {misfit(error)}", place=f"{path}:{line}", hint=_HINT) from None
        other = cache._entries.setdefault(entry.question, entry)
        if other.answer != entry.answer:
            first = cache._lines[entry.question]
            raise SpecError(
                f"two answers to one question about {quoted(entry.item)}: {listed([other.answer, entry.answer])}",
                place=f"{path}:{line}",
                hint=f"the other one is in line {first}; remove one",
            )
        cache._lines.setdefault(entry.question, line)
    return cache


def _stamp(path: Path) -> _Stamp:
    """Another one after each change of the file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


_HINT = "mend or remove the line; what is removed is asked again"


def _values(text: str, place: str) -> Iterator[tuple[int, Any]]:
    """(line, value) of each element of "answers"."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        problem = f"is not JSON ({error.msg[:1].lower()}{error.msg[1:]})"
        line = min(error.lineno, text.rstrip().count("\n") + 1)  # at the end of the file: its last line
        raise SpecError(problem, place=f"{place}:{line}", hint=_HINT) from None
    except (ValueError, RecursionError):
        raise SpecError("is not JSON that can be read", place=place) from None
    if not isinstance(data, dict) or data.get("version") != 1 or not isinstance(data.get("answers"), list):
        raise SpecError("is no file of answers", place=place, expected='{"version": 1, "answers": [...]}')
    at, line = 0, 1
    for value in data["answers"]:  # one entry a line, as hiergen writes them; a person may have edited the file
        named = value.get("question", value.get("item")) if isinstance(value, dict) else value
        start = text.find(json.dumps(named, ensure_ascii=False), at + 1)
        if start > 0:
            line, at = line + text.count("\n", at, start), start
        yield line, value
