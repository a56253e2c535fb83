"""Where the answers to some questions come from: a pasted file, the cache, the server; or the questions are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hiergen.errors import SpecError
from hiergen.suggest.llm.cache import Cache, Entry
from hiergen.suggest.llm.client import Client
from hiergen.suggest.llm.pasted import Pasted
from hiergen.suggest.llm.questions import Question
from hiergen.suggest.llm.rounds import Progress, ask_all


@dataclass
class Session:
    """`connect` makes the client, None without a server; it is called only if something has to be asked. `by`: whom
    pasted answers are noted down as. The other fields count, as those of `job.Asked`."""

    cache: Cache
    pasted: Pasted | None
    connect: Callable[[], Client] | None
    dry_run: Path | None
    by: str
    batch: int
    retries: int
    progress: Progress | None = None
    asked: int = 0
    cached: int = 0
    taken: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    unwritten: list[Question] = field(default_factory=list)

    def resolve(self, questions: Sequence[Question], *, later: str | None = None) -> dict[str, Entry]:
        """What is known of each question in the end, by item; nothing of those that a dry run has still to ask.

        `later`: how the items begin that a pasted file may answer though they are not asked yet. Raises SpecError where
        answers are missing and nobody can be asked; else as `ask_all`, `Pasted` and `Cache.entry` do.
        """
        taken: dict[str, str] = {}
        if self.pasted is not None:
            taken = self.pasted.take(questions)
            self.pasted.finish(questions, later=later)
        for question in questions:
            if question.item in taken:
                self.cache.put(question, taken[question.item], self.by)
        self.cache.save()
        known = {question.item: self.cache.entry(question) for question in questions}
        todo = [q for q in questions if (entry := known[q.item]) is None or entry.answer is None]
        self.taken += len(taken)
        self.cached += len(questions) - len(todo) - len(taken)
        if self.dry_run is not None:
            self.unwritten += todo
        elif todo and self.connect is not None:
            self.asked += len(todo)
            client = self.connect()
            self.problems |= ask_all(
                client, todo, self.cache, batch=self.batch, retries=self.retries, progress=self.progress
            )
        elif self.pasted is not None:
            for question in todo:
                if known[question.item] is None:
                    self.cache.put(question, None, "")
            self.cache.save()
        elif missing := [q for q in todo if known[q.item] is None]:
            raise SpecError(
                f"{len(missing)} of {len(questions)} questions have no answer yet",
                place=str(self.cache.path),
                hint="name a server with --base-url and --llm-model, or write the prompts with --dry-run FILE and bring"
                " the replies back with --answers FILE",
            )
        final = {question.item: self.cache.entry(question) for question in questions}
        return {item: entry for item, entry in final.items() if entry is not None}
