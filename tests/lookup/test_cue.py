"""Cues, against what the glosses say and what nltk's own functions find below the synsets they name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import hiergen as package
from hiergen.assets import CLASS_LISTS, class_list
from hiergen.errors import HiergenError
from hiergen.lookup.cue import Cue, cue
from hiergen.lookup.gloss import forms, mentions, says, stems
from hiergen.lookup.vocabulary import vocabulary
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.wordnet.nouns import default
from tests.conftest import Ran, Write
from tests.helpers import message

ROOT = Path(__file__).parents[2]
CAT, DOG, HOG, OX, OWL, FROG = "n02123045", "n02110341", "n02395406", "n02403003", "n01622779", "n01641577"
SMALL = [OX, CAT, DOG, HOG, OWL, FROG]


def below(synset: str, ids: tuple[str, ...] = class_list("imagenet1k")) -> tuple[str, ...]:
    """By nltk's own hyponyms."""
    wordnet = default()
    wnid = wordnet.resolve(synset)
    assert wnid
    top = wordnet.synset(wnid)
    wnids = {f"n{s.offset():08d}" for s in (top, *top.closure(lambda s: s.hyponyms()))}
    return tuple(c for c in ids if c in wnids)


@pytest.mark.parametrize(
    ("word", "synset", "sense"),
    [
        ("meow", "cat.n.01", "meow.n.01"),
        ("Meow", "cat.n.01", "meow.n.01"),
        ("meowing", "cat.n.01", "meow.n.01"),
        ("cat meow", "cat.n.01", "meow.n.01"),
        ("bark", "dog.n.01", "bark.n.04"),
        ("barks", "dog.n.01", "bark.n.04"),
        ("barking", "dog.n.01", "bark.n.04"),
        ("hoot", "owl.n.01", "hoot.n.01"),
        ("moo", "cattle.n.01", "moo.n.01"),
        ("chug", "locomotive.n.01", "chug.n.01"),
        ("baa", "sheep.n.01", "baa.n.01"),
    ],
)
def test_cues_of_imagenet1k(word: str, synset: str, sense: str) -> None:
    found = cue(word)
    assert found.classes == below(synset)
    assert found.readings[0].sense == sense
    assert found.evidence[0].startswith(f"{sense}: {default().gloss(default().resolve(sense) or '')} → ")


def test_evidence_and_score_by_hand() -> None:
    found = cue("meow", SMALL)
    # cat.n.01 is the first sense of "cat" and the source; 1 - log(synsets at or below it) / log(82,115)
    top = default().synset(default().resolve("cat.n.01") or "")
    count = 1 + len(set(top.closure(lambda s: s.hyponyms() + s.instance_hyponyms())))
    assert found.score == round(1 - math.log(count) / math.log(82_115), 3)
    assert found.evidence == (
        "meow.n.01: the sound made by a cat (or any sound resembling this) → cat.n.01 → 1 class: tabby",
    )
    assert found.word == "meow"
    assert found.classes == (CAT,)


def test_readings_are_best_first_and_can_be_chosen() -> None:
    found = cue("trumpet", ["n03110669", "n02504458"])  # cornet, African elephant
    assert [r.score for r in found.readings] == sorted((r.score for r in found.readings), reverse=True)
    for reading in found.readings:
        if reading.sense:
            chosen = cue("trumpet", ["n03110669", "n02504458"], sense=reading.sense)
            assert (chosen.classes, chosen.score) == (reading.classes, reading.score)
    everything = cue("bell", every=True)
    assert set(everything.classes) == {c for r in everything.readings for c in r.classes}
    assert everything.score == max(r.score for r in everything.readings)
    assert cue("bark", sense="bark.n.4").classes == cue("bark").classes


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda: cue("meoww"), "no noun 'meoww' in WordNet 3.0, nor among the classes; nearest: meow"),
        (lambda: cue("tabyb", SMALL), "nor among the classes; nearest: tabby"),
        (lambda: cue("  "), "a cue needs a word; got '  '"),
        (lambda: cue("thunder", SMALL), "'thunder' leads to no class of this taxonomy (boom.n.01: a deep prolonged"),
        (
            lambda: cue("bark", [CAT]),
            "'bark' leads to no class of this taxonomy (bark.n.02: a noise resembling the bark of a dog; nor",
        ),
        (lambda: cue("bark", sense="tree.n.01"), "'bark' has no sense 'tree.n.01'; expected one of bark.n.01, bark"),
        (lambda: cue("bark", sense="foo"), "'bark' has no sense 'foo'"),
        (lambda: cue("bark", sense="bark.n.01"), "bark.n.01 leads to no class of this taxonomy (tough protective"),
        (lambda: cue("bark", sense="bark.n.01"), "; these do: bark.n.04"),
        (lambda: cue("meow", []), "there is no class to find"),
        (lambda: cue("meow", 3), "there are no classes to read; expected a taxonomy, a network, a list of class ids"),
        (lambda: cue("meow", [1, 2]), "got 'int'"),
        (lambda: cue("meow", b"cat"), "got 'bytes'"),
        (lambda: cue("meow", "imagenet10"), "no classes at 'imagenet10'; expected a taxonomy file, a generated file"),
        (lambda: cue("meow", "no/such.yaml"), "no/such.yaml: no such file"),
        (lambda: cue("meow", "no/such.py"), "no/such.py: no such file"),
    ],
)
def test_wrong(act: Callable[[], object], sentence: str) -> None:
    assert sentence in message(act)


def test_no_class_is_found_by_accident() -> None:
    """Animals that these classes lack: nothing, rather than a far relative."""
    for word in ("coo", "gobble", "caw", "neigh", "quack"):
        assert "leads to no class" in message(lambda word=word: cue(word, SMALL))


def test_what_glosses_of_unheard_things_mention_counts_little() -> None:
    # siren.n.04 is "an acoustic device producing a … sound as a signal", and a traffic light is a signal
    assert "leads to no class" in message(lambda: cue("siren"))
    assert "traffic light" in vocabulary("imagenet1k").names


@pytest.mark.parametrize(
    "source",
    [
        SMALL,
        tuple(SMALL),
        dict.fromkeys(SMALL, "x"),
        {"animal": {"cats": {CAT: "tabby"}, "others": {c: c for c in SMALL if c != CAT}}},
        SimpleNamespace(nesting=Nesting.from_tree({"g": dict.fromkeys(SMALL, "x")}, SMALL[::-1])),
        Nesting.from_levels([*SMALL[2:], OX, "house_cat"], []),
    ],
    ids=["list", "tuple", "flat", "nested", "network", "names"],
)
def test_sources(source: Any) -> None:
    found = cue("meow", source)
    assert len(found.classes) == 1
    assert found.classes[0] in {CAT, "house_cat"}


def test_classes_come_in_logit_order() -> None:
    network = SimpleNamespace(nesting=Nesting.from_levels(below("cat.n.01")[::-1], []))
    assert cue("meow", network).classes == below("cat.n.01")[::-1]


def test_loaded_taxonomy_with_own_names(write: Write, load: Callable[[str], Any]) -> None:
    taxonomy = load(
        """
name: mine
classes: [robo_7, n02123045, zorb_2, n02403003]
names: {robo_7: robot "one", zorb_2: zörb/2}
sources:
- groups: {gadget: [robo_7, zorb_2], pet: [n02123045], farm: [n02403003]}
"""
    )
    assert cue("gadget", taxonomy).classes == ("robo_7", "zorb_2")
    assert (
        cue("gadget", taxonomy).evidence[0].startswith("'gadget' → group 'gadget' → 2 classes: robot \"one\", zörb/2")
    )
    assert cue("zörb/2", taxonomy).classes == ("zorb_2",)
    assert cue('robot "one"', taxonomy).classes == ("robo_7",)
    assert cue("moo", taxonomy).classes == ("n02403003",)


def test_one_class_only() -> None:
    assert cue("purring", [CAT]).classes == (CAT,)


@pytest.mark.parametrize("name", CLASS_LISTS)
def test_every_class_of_the_lists_is_found_by_its_name(name: str) -> None:
    known = vocabulary(name)
    for class_id, shown in list(zip(known.ids, known.names, strict=True))[:: max(1, len(known.ids) // 40)]:
        assert class_id in cue(shown, known).classes


@pytest.mark.parametrize("name", CLASS_LISTS)
def test_it_works_for_the_shipped_taxonomies(name: str) -> None:
    taxonomy = package.load_taxonomy(ROOT / "taxonomies" / f"{name}.yaml")
    ids = {c.id for c in taxonomy.classes}
    answers = {}
    for word in ("meow", "bark", "hiss", "engine", "bell", "baa", "chirp"):
        with suppress(HiergenError):
            answers[word] = cue(word, taxonomy)
    assert answers or name == "imagenette"
    assert all(set(found.classes) <= ids and found.evidence and 0 < found.score <= 1 for found in answers.values())
    if dogs := below("dog.n.01", tuple(ids)):
        assert set(answers["bark"].classes) == set(dogs)


def test_public_api() -> None:
    assert package.cue is cue
    assert package.Cue is Cue
    with pytest.raises(AttributeError):
        cue("meow", SMALL).score = 1.0  # type: ignore[misc]


# glosses


@pytest.mark.parametrize(
    ("gloss", "expected"),
    [
        ("the sound made by a cat", [("sound", "genus"), ("cat", "source")]),
        ("the sound of sheep or goats", [("sound", "genus"), ("sheep", "source"), ("goats", "source")]),
        ("a loud cry (as of an owl)", [("loud", None), ("cry", "genus"), ("owl", "source")]),
        ("a shaft of lightning", [("shaft", "genus"), ("lightning", "detail")]),
        ("played by means of valves", [("means", "detail"), ("valves", "detail")]),
        ("a noise like a dog", [("noise", "genus"), ("dog", "likeness")]),
        ("made by a turkey cock in the yard", [("turkey cock", "source"), ("yard", "detail")]),
        ("a horse's hoofs", [("horse", "genus"), ("hoofs", "genus")]),
        ("", []),
        ("(of; ,)", []),
    ],
)
def test_mentions(gloss: str, expected: list[tuple[str, str | None]]) -> None:
    sounds = {default().senses("sound")[0], default().senses("cry")[0]}
    found = {m.text: m.role for m in mentions(gloss, default(), lambda wnid: wnid in sounds)}
    wanted = {text: role for text, role in expected if role}
    assert {text: role for text, role in found.items() if text in wanted} == wanted
    assert set(found) <= {text for text, _ in expected} | {"played"}


def test_forms() -> None:
    assert {"bark", "barks", "barking", "barked"} <= forms("bark")
    assert {"purrs", "purring"} <= forms("purr")
    assert {"hum", "humming", "hummed"} <= forms("hum")
    assert {"whistling", "whistled"} <= forms("whistle")
    assert list(stems("humming")) == ["humm", "humme", "hum"]
    assert list(stems("ring")) == []
    assert says("having the inability to bark.", "bark")
    assert not says("a barker or an embarked one", "bark")
    assert says("a wind instrument of brass", "wind instrument")


# the command


def test_command(hiergen: Callable[..., Ran]) -> None:
    ran = hiergen("cue", "meow", "bark")
    assert ran.code == 0
    assert "meow → 7 classes (score 0." in ran.out
    assert "meow.n.01: the sound made by a cat" in ran.out.replace("\n", " ")
    assert "bark → 118 classes" in ran.out


def test_command_json_and_files(hiergen: Callable[..., Ran], write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = hiergen("cue", "moo", "oink", "--json", write(f"name: t\nclasses: {SMALL}\nsources: [wordnet]\n"))
    data = json.loads(ran.out)
    assert [(one["word"], one["classes"]) for one in data] == [
        ("moo", [{"id": OX, "name": "ox"}]),
        ("oink", [{"id": HOG, "name": "hog"}]),
    ]
    assert data[0]["readings"][0]["sense"] == "moo.n.01"
    source = write(
        f"""
raise SystemExit  # the file is read, never run
IDS = {SMALL}
class N1(X):
    taxonomy = TREE
    classes = IDS
class N2(X):
    taxonomy = TREE_2
    classes = IDS
class Other:
    taxonomy = call()
TREE = {dict.fromkeys(SMALL, "y")}
TREE_2 = {{"a": {dict.fromkeys(SMALL, "y")}}}
""",
        "generated/toy.py",
    )
    monkeypatch.chdir(source.parents[1])
    for model in (source, f"{source}:N1", "generated/toy.py:N2", "generated.toy:N1", "toy_n1", "TOY_N2"):
        ran = hiergen("cue", "moo", "--json", model)
        assert (ran.code, ran.err) == (0, ""), model
        assert json.loads(ran.out)[0]["classes"][0]["id"] == OX
    assert "no model 'N3'; expected one of N1, N2" in hiergen("cue", "moo", f"{source}:N3").err
    assert "this is no Python file" in hiergen("cue", "moo", write("class (", "b.py")).err
    assert "no generated model in this file" in hiergen("cue", "moo", write("a = 1", "c.py")).err


def test_command_wrong_words(hiergen: Callable[..., Ran]) -> None:
    ran = hiergen("cue", "meoww", "meow", "thunder")
    assert ran.code == 2
    assert "meow → 7 classes" in ran.out  # what can be answered is
    assert [line[:30] for line in ran.err.splitlines()] == [
        "error: no noun 'meoww' in Word",
        "error: 'thunder' leads to no c",
    ]
    ran = hiergen("cue", "a.yaml")
    assert (ran.code, ran.err) == (2, "error: no word given; expected hiergen cue WORD … [FILE], got 'a.yaml'\n")
    assert hiergen("cue").code == 2


def test_command_sense_and_all(hiergen: Callable[..., Ran]) -> None:
    assert re.search(r"bell → 3 classes", hiergen("cue", "bell", "--all").out)
    assert re.search(r"bell → 1 class \(score", hiergen("cue", "bell", "--sense", "chime.n.01").out)
    assert "also 0." in hiergen("cue", "bell").out
