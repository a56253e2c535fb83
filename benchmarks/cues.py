"""Cues against a list made by common sense: which ImageNet-1k classes should a sound word name?

python benchmarks/cues.py [--misses tuned]

GOLD was written before any rule of hiergen/lookup/cue.py. The rules were tuned on every other word of the sorted
list; of the rest only the figures were looked at, and "bark".
"""

from __future__ import annotations

import argparse
import time

from hiergen.assets import class_list
from hiergen.errors import HiergenError
from hiergen.lookup.cue import cue
from hiergen.taxonomy.wordnet.nouns import default

# word → synsets: all classes of ImageNet-1k at or below them; none: there is no such class, and a cue should say so
GOLD: dict[str, tuple[str, ...]] = {
    "baa": ("sheep.n.01",),
    "bark": ("dog.n.01",),
    "bell": ("chime.n.01", "bell_cote.n.01"),
    "bleat": ("sheep.n.01", "goat.n.01"),
    "buzz": ("bee.n.01", "fly.n.01"),
    "caw": (),
    "chime": ("chime.n.01",),
    "chirp": ("oscine.n.01", "cricket.n.01"),
    "chug": ("locomotive.n.01",),
    "clip-clop": ("horse.n.01",),
    "cluck": ("n01514859",),  # hen
    "cock-a-doodle-doo": ("n01514668",),  # cock
    "coo": (),
    "croak": ("frog.n.01",),
    "dial tone": ("telephone.n.01",),
    "ding-dong": ("chime.n.01",),
    "drumbeat": ("n03249569", "n04311174"),  # drum, steel drum
    "engine": ("motor_vehicle.n.01", "locomotive.n.01"),
    "gobble": (),
    "growl": ("dog.n.01", "wolf.n.01", "bear.n.01", "big_cat.n.01"),
    "grunt": ("swine.n.01",),
    "gunshot": ("gun.n.01",),
    "hiss": ("snake.n.01",),
    "honk": ("n01855672",),  # goose
    "hoot": ("owl.n.01",),
    "howl": ("wolf.n.01", "dog.n.01"),
    "meow": ("domestic_cat.n.01",),
    "mew": ("domestic_cat.n.01",),
    "moo": ("cattle.n.01",),
    "neigh": ("horse.n.01",),
    "oink": ("swine.n.01",),
    "purr": ("domestic_cat.n.01",),
    "quack": ("duck.n.01",),
    "rattle": ("rattlesnake.n.01",),
    "ribbit": ("frog.n.01",),
    "roar": ("big_cat.n.01",),
    "siren": ("ambulance.n.01", "fire_engine.n.01", "police_van.n.01"),
    "snarl": ("dog.n.01", "wolf.n.01", "big_cat.n.01"),
    "squeak": ("rodent.n.01",),
    "strum": ("guitar.n.01", "banjo.n.01"),
    "thunder": (),
    "ticktock": ("clock.n.01",),
    "trumpet": ("n03110669",),  # cornet, horn, trumpet
    "tweet": ("oscine.n.01",),
    "whinny": ("horse.n.01",),
    "whirr": ("electric_fan.n.01",),
    "whistle": ("n04579432",),  # whistle
    "woof": ("dog.n.01",),
    "yelp": ("dog.n.01",),
}


def gold_classes() -> dict[str, frozenset[str]]:
    wordnet, ids = default(), class_list("imagenet1k")
    above = {class_id: wordnet.closure([class_id]).keys() for class_id in ids}
    wnids = {word: {wordnet.resolve(synset) for synset in synsets} for word, synsets in GOLD.items()}
    return {word: frozenset(c for c in ids if wanted & above[c]) for word, wanted in wnids.items()}


def answer(word: str, every: bool = False) -> frozenset[str]:
    try:
        return frozenset(cue(word, "imagenet1k", every=every).classes)
    except HiergenError:
        return frozenset()


def figures(words: list[str], gold: dict[str, frozenset[str]], every: bool) -> str:
    """Means over words: precision over those that got an answer, recall over those that have one."""
    found = {word: answer(word, every) for word in words}
    answered, wanted = [w for w in words if found[w]], [w for w in words if gold[w]]
    precision = sum(len(found[w] & gold[w]) / len(found[w]) for w in answered) / len(answered)
    recall = sum(len(found[w] & gold[w]) / len(gold[w]) for w in wanted) / len(wanted)
    hit = sum(bool(found[w] & gold[w]) for w in wanted)
    exact = sum(found[w] == gold[w] for w in words)
    silent = [w for w in words if not gold[w]]
    right = sum(not found[w] for w in silent)
    return (
        f"{len(words):5} {precision:9.2f} {recall:7.2f} {hit:5} of {len(wanted):2} {exact:6} of {len(words):2}"
        f" {right:6} of {len(silent)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--misses", choices=("tuned", "held-out", "all"), help="List the words of a part that differ.")
    asked = parser.parse_args().misses
    gold, words = gold_classes(), sorted(GOLD)
    start = time.perf_counter()
    cue("meow", "imagenet1k")
    first = time.perf_counter() - start
    parts = {"tuned": words[::2], "held-out": words[1::2], "all": words}
    # neigh and whinny are one synset: what was tuned for one holds for the other
    tuned = {s for word in parts["tuned"] for s in default().senses(word)}
    parts["held-out, new synsets"] = [w for w in parts["held-out"] if not tuned & set(default().senses(w))]
    print(f"{'':29} words precision  recall   some right   all right  none, rightly")
    for name, part in parts.items():
        for every in (False, True):
            label = f"{name}{', --all' if every else ''}"
            print(f"{label:29} {figures(part, gold, every)}")
    start = time.perf_counter()
    for word in words:
        answer(word)
    print(f"first cue {first:.2f} s, then {(time.perf_counter() - start) / len(words) * 1000:.0f} ms a word")
    for word in parts.get(asked, ()) if asked else ():
        found = answer(word)
        if found != gold[word]:
            right = len(found & gold[word])
            print(f"{word}: {len(found)} classes, {right} right, {len(gold[word]) - right} missed")


if __name__ == "__main__":
    main()
