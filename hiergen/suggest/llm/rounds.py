"""Asking a client: batch after batch, what is wrong or missing again, everything kept as soon as it is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hiergen.errors import HiergenError, listed, quoted
from hiergen.suggest.llm.cache import Cache
from hiergen.suggest.llm.client import Client
from hiergen.suggest.llm.prompts import batches, messages
from hiergen.suggest.llm.questions import Question
from hiergen.suggest.llm.schema import Found, find_answers, without_thoughts
from hiergen.taxonomy.naming import slug

Progress = Callable[[int, int], None]
"""Called with (questions settled, questions to ask) before the first request and after each."""


@dataclass(frozen=True)
class Sorted:
    """Of one reply: the usable answers, and what is wrong with the others, both by item."""

    good: dict[str, str]
    bad: dict[str, str]


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
        found = sort_out(part, find_answers(without_thoughts(reply.text)), cut=reply.cut, given=names)
        again = []
        for question in part:
            if question.item in found.good:
                answer = found.good[question.item]
                cache.put(question, answer, client.model)
                if question.kind == "name":
                    names.add(slug(answer))
                continue
            problems[question.item] = client.hide(found.bad[question.item])
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
    part: Sequence[Question], found: Sequence[Found], *, cut: bool = False, given: set[str] | None = None
) -> Sorted:
    """Answers → questions: each must be answered exactly once (the same twice is once), with what it allows.

    `given`: slugs of names that were given to other items before.
    """
    asked = {question.item.casefold(): question for question in part}
    exact = {question.item: question for question in part}
    said: dict[str, dict[str, None]] = {}
    broken: dict[str, str] = {}
    strange: list[str] = []
    for one in found:
        question = exact.get(one.item or "") or asked.get((one.item or "").strip().casefold())
        if question is None:
            strange += [one.item] if one.item is not None else []
        elif one.answer is None:
            broken[question.item] = one.problem
        else:
            said.setdefault(question.item, {})[one.answer.answer] = None
    good: dict[str, str] = {}
    bad: dict[str, str] = {}
    names = set(given or ())
    for question in part:
        answers = list(said.get(question.item, ()))
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
            bad[question.item] = problem or _missing(found, strange, cut)
    return Sorted(good, bad)


def _missing(found: Sequence[Found], strange: Sequence[str], cut: bool) -> str:
    if cut:
        return "no answer: the reply was cut off"
    if not found:
        return "no answer: the reply has none in the form that is asked for"
    return f"no answer; not asked about: {listed(dict.fromkeys(strange), 3)}" if strange else "no answer"
