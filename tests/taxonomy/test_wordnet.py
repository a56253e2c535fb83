"""wordnet.py against a plain linear parse of the same files, and among threads and processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from hiergen.assets import class_list
from hiergen.errors import TaxonomyError
from hiergen.taxonomy.wordnet import files as wordnet_files
from hiergen.taxonomy.wordnet.nouns import WordNet, default

Parsed = dict[str, tuple[list[str], list[str], list[str], str]]


@pytest.fixture(scope="module")
def texts() -> dict[str, bytes]:
    with resources.files("hiergen.assets").joinpath("wordnet", "nouns.zip").open("rb") as file:
        archive = zipfile.ZipFile(file)
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def parsed(texts: dict[str, bytes]) -> Parsed:
    """wnid → lemmas, hypernyms in order, hyponyms, gloss; by counting fields, as wndb(5WN) says."""
    synsets: Parsed = {}
    for line in texts["data.noun"].decode().splitlines():
        if line.startswith("  "):
            continue
        front, _, gloss = line.partition("|")
        fields = front.split()
        lemmas = [fields[4 + 2 * i] for i in range(int(fields[3], 16))]
        rest = fields[4 + 2 * len(lemmas) :]
        pointers = [rest[1 + 4 * i : 5 + 4 * i] for i in range(int(rest[0]))]
        up = [f"n{to}" for symbol, to, _, _ in pointers if symbol in ("@", "@i")]
        down = [f"n{to}" for symbol, to, _, _ in pointers if symbol in ("~", "~i")]
        synsets[f"n{fields[0]}"] = (lemmas, up, down, gloss.strip())
    return synsets


@pytest.fixture(scope="module")
def senses(texts: dict[str, bytes]) -> dict[str, list[str]]:
    lines = [line.split() for line in texts["index.noun"].decode().splitlines() if not line.startswith("  ")]
    return {line[0]: [f"n{offset}" for offset in line[len(line) - int(line[2]) :]] for line in lines}


# values


def test_counts(texts: dict[str, bytes], parsed: Parsed) -> None:
    assert len(texts["data.noun"]) == 15_300_280
    assert len(parsed) == 82_115
    front = (line.split(b"|")[0].split() for line in texts["data.noun"].splitlines() if line[:1] != b" ")
    assert sum(fields.count(b"@") > 1 for fields in front) == 1422  # without instance hypernyms
    assert sum(len(up) > 1 for _, up, _, _ in parsed.values()) == 2213  # with them
    assert default().version == "3.0"


def test_shipped_files_are_sound() -> None:
    files = wordnet_files.shipped()
    assert wordnet_files.check(files).index == files.index[files.index.index(b"\n'hood") + 1 :]


def test_relations_equal_a_linear_parse(parsed: Parsed) -> None:
    wordnet = default()
    for wnid, (_, up, down, _) in parsed.items():
        assert wordnet.hypernyms(wnid) == tuple(up)
        assert wordnet.hyponyms(wnid) == tuple(sorted(down))


def test_every_lemma_is_found(senses: dict[str, list[str]]) -> None:
    index = default().reader.lemma_index
    assert len(index) == len(senses) == 117_798
    assert list(index) == list(senses)
    for lemma, wnids in senses.items():
        assert index[lemma]["n"] == [int(wnid[1:]) for wnid in wnids]
    for wrong in ("", " ", "do", "dog ", "zzz", "!", "\x00", "~", "é", "\ud800", "dog n", "princeton"):
        assert (wrong in index) == (wrong in senses)


def test_names_resolve_both_ways(parsed: Parsed, senses: dict[str, list[str]]) -> None:
    wordnet = default()
    for wnid in random.Random(0).sample(sorted(parsed), 2000):
        lemmas, _, _, gloss = parsed[wnid]
        number = senses[lemmas[0].lower()].index(wnid) + 1
        assert wordnet.synset_name(wnid) == f"{lemmas[0].lower()}.n.{number:02d}"
        assert wordnet.resolve(wordnet.synset_name(wnid)) == wnid
        assert wordnet.resolve(f"{lemmas[-1]}.n.{senses[lemmas[-1].lower()].index(wnid) + 1}") == wnid
        assert wordnet.resolve(wnid) == wnid
        assert wordnet.lemmas(wnid) == tuple(lemma.replace("_", " ") for lemma in lemmas)
        assert wordnet.gloss(wnid).split('"')[0].split(";")[0].strip() in gloss
        assert wnid in wordnet.senses(lemmas[0])


@pytest.mark.parametrize(
    ("name", "wnid"),
    [
        ("n02123045", "n02123045"),
        ("n02123046", None),  # inside a line
        ("N02123045", None),
        ("n2123045", None),
        ("n02123045\n", None),
        ("n٠٢١٢٣٠٤٥", None),
        ("n99999999", None),
        ("n00000001", None),
        ("tabby.n.01", "n02123045"),
        ("tabby.n.1", "n02123045"),
        ("Tabby.n.01", "n02123045"),
        ("tabby.n.0", None),
        ("tabby.n.-1", None),
        ("tabby.n.04", None),
        ("tabby.v.01", None),
        ("tabby", None),
        ("tabby.n.", None),
        ("tabby.n.01 ", None),
        ("tabby.n.01\n", None),
        ("tiger cat.n.02", "n02123159"),
        (".22.n.01", "n04502851"),
        ("einstein.n.01", "n10954498"),  # an instance
        ("", None),
        (".n.01", None),
    ],
)
def test_resolve(name: str, wnid: str | None) -> None:
    assert default().resolve(name) == wnid


def test_senses() -> None:
    wordnet = default()
    cats = ("n02126465", "n02123159")  # Felis tigrina, the tabby-like cat
    for form in ("tiger cat", "tiger_cat", "Tiger Cat", "  tiger   cats "):
        assert wordnet.senses(form) == cats
    assert wordnet.senses("dogs") == wordnet.senses("dog")
    assert wordnet.senses("dog")[0] == "n02084071"
    assert wordnet.senses("geese") == wordnet.senses("goose")  # noun.exc
    assert [wordnet.synset_name(wnid) for wnid in wordnet.senses("glasses")][:2] == [
        "spectacles.n.01",
        "glass.n.01",
    ]
    for nothing in ("", " ", "tiger_catt", "n02123045", "\ud800"):
        assert wordnet.senses(nothing) == ()


def test_order_of_hypernyms_is_that_of_the_line() -> None:
    wordnet = default()
    assert wordnet.hypernyms("n02084071") == ("n02083346", "n01317541")  # the higher offset first
    assert [f"n{s.offset():08d}" for s in wordnet.synset("n02084071").hypernyms()] == [
        "n02083346",
        "n01317541",
    ]
    assert wordnet.hypernyms("n00001740") == ()


def test_closure_of_imagenet() -> None:
    wordnet = default()
    above = wordnet.closure(class_list("imagenet1k"))
    assert len(above) == 1860
    assert sum(len(parents) > 1 for parents in above.values()) == 75
    assert list(above) == sorted(above)
    assert wordnet.closure([]) == {}


def test_descendants_ancestors_depth(parsed: Parsed) -> None:
    wordnet = default()
    assert wordnet.descendants("n00001740") == set(parsed) - {"n00001740"}
    assert wordnet.descendants("n02123045") == frozenset()
    dog = "n02084071"
    assert len(wordnet.descendants(dog)) == 189
    for below in wordnet.descendants(dog):
        assert wordnet.is_ancestor(dog, below)
        assert not wordnet.is_ancestor(below, dog)
    assert not wordnet.is_ancestor(dog, dog)
    assert not wordnet.is_ancestor(dog, "n02123045")
    assert wordnet.depth("n00001740") == 0
    for wnid in random.Random(1).sample(sorted(parsed), 200):
        assert wordnet.depth(wnid) == wordnet.synset(wnid).max_depth()


def test_unknown_wnid_names_the_nearest() -> None:
    wordnet = default()
    calls: list[Callable[[str], object]] = [
        wordnet.synset, wordnet.synset_name, wordnet.lemmas, wordnet.gloss, wordnet.hypernyms,
        wordnet.hyponyms, wordnet.descendants, wordnet.depth,
        lambda wnid: wordnet.closure(["n02123045", wnid]),
        lambda wnid: wordnet.is_ancestor(wnid, "n02123045"),
        lambda wnid: wordnet.is_ancestor("n02123045", wnid),
    ]  # fmt: skip
    for call in calls:
        call("n02123045")
        with pytest.raises(TaxonomyError, match=r"^no noun synset 'n02123046' in .*; nearest: n02123045$"):
            call("n02123046")
    with pytest.raises(TaxonomyError, match=r"'dog' .*; expected a wnid such as n02123045"):
        wordnet.lemmas("dog")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tabbi", "tabby"), ("tabbi.n.01", "tabby.n.01"), ("dgo", "dog"), ("dog.n.99", "dog.n.07"),
        ("n02123054", "n02123045"), ("n0212345", "n02123045"), ("siberian huskie", "siberian husky"),
        ("Staffordshire bulterrier.n.03", "staffordshire_bullterrier.n.01"),
    ],
)  # fmt: skip
def test_nearest_names(text: str, name: str) -> None:
    names = default().nearest_names(text)
    assert name in names
    assert len(names) <= 3
    assert names == default().nearest_names(text)


def test_nearest_names_is_quick_and_never_fails() -> None:
    for text in ("", " ", "é", "\ud800", "c" * 5000, "constitutionalizatio", "(", "n.n.n.01", "x.n.99"):
        start = time.perf_counter()
        default().nearest_names(text)
        assert time.perf_counter() - start < 1  # 0.05 s where nothing else runs
    assert default().nearest_names("zzzzqqq") == ()


# threads and processes


def _answers(wnids: list[str]) -> list[object]:
    wordnet = default()
    names = [(wordnet.synset_name(wnid), wordnet.hypernyms(wnid), wordnet.gloss(wnid)) for wnid in wnids]
    return [*names, *(wordnet.resolve(name) for name, _, _ in names)]


def test_threads_get_the_answers_of_one(parsed: Parsed) -> None:
    wordnet, wnids = WordNet(), random.Random(2).sample(sorted(parsed), 400)
    expected = [(wordnet.synset_name(wnid), wordnet.gloss(wnid)) for wnid in wnids]
    fresh = WordNet()
    got: dict[int, list[object]] = {}
    barrier = threading.Barrier(12)

    def work(seed: int) -> None:
        mine = [*wnids] if seed % 2 else random.Random(seed).sample(wnids, len(wnids))
        barrier.wait()
        found = {wnid: (fresh.synset_name(wnid), fresh.gloss(wnid), fresh.synset(wnid)) for wnid in mine}
        got[seed] = [found[wnid] for wnid in wnids]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 12
    for seed in got:
        assert [(name, gloss) for name, gloss, _ in got[seed]] == expected  # type: ignore[misc]
        assert all(a[2] is b[2] for a, b in zip(got[seed], got[0], strict=True))  # type: ignore[index]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_get_the_answers_of_one(method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    wnids = list(class_list("imagenet100"))
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_answers, [wnids, wnids]) == [_answers(wnids)] * 2


def test_default_is_one_and_pickles_by_name() -> None:
    assert default() is default()
    assert pickle.loads(pickle.dumps(default())) is default()  # noqa: S301


COLD = """
import os, socket, sys, threading, time
def refuse(*_): raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = refuse
import nltk.corpus.reader.wordnet
paths = list(nltk.data.path)
def peak():  # MiB
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) // 1024
before, start = peak() if sys.platform == "linux" else 0, time.perf_counter()
from hiergen.taxonomy.wordnet.nouns import default
print(default().synset_name("n02123045"), [s.name() for s in default().synset("n02084071").hypernyms()])
assert time.perf_counter() - start < 2, "0.1 s where nothing else runs"
assert sys.platform != "linux" or peak() - before < 40, f"{peak() - before} MiB"
assert nltk.data.path == paths
assert "torch" not in sys.modules
"""


def test_cold_start_in_an_empty_environment(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    environment = {"PYTHONPATH": root, "HOME": str(tmp_path), "PATH": os.defpath}
    command = [sys.executable, "-W", "error", "-c", COLD]
    run = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == "tabby.n.01 ['canine.n.02', 'domestic_animal.n.01']\n"
    assert list(tmp_path.iterdir()) == []


def test_what_nltk_would_read_elsewhere_is_refused() -> None:
    synset = default().synset("n02084071")
    for call in (
        lambda: synset.lemmas()[0].count(),
        lambda: default().reader.synset_from_pos_and_offset("v", 1),
    ):
        with pytest.raises(TaxonomyError, match="only the nouns are here"):
            call()
    assert default().reader.synsets("dogs")[0] == synset
