"""Texts with answers in them, files of them, and the cache: what is found, and what is said of the rest."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hiergen.errors import SpecError
from hiergen.files import MAX_BYTES
from hiergen.nestings.ask.answers import find_answers, read_answers, without_thoughts
from hiergen.nestings.ask.cache import read_cache
from hiergen.nestings.ask.questions import Question
from hiergen.nestings.ask.session import sort_out


def place(item: str, *allowed: str) -> Question:
    allowed = allowed or ("cat", "dog")
    return Question("place", item, {"item": item, "candidates": [{"group": name} for name in allowed]}, allowed)


A = '{"item": "tabby", "answer": "cat"}'
B = '{"item": "pug", "answer": "dog"}'


@pytest.mark.parametrize(
    "text",
    [
        f'{{"answers": [{A}, {B}]}}',
        f"[{A},{B}]",
        f"{A}\n{B}",
        f'Sure, here you are:\n```json\n{{\n  "answers": [\n{A},\n{B}]}}\n```\nAnything else?',
        f'```json\n{{"answers": [{A}]}}\n```\nsecond paste\n```\n{{"answers": [{B}]}}\n```',
        f'{{"answers": [{A}, {B}',  # cut off
        f'{{"answers": [{A}, {B}, {{"other": 1}}',
        f'{{"answers": [{A} {B}]}}',  # a comma lost
        '{"item": "tabby", "answer": "cat", "reason": "it is {a} cat"} ' + B,
        json.dumps(
            {"custom_id": "prompt-1", "response": {"body": {"choices": [{"message": {"content": f"[{A},{B}]"}}]}}}
        ),
        json.dumps({"choices": [{"message": {"content": f'<think>{B[:-5]}cat"}}</think>{A}\n{B}'}}]}),
    ],
)
def test_answers_are_found_wherever_they_stand(text: str) -> None:
    result = find_answers(text)
    assert [(f.answer.item, f.answer.answer) for f in result if f.answer] == [("tabby", "cat"), ("pug", "dog")]
    assert sort_out([place("tabby"), place("pug")], result)[1] == {}


@pytest.mark.parametrize(
    "text",
    ["", "I am sorry", "{}", "[]", "null", '{"tabby": "cat"}', "{" * 5000, '{"a":' * 5000, "[" * 5000, '"item": "x"'],
)
def test_texts_without_answers(text: str) -> None:
    assert find_answers(text) == []


@pytest.mark.parametrize(
    ("text", "item", "problem"),
    [
        ('{"item": "tabby", "answer": 3}', "tabby", '"answer" is a number, not text'),
        ('{"item": "tabby", "answer": ["cat"]}', "tabby", '"answer" is a list, not text'),
        ('{"item": "tabby", "answer": {"group": "cat"}}', "tabby", '"answer" is an object, not text'),
        ('{"item": "tabby", "answer": null}', "tabby", '"answer" is null, not text'),
        ('{"item": "tabby", "answer": true}', "tabby", '"answer" is true or false, not text'),
        ('{"item": "tabby"}', "tabby", 'has no "answer"'),
        ('{"answer": "cat"}', None, 'has no "item"'),
        ('{"item": 7, "answer": "cat"}', None, '"item" is a number, not text'),
        ('{"item": "tabby", "answer": "cat", "answer": "dog"}', "tabby", "is not JSON ('answer' stands twice)"),
        ('{"item": "tabby", "answer": cat}', "tabby", "is not JSON (expecting value)"),
        ("{“item”: “tabby”, “answer”: “cat”}", None, "is not JSON (expecting property name enclosed in double quotes)"),
        ('{"item": "tabby", "answer": "cat', "tabby", "is not JSON (unterminated string starting at)"),
        ('{"item": "tabby", "answer": ' + "9" * 5000 + "}", "tabby", None),
    ],
)
def test_broken_answers_say_what_is_wrong(text: str, item: str | None, problem: str | None) -> None:
    (result,) = find_answers(f"one\n\n{text}")
    assert (result.line, result.item, result.answer) == (3, item, None)
    assert problem is None or result.problem == problem


def test_thoughts_do_not_count() -> None:
    assert without_thoughts(f"<think>maybe {A}") == ""
    assert without_thoughts(f"<think>{A}</think>{B}") == B


def test_replies_are_sorted_out() -> None:
    part = [place("tabby"), place("pug"), place("lion"), place("wolf"), place("fox"), place("Owl")]
    text = """{"answers": [{"item": "tabby", "answer": "CAT "}, {"item": "pug", "answer": "bird"},
    {"item": "lion", "answer": "cat"}, {"item": "lion", "answer": "dog"}, {"item": "wolf", "answer": "dog"},
    {"item": "wolf", "answer": "dog"}, {"item": "unicorn", "answer": "cat"}, {"item": "owl", "answer": "cat"}]}"""
    good, bad = sort_out(part, find_answers(text))
    assert good == {"tabby": "cat", "wolf": "dog", "Owl": "cat"}
    assert bad == {
        "pug": "'bird' is none of its candidates 'cat', 'dog'",
        "lion": "several answers: 'cat', 'dog'",
        "fox": "no answer; not asked about: 'unicorn'",
    }
    assert sort_out(part[:1], [])[1] == {"tabby": "no answer: the reply has none in the form that is asked for"}
    assert sort_out(part[:1], [], cut=True)[1] == {"tabby": "no answer: the reply was cut off"}


def test_names_are_checked() -> None:
    part = [Question("name", f"n{i}", {}, taken=frozenset({"cat"})) for i in range(7)]
    given = ["songbird", "Song Bird", "", "cat", "a" * 41, "two\nlines", "x\u202ey"]
    text = json.dumps([{"item": f"n{i}", "answer": answer} for i, answer in enumerate(given)])
    good, bad = sort_out(part, find_answers(text), given={"finch"})
    assert good == {"n0": "songbird", "n1": "Song Bird", "n5": "two lines"}
    assert list(bad) == ["n2", "n3", "n4", "n6"]
    assert bad["n3"] == "'cat' is the name of a class or of another group"
    twice = json.dumps(
        [{"item": "n0", "answer": "finch"}, {"item": "n1", "answer": "owl"}, {"item": "n2", "answer": "Owl"}]
    )
    assert sort_out(part[:3], find_answers(twice), given={"finch"})[0] == {"n1": "owl"}


# a person's file


def pasted(path: Path, text: str, *questions: Question) -> dict[str, str]:
    path.write_text(text, "utf-8")
    result = read_answers(path)
    good = result.take(questions)
    result.finish(questions)
    return good


def test_a_pasted_file_gives_its_answers(tmp_path: Path) -> None:
    text = f"# my chat\n```json\n[{A}]\n```\nand\n{B}\n{B}\n"
    questions = [place("tabby"), place("pug"), place("lion")]
    assert pasted(tmp_path / "a.md", text, *questions) == {"tabby": "cat", "pug": "dog"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hello\n", "a.md: has no answers in it; expected JSON as"),
        (f'{A}\n\n{B[:-5]}bird"}}\n', "a.md:3: the answer of 'pug' cannot be: 'bird' is none of its candidates"),
        (f'{A}\n{{"item": "pug", "answer": 1}}', "a.md:2: the answer of 'pug' \"answer\" is a number, not text"),
        (f"{A}\n{A.replace('cat', 'dog')}", "a.md:2: another answer of 'tabby': 'dog'; line 1 says 'cat'; remove one"),
        (f'{A}\n\n{{"item": "bug", "answer": "dog"}}', "a.md:3: 'bug' is not asked about; nearest: pug"),
        (f'{A}\n{{"answer": "dog"}}', 'a.md:2: an answer has no "item"'),
        (f'{A}\n{{"item": "pug", "answer": dog}}', "a.md:2: the answer of 'pug' is not JSON (expecting value)"),
    ],
)
def test_a_pasted_file_is_checked_by_line(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(SpecError) as error:
        pasted(tmp_path / "a.md", text, place("tabby"), place("pug"))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


# the cache


def test_a_cache_is_one_sorted_line_per_answer_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "t.answers.json"
    cache = read_cache(path)
    questions = [place("tabby"), place("pug"), place('Ä \u2028 "x"')]
    for question in questions:
        cache.put(question, "dog", "m1")
    assert not path.exists()
    cache.save()
    text = path.read_text("utf-8")
    assert json.loads(text)["version"] == 1
    lines = text.split("\n")
    assert [line.count('"item"') for line in lines] == [0, 1, 1, 1, 0, 0]
    assert [json.loads(line.rstrip(","))["item"] for line in lines[1:4]] == ["pug", "tabby", 'Ä \u2028 "x"']
    again = read_cache(path)
    again.put(questions[1], "cat", "m2")
    again.put(questions[2], None, "m2")
    again.save()
    changed = path.read_text("utf-8").split("\n")
    assert [i for i in range(len(lines)) if changed[i] != lines[i]] == [1, 3]
    entries = [read_cache(path).entry(question) for question in questions]
    assert [(e.answer, e.by) for e in entries if e] == [("dog", "m1"), ("cat", "m2"), (None, "m2")]
    before = path.stat().st_mtime_ns
    same = read_cache(path)
    same.put(questions[0], "dog", "m1")
    same.save()
    assert path.stat().st_mtime_ns == before  # nothing new, nothing written
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")), indent=4), "utf-8")  # another layout
    assert read_cache(path).entry(questions[0]) == entries[0]


def test_a_cache_that_grew_large_is_read(tmp_path: Path) -> None:
    """What was paid for is not refused for being more than a taxonomy file may have."""
    path = tmp_path / "c.json"
    cache = read_cache(path)
    for i in range(900):
        cache.put(place(f"{i} {'x' * 10_000}"), "dog", "m")
    cache.save()
    assert path.stat().st_size > MAX_BYTES
    assert read_cache(path).entry(place(f"899 {'x' * 10_000}")) is not None


def test_an_answer_holds_for_the_question_word_for_word(tmp_path: Path) -> None:
    cache = read_cache(tmp_path / "c.json")
    question = place("tabby")
    cache.put(question, "cat", "m")
    assert cache.entry(place("tabby")) is not None
    assert cache.entry(place("tabby", "cat", "dog", "car")) is None
    other = Question("place", "tabby", {**question.about, "gloss": "a cat"}, question.allowed)
    assert cache.entry(other) is None
    assert question.key != place("pug").key
    assert Question("name", "x", {}).key != Question("place", "x", {}).key


def damaged(change: str) -> str:
    good = f'{{"item": "pug", "question": "{place("pug").key}", "answer": "dog", "by": "m"}}'
    one = f'{{"item": "tabby", "question": "{place("tabby").key}", "answer": "cat", "by": "m"}}'
    text = f'{{"version": 1, "answers": [\n{good},\n{one}\n]}}\n'
    old, new = change.split("→")
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ('"cat", →"cat" ', "c.json:3: is not JSON (expecting ',' delimiter)"),
        ("]}→", "c.json:3: is not JSON"),
        ("},→},\n<<<<<<< HEAD", "c.json:3: is not JSON (expecting value)"),
        ('"cat"→5', "c.json:3: this answer is damaged: 'answer': input should be a valid string"),
        ('"cat"→"lion"', "c.json:3: the answer of 'tabby' cannot be: 'lion' is none of its candidates 'cat', 'dog'"),
        ('"dog"→"dog", "why": 1', "c.json:2: this answer is damaged: 'why': extra inputs are not permitted"),
        (f'"{place("pug").key}"→"12"', "c.json:2: this answer is damaged: 'question': string should match pattern"),
        (
            f"{place('pug').key}→{place('tabby').key}",
            "c.json:3: two answers to one question about 'tabby': 'dog', 'cat'",
        ),
        ('"version": 1→"version": 2', "c.json: is no file of answers"),
        ('{"version": 1, "answers"→{"version": 1, "answer"', "c.json: is no file of answers"),
        ('"version": 1→"x": {"answers": [1]}, "version": 1, "answers": [2]', None),
    ],
)
def test_a_damaged_cache_is_one_sentence_with_the_line(tmp_path: Path, change: str, sentence: str | None) -> None:
    path = tmp_path / "c.json"
    path.write_text(damaged(change), "utf-8")
    if sentence is None:  # the last "answers" of the outer object count, as in every JSON reader
        assert read_cache(path).entry(place("pug")) is not None
        return
    with pytest.raises(SpecError) as error:
        read_cache(path).entry(place("tabby"))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "null", "[]", "[" * 100_000, '{"version": 1, "answers": {}}', "9" * 5000])
def test_other_files_are_no_cache(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(SpecError, match=r"c\.json"):
        read_cache(path)


def test_a_cache_that_several_write_keeps_what_each_was_told(tmp_path: Path) -> None:
    """Several runs for one taxonomy file, each begun before the others saved; the lock holds threads apart too."""
    path = tmp_path / "a.answers.json"
    shared = place("everyone")

    def run(name: str) -> None:
        cache = read_cache(path)
        for i in range(20):
            cache.put(place(f"{name}{i}"), "cat", name)
            cache.put(shared, "dog" if i else "cat", name)
            cache.save()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, "abcdefgh"))
    whole = read_cache(path)
    for name in "abcdefgh":
        for i in range(20):
            assert (entry := whole.entry(place(f"{name}{i}"))) is not None
            assert (entry.answer, entry.by) == ("cat", name)
    assert (entry := whole.entry(shared)) is not None
    assert entry.answer == "dog"


def test_what_is_saved_last_holds_for_its_own_answers_only(tmp_path: Path) -> None:
    path = tmp_path / "a.answers.json"
    ours, theirs = read_cache(path), read_cache(path)
    ours.put(place("both"), "cat", "ours")
    theirs.put(place("both"), "dog", "theirs")
    theirs.put(place("other"), "dog", "theirs")
    ours.save()
    theirs.save()
    ours.put(place("mine"), "cat", "ours")
    ours.save()
    result = read_cache(path)
    entries = [result.entry(place(item)) for item in ("both", "other", "mine")]
    assert [entry and entry.by for entry in entries] == ["ours", "theirs", "ours"]
    assert ours.entry(place("other")) == entries[1]


def test_a_cache_damaged_meanwhile_costs_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.answers.json"
    cache = read_cache(path)
    cache.put(place("tabby"), "cat", "m")
    path.write_text("{", "utf-8")
    cache.save()
    assert (entry := read_cache(path).entry(place("tabby"))) is not None
    assert entry.answer == "cat"
