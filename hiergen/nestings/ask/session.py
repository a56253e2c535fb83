"""Where the answers to some questions come from: a pasted file, the cache, the server; or the questions are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hiergen.errors import HiergenError, SpecError, listed, quoted
from hiergen.nestings.ask.answers import Candidate, Pasted, find_answers, without_thoughts
from hiergen.nestings.ask.cache import Cache, CacheEntry
from hiergen.nestings.ask.client import Client
from hiergen.nestings.ask.questions import Question, batches, messages
from hiergen.nestings.suggest.kinds import Progress
from hiergen.taxonomy.naming import slug


@dataclass
class Session:
    """`connect` makes the client, None without a server; it is called only if something has to be asked. `by`: whom
    pasted answers are noted down as. The other fields count, as those of `ask.AskResult`."""

    cache: Cache
    pasted: Pasted | None
    connect: Callable[[], Client] | None
    dry_run: Path | None
    by: str
    batch: int
    retries: int
    progress: Progress | None = None
    sent: int = 0
    cached: int = 0
    taken: int = 0
    problems: dict[str, str] = field(default_factory=dict)
    unwritten: list[Question] = field(default_factory=list)

    def resolve(self, questions: Sequence[Question], *, later: str | None = None) -> dict[str, CacheEntry]:
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
        entries = {question.item: self.cache.entry(question) for question in questions}
        todo = [q for q in questions if (entry := entries[q.item]) is None or entry.answer is None]
        self.taken += len(taken)
        self.cached += len(questions) - len(todo) - len(taken)
        if self.dry_run is not None:
            self.unwritten += todo
        elif todo and self.connect is not None:
            self.sent += len(todo)
            client = self.connect()
            self.problems |= ask_all(
                client, todo, self.cache, batch=self.batch, retries=self.retries, progress=self.progress
            )
        elif self.pasted is not None:
            for question in todo:
                if entries[question.item] is None:
                    self.cache.put(question, None, "")
            self.cache.save()
        elif missing := [q for q in todo if entries[q.item] is None]:
            raise SpecError(
                f"{len(missing)} of {len(questions)} questions have no answer yet",
                place=str(self.cache.path),
                hint="name a server with --base-url and --llm-model, or write the prompts with --dry-run FILE and bring"
                " the replies back with --answers FILE",
            )
        final = {question.item: self.cache.entry(question) for question in questions}
        return {item: entry for item, entry in final.items() if entry is not None}


def ask_all(
    client: Client,
    questions: Sequence[Question],
    cache: Cache,
    *,
    batch: int,
    retries: int,
    progress: Progress | None = None,
) -> dict[str, str]:
    """Put every question to the model until it has a usable answer or was asked 1 + `retries` times; all of it goes to
    the cache, which is saved after each reply. Returns what was wrong to the end, by item.

    A reply cut off for its length halves the batches from there on. Raises HiergenError when the server cannot be used;
    the answers so far are saved by then.
    """
    todo = list(questions)
    tries: Counter[str] = Counter()
    problems: dict[str, str] = {}
    failed: dict[str, str] = {}
    names: set[str] = set()
    done = 0
    if progress:
        progress(0, len(questions))
    while todo:
        part = batches(todo, batch)[0]
        try:
            reply = client.chat(messages(part, problems))
        except HiergenError as error:
            if done:
                kept = f"the answers so far are in {cache.path}, and the same command goes on from there"
                error.hint = f"{error.hint}; {kept}" if error.hint else kept
            raise
        if reply.cut:
            batch = max(1, len(part) // 2)
        good, bad = sort_out(part, find_answers(without_thoughts(reply.text)), cut=reply.cut, given=names)
        again = []
        for question in part:
            if (answer := good.get(question.item)) is not None:
                cache.put(question, answer, client.model)
                if question.kind == "name":
                    names.add(slug(answer))
                continue
            problems[question.item] = client.hide(bad[question.item])
            tries[question.item] += 1
            if tries[question.item] <= retries:
                again.append(question)
            else:
                cache.put(question, None, client.model)
                failed[question.item] = problems[question.item]
        todo = again + todo[len(part) :]
        done = len(questions) - len(todo)
        cache.save()
        if progress:
            progress(done, len(questions))
    return failed


def sort_out(
    part: Sequence[Question], candidates: Sequence[Candidate], *, cut: bool = False, given: set[str] | None = None
) -> tuple[dict[str, str], dict[str, str]]:
    """Answers → questions: each must be answered exactly once (the same twice is once), with what it allows. The usable
    answers, and what is wrong with the others, both by item.

    `given`: slugs of names that were given to other items before.
    """
    items = {question.item.casefold(): question for question in part}
    exact = {question.item: question for question in part}
    texts: dict[str, dict[str, None]] = {}
    broken: dict[str, str] = {}
    strange: list[str] = []
    for one in candidates:
        question = exact.get(one.item or "") or items.get((one.item or "").strip().casefold())
        if question is None:
            strange += [one.item] if one.item is not None else []
        elif one.answer is None:
            broken[question.item] = one.problem
        else:
            texts.setdefault(question.item, {})[one.answer.answer] = None
    good: dict[str, str] = {}
    bad: dict[str, str] = {}
    names = set(given or ())
    for question in part:
        answers = list(texts.get(question.item, ()))
        checked = {question.check(answer)[0] for answer in answers}
        if len(answers) == 1 or (len(checked) == 1 and None not in checked):
            text, problem = question.check(answers[0])
            if text is not None and question.kind == "name" and slug(text) in names:
                text, problem = None, f"{quoted(text)} is given to another item"
            if text is None:
                bad[question.item] = problem
            else:
                good[question.item] = text
                names |= {slug(text)} if question.kind == "name" else set()
        elif answers:
            bad[question.item] = f"several answers: {listed(answers)}"
        else:
            problem = "" if cut else broken.get(question.item, "")
            bad[question.item] = problem or _missing(candidates, strange, cut)
    return good, bad


def _missing(candidates: Sequence[Candidate], strange: Sequence[str], cut: bool) -> str:
    if cut:
        return "no answer: the reply was cut off"
    if not candidates:
        return "no answer: the reply has none in the form that is asked for"
    return f"no answer; not asked about: {listed(dict.fromkeys(strange), 3)}" if strange else "no answer"
