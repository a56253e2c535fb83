"""What the fuzzing found, each as the smallest input that showed it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hiergen.formats.exporting import export_tree
from hiergen.formats.importing import import_tree
from hiergen.nestings.read import nesting_of
from hiergen.nestings.suggest.write import write_suggestion
from hiergen.taxonomy.classes import ClassEntry
from hiergen.taxonomy.load import load_taxonomy

Write = Callable[..., Path]


def said(classes: tuple[ClassEntry, ...]) -> list[tuple[str, str, str | None]]:
    return [(c.id, c.name, c.synset) for c in classes]


def through_json(file: Path) -> tuple[ClassEntry, ...]:
    tree, again = file.with_suffix(".json"), file.with_name("again.yaml")
    export_tree(file, tree)
    import_tree(tree, again)
    return load_taxonomy(again).classes


def test_a_wnid_that_means_another_synset_comes_back_from_json(write: Write) -> None:
    """`synsets:` of a class whose id is itself a wnid was lost on the way, as if nothing had been said."""
    file = write(
        "name: t\nclasses: [n01604968, n01605630]\nsynsets: {n01604968: n01322604}\nunplaced: root\nsources: []\n"
    )
    classes = load_taxonomy(file).classes
    assert classes[0].synset == "n01322604"
    assert said(through_json(file)) == said(classes)


def test_a_class_below_its_head_word_comes_back_beside_it_from_json(write: Write) -> None:
    """The kind of fish was written as the fish itself, and the import refused as two classes of one synset."""
    sources = "sources: [groups: {a: [aquarium_fish, fish]}]"
    file = write(f"name: t\nclasses: [aquarium_fish, fish, dog]\n{sources}\nunplaced: root\n")
    classes = load_taxonomy(file).classes
    again = through_json(file)
    assert said(again) == said(classes)
    assert [c.exact for c in again] == [c.exact for c in classes] == [False, True, True]


def test_one_level_of_a_file_without_sources_can_be_suggested(write: Write) -> None:
    """The suggestion had a `sources:` with nothing below it, which is no list, and was refused when read back."""
    file = write("name: t\nclasses: [cat, dog]\nsources: []\nunplaced: root\nmodels: {PHL: {}}\n")
    done = write_suggestion(
        load_taxonomy(file), nesting_of(load_taxonomy(file), "PHL"), file.with_name("s.yaml"), by="hand"
    )
    assert done.difference is None
    assert load_taxonomy(done.path).spec.sources == []
