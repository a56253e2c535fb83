"""`hiergen import`: files of each kind become taxonomy files that validate, with the tree that they had."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from random_trees import HOSTILE, random_tree

from hiergen import formats
from hiergen.assets import class_list
from hiergen.errors import HiergenError
from hiergen.formats.tree import Tree, leaves, root, text
from hiergen.taxonomy import tree as merged
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.wordnet.nouns import default

Write = Callable[..., Path]
CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
WNIDS = ["n02691156", "n02958343", "n01503061", "n02121620", "n02430045"]
WNIDS += ["n02084071", "n01639765", "n02374451", "n04194289", "n04490091"]
PAIRS = [(10, 3), (10, 5), (11, 4), (11, 7), (12, 10), (12, 11), (13, 2), (13, 6), (14, 13), (14, 12)]
PAIRS += [(15, 1), (15, 9), (16, 0), (16, 8), (17, 15), (17, 16), (18, 14), (18, 17)]


def nbdt_graph() -> str:
    """A binary tree over CIFAR10's classes as `graph-induced-*.json` files have them."""
    ids = [*WNIDS, *(f"f{i:08d}" for i in range(10, 19))]
    nodes: list[dict[str, str]] = [
        {"label": "car" if name == "automobile" else name, "id": wnid} for name, wnid in zip(CIFAR, WNIDS, strict=True)
    ]
    nodes += [{"id": key} for key in ids[10:]]
    links = [{"source": ids[a], "target": ids[b]} for a, b in PAIRS]
    return json.dumps({"directed": True, "multigraph": False, "graph": {}, "nodes": nodes, "links": links})


def clades(taxonomy: Taxonomy) -> set[frozenset[str]]:
    """The classes of each group of the merged tree."""
    tree = taxonomy.tree
    groups = [key for key in tree if merged.info(tree, key).kind == "group"]
    return {frozenset(merged.info(tree, leaf).id for leaf in merged.leaves(tree, key)) for key in groups}


def clades_of(tree: Tree, ids: dict[str, str] | None = None) -> set[frozenset[str]]:
    """The same of a file's tree, slowly: of each node, the leaves that can be reached; one class is no group."""
    found = set()
    for key in tree:
        reached, queue = set(), [key]
        while queue:
            at = queue.pop()
            queue += tree.succ[at]
            if not tree.succ[at]:
                own = text(tree, at, "id")
                reached.add(ids[own] if ids else own)
        found.add(frozenset(reached))
    everything = frozenset((ids or {}).get(own, own) for own in (text(tree, key, "id") for key in leaves(tree)))
    return {clade for clade in found if len(clade) > 1} - {everything}


def test_an_nbdt_graph_by_wnids(write: Write, hiergen: Any) -> None:
    file = write(nbdt_graph(), "graph.json")
    new = file.parent / "cifar10.yaml"
    ran = hiergen("import", file, "-o", new)
    assert ran.code == 0, ran.err
    assert "10 classes, 8 groups on 3 levels; models PHL, N2HL, N3HL" in ran.out
    taxonomy = load_taxonomy(new)
    assert [c.id for c in taxonomy.classes] == WNIDS  # the graph's order is the data set's
    assert clades(taxonomy) == clades_of(formats.read(file))
    names = {merged.info(taxonomy.tree, key).name for key in taxonomy.tree}
    assert {"carnivore", "ungulate", "motor vehicle", "vehicle", "vertebrate"} <= names
    assert (
        hiergen("validate", new).out.splitlines()[-1].endswith("0 errors, 2 warnings")
    )  # W403: so many groups do not fit


def test_an_nbdt_graph_by_names(write: Write, hiergen: Any) -> None:
    file = write(nbdt_graph(), "graph.json")
    new = file.parent / "cifar10.yaml"
    backwards = CIFAR[::-1]
    ran = hiergen("import", file, "-o", new, "--classes", ",".join(backwards))
    assert ran.code == 0, ran.err
    taxonomy = load_taxonomy(new)
    assert tuple(c.id for c in taxonomy.classes) == backwards
    assert {c.id: c.synset for c in taxonomy.classes} == dict(zip(CIFAR, WNIDS, strict=True))  # not guessed: said
    assert clades(taxonomy) == clades_of(formats.read(file), dict(zip(WNIDS, CIFAR, strict=True)))
    assert (
        hiergen("validate", new).out.splitlines()[-1].endswith("0 errors, 2 warnings")
    )  # W403: so many groups do not fit


def test_an_edge_list_of_wordnet_for_a_part_of_imagenet(write: Write, hiergen: Any) -> None:
    wordnet = default()
    many = wordnet.closure([*class_list("imagenet1k")])
    file = write("".join(f"{above} {key}\n" for key in many for above in wordnet.hypernyms(key)), "is_a.txt")
    new = file.parent / "part.yaml"
    ran = hiergen("import", file, "-o", new, "--classes", "imagenet100")
    assert ran.code == 0, ran.err
    assert "note: left out, as they are no class: 900 leaves" in ran.out
    taxonomy = load_taxonomy(new)
    assert [c.id for c in taxonomy.classes] == list(class_list("imagenet100"))
    plain = load_taxonomy(write("name: plain\nclasses: imagenet100\nsources: [wordnet]\n", "plain.yaml"))
    assert clades(taxonomy) == clades(plain)  # the same rule, another path
    assert new.read_text().count("\n# 'n02153203' (game bird): below 'n01789386' (gallinaceous bird), the deepest") == 1
    assert hiergen("validate", new).code == 0
    refused = hiergen("import", file, "-o", new, "--force", "--classes", "imagenet100", "--no-subset")
    assert refused.code == 2
    assert "900 leaves of the tree are not among --classes:" in refused.err


def test_label_paths_with_ones_own_classes(write: Write, hiergen: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ["fruit,citrus,lemon", "fruit,citrus,lime", "fruit,berry,", "tool,hammer", "tool,saw", "fruit,citrus,lime"]
    file = write("\n".join(rows) + "\n", "own/labels.csv")
    new = file.parents[1] / "own.yaml"
    assert hiergen("import", file, "-o", new).code == 0
    taxonomy = load_taxonomy(new)
    assert [c.id for c in taxonomy.classes] == ["lemon", "lime", "berry", "hammer", "saw"]
    whole = {"lemon", "lime", "berry"}
    assert clades(taxonomy) == {frozenset(whole), frozenset({"lemon", "lime"}), frozenset({"hammer", "saw"})}
    assert hiergen("validate", new).code == 0
    write("saw\nlime\nlemon\nberry\nhammer\n", "own/classes.txt")
    monkeypatch.chdir(file.parent)  # paths are written as seen from the new file
    ran = hiergen("import", file, "-o", new, "--force", "--classes", "classes.txt")
    assert ran.code == 0, ran.err
    assert "\nclasses: own/classes.txt\n" in new.read_text()
    assert [c.id for c in load_taxonomy(new).classes] == ["saw", "lime", "lemon", "berry", "hammer"]
    for name in ("saw", "lime", "lemon", "berry", "hammer"):
        (file.parent / "train" / name).mkdir(parents=True)
    assert hiergen("import", file, "-o", new, "--force", "--classes", "train").code == 0
    assert "\nclasses:\n  imagefolder: own/train\n" in new.read_text()
    assert clades(load_taxonomy(new)) == clades(taxonomy)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("format", ["newick", "json"])
def test_any_tree_with_any_names_becomes_a_taxonomy(tmp_path: Path, seed: int, format: str) -> None:
    tree = random_tree(seed)
    source = tmp_path / "t"
    formats.write(tree, source, format)
    done = formats.import_tree(source, tmp_path / "t.yaml", format=format)
    taxonomy = load_taxonomy(tmp_path / "t.yaml")
    again = formats.read(source, format)
    assert [c.id for c in taxonomy.classes] == [text(again, key, "id") for key in leaves(again)]
    assert clades(taxonomy) == clades_of(tree)
    assert done.groups == len(clades_of(tree))


def test_what_is_exported_is_imported_again(write: Write, hiergen: Any) -> None:
    groups = {"a, b": ["x: 1", {'it\'s "c"': ["y [2]", "z # 3"]}], "d (1)": ["null", "007"]}
    old = write(
        f"name: old\nclasses: {json.dumps(['007', 'null', 'z # 3', 'y [2]', 'x: 1'])}\n"
        f"names: {{null: nothing}}\nsynsets: {{'007': n02084071}}\nsources: [groups: {json.dumps(groups)}]\n"
        "models: {N3HL: {}}\n",
        "old.yaml",
    )
    for format in ("newick", "json", "nbdt", "isa", "paths"):
        there = old.parent / f"old.{format}"
        assert hiergen("export", old, "--format", format, "-o", there).code == 0
        assert hiergen("export", old, "--format", format, "-o", "-").out == there.read_text("utf-8")
        new = old.parent / f"new-{format}.yaml"
        ran = hiergen("import", there, "-o", new, "--format", format)
        assert ran.code == 0, ran.err
        first, second = load_taxonomy(old), load_taxonomy(new)
        if format != "nbdt":  # there 007 is its wnid, and null is called nothing
            assert clades(second) == clades(first)
        if format == "json":
            assert [(c.id, c.name, c.synset) for c in second.classes] == [
                (c.id, c.name, c.synset) for c in first.classes
            ]
            named = [{merged.info(t.tree, k).name for k in t.tree} for t in (first, second)]
            assert named[0] == named[1]


def test_a_tree_of_many_levels_is_written_flat(write: Write, hiergen: Any) -> None:
    depth = 60
    file = write("(" * depth + "c0" + "".join(f",c{i})" for i in range(1, depth + 1)) + ";", "deep.nwk")
    new = file.parent / "deep.yaml"
    assert hiergen("import", file, "-o", new).code == 0
    assert f"# {depth - 1} levels of groups" in new.read_text()
    assert clades(load_taxonomy(new)) == {frozenset(f"c{i}" for i in range(k + 1)) for k in range(1, depth)}
    assert hiergen("validate", new).code == 0


def test_names_of_many_groups_without_names(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """All begin with one class: they are called after the next ones, then numbered, by work that grows as the tree."""
    from hiergen.taxonomy import groupnames, naming

    calls = []
    monkeypatch.setattr(groupnames, "slug", lambda text: calls.append(text) or naming.slug(text))
    counts = []
    for depth in (60, 120):
        pairs = "".join(f",(b{i},c{i}))" for i in range(1, depth + 1))
        file = write("(" * depth + "c0" + pairs + ";", "deep.nwk")
        calls.clear()
        formats.import_tree(file, file.parent / "deep.yaml", force=True)
        counts.append(len(calls))
        tree = load_taxonomy(file.parent / "deep.yaml").tree
        expected: list[str] = []
        stack = [merged.ROOT]
        while stack:  # groups are named parents first, in the file's order
            key = stack.pop()
            stack += reversed(list(tree.succ[key]))
            if merged.info(tree, key).kind == "group":
                below = [merged.info(tree, k).name for k in merged.leaves(tree, key)]
                tries = [f"like {name}" for name in below[:8]] + [f"like {below[0]} {i}" for i in range(2, 999)]
                expected.append(next(name for name in tries if name not in expected))
                assert merged.info(tree, key).name == expected[-1]
        assert len(expected) == 2 * depth - 1
    assert counts[1] < 2.5 * counts[0]


def test_a_tree_without_groups(write: Write, hiergen: Any) -> None:
    file = write("(a,b,c)all;", "flat.nwk")
    new = file.parent / "flat.yaml"
    ran = hiergen("import", file, "-o", new)
    assert "3 classes, 0 groups on 0 levels; models PHL" in ran.out
    one = hiergen("import", write("((a,b)x,c)all;", "one.nwk"), "-o", file.parent / "one.yaml")
    assert "3 classes, 1 group on 1 level; models PHL, N2HL" in one.out
    assert ": 3 classes, 1 group." in (file.parent / "one.yaml").read_text().replace("\n# ", " ")
    assert hiergen("validate", new).code == 0
    assert load_taxonomy(new).levels == {"PHL": 1}


def test_classes_above_classes_and_groups_of_their_names(write: Write) -> None:
    file = write("r pets\npets dog\ndog pug\ndog beagle\npets cat\nr saw\n", "t.txt")
    done = formats.import_tree(file, file.parent / "t.yaml", classes="dog,pug,cat,saw")
    assert done.notes == (
        "left out, as it is no class: 1 leaf of the tree",
        "dog is a class with classes below it: it stands beside them in one group",
    )
    taxonomy = load_taxonomy(file.parent / "t.yaml")
    assert clades(taxonomy) == {frozenset({"dog", "pug"}), frozenset({"dog", "pug", "cat"})}
    assert "pets dog:" in (file.parent / "t.yaml").read_text()
    assert merged.info(taxonomy.tree, merged.parent(taxonomy.tree, "class:saw") or "").kind == "root"


@pytest.mark.parametrize(
    ("source", "classes", "problem"),
    [
        ("((a,b)x,\n(c,a)x);", None, "t.nwk:2: leaf 'a' stands twice; the first stands at t.nwk:1"),
        ("(a,b,'!!')x;", None, "t.nwk:1: leaf '!!' is a name without any letter or digit"),
        ("a;", None, "t.nwk: a taxonomy needs at least two classes; got 1 leaf"),
        ("(a,(b,\nn99999999));", None, "t.nwk:2: no wnid 'n99999999' in WordNet 3.0"),
        ("('fire truck',\nfire_truck);", None, "t.nwk:2: classes 'fire truck', 'fire_truck' become the same"),
        ("((a,b)x,c);", "a,b", "t.nwk:1: a leaf of the tree is not among --classes: 'c'; --subset leaves"),
        ("((apple,b)x,c);", "aple,b,c", "--classes: class 'aple' is not in t.nwk; nearest: apple"),
        ("((a,b)x,c);", "a,b,c,d,e", "--classes: classes 'd', 'e' are not in t.nwk"),
        ("((a,b)x,(a,c)y);", "a,b,c", "--classes: class 'a' is 2 nodes of the tree, at 't.nwk:1', 't.nwk:1'"),
        ("((a,b)x,c);", "a", "--classes: no class list 'a'"),
        ("((a,b)x,c);", " ", "--classes: no classes named; expected a list, a file, an image folder or names"),
        ("((a,b)x,c);", "a,b," + "c" * 5000, "--classes: class 'ccc"),
        ("((a,b)x,c);", "c" * 5000, "--classes: no class list 'ccc"),
        ("((a,b)x,c);", "c.txt", "--classes: c.txt: no such file"),
        ("((a,b)x,c);", "a,b,a", "--classes: class 'a' stands twice"),
        ("((a,b)x,c);", "lines.txt", "lines.txt:2: class 'q' is not in t.nwk"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    write: Write, hiergen: Any, monkeypatch: pytest.MonkeyPatch, source: str, classes: str | None, problem: str
) -> None:
    monkeypatch.chdir(write(source, "t.nwk").parent)
    write("a\nq\n", "lines.txt")
    ran = hiergen("import", "t.nwk", "-o", "t.yaml", *(["--classes", classes] if classes else []))
    assert ran.code == 2
    assert ran.err.startswith(f"error: {problem}"), ran.err
    assert ran.err.count("\n") == 1
    assert not Path("t.yaml").exists()


def test_a_circle_is_named_before_anything_else(write: Write, hiergen: Any) -> None:
    file = write("a b\nb c\nc a\n", "t.txt")
    for options in ([], ["--classes", "a,b"]):
        ran = hiergen("import", file, "-o", file.parent / "t.yaml", *options)
        assert ran.err == f"error: {file}:1: goes round in a circle: 'a' → 'b' → 'c' → 'a'; expected a tree\n"


def test_files_are_not_written_over_and_yaml_only(write: Write, hiergen: Any) -> None:
    file = write("((a,b)x,c);", "t.nwk")
    there = write("precious", "there.yaml")
    ran = hiergen("import", file, "-o", there)
    assert ran.code == 2
    assert "is there already; give another -o, or --force" in ran.err
    assert there.read_text() == "precious"
    assert hiergen("import", file, "-o", there, "--force").code == 0
    assert (
        "is no name for a taxonomy file; expected a file that ends in .yaml" in hiergen("import", file, "-o", "x").err
    )
    assert "--subset without classes" in hiergen("import", file, "-o", file.parent / "n.yaml", "--subset").err
    ran = hiergen("import", file, "-o", file.parent / "sub.yaml", "--classes", "a,b", "--subset")
    assert ran.code == 0, ran.err
    head = f"# Imported by `hiergen init {file}` (newick): 2 classes, 0 groups."  # as typed
    assert (file.parent / "sub.yaml").read_text().replace("\n# ", " ").startswith(head)


def test_same_input_same_bytes_and_names_that_fit(tmp_path: Path) -> None:
    tree = random_tree(5)
    formats.write(tree, tmp_path / "t.nwk", "newick")
    for name in ("1st try.yaml", "again.yaml"):
        formats.import_tree(tmp_path / "t.nwk", tmp_path / name)
    one, two = ((tmp_path / name).read_text() for name in ("1st try.yaml", "again.yaml"))
    assert "\nname: tree-1st-try\n" in one
    assert one.replace("name: tree-1st-try", "name: again") == two


def test_no_text_of_a_file_becomes_yaml(tmp_path: Path) -> None:
    """Every hostile name as a class and as a group."""
    tree = formats.read(_star(tmp_path))
    formats.import_tree(tmp_path / "star.json", tmp_path / "star.yaml")
    taxonomy = load_taxonomy(tmp_path / "star.yaml")
    assert [c.id for c in taxonomy.classes] == [text(tree, key, "id") for key in leaves(tree)]
    names = {merged.info(taxonomy.tree, key).name for key in taxonomy.tree}
    assert {f"{name} group" for name in HOSTILE} <= names
    assert root(tree) == "0"


def _star(folder: Path) -> Path:
    nodes: list[dict[str, str | None]] = [{"key": "0", "parent": None, "id": "top"}]
    for i, name in enumerate(HOSTILE):
        nodes.append({"key": f"g{i}", "parent": "0", "id": f"{name} group"})
        nodes += [{"key": f"c{i}{j}", "parent": f"g{i}", "id": f"{name} {i}{j}"} for j in "ab"]
    file = folder / "star.json"
    file.write_text(json.dumps({"format": "hiergen-tree", "version": 1, "nodes": nodes}))
    return file


def test_a_source_that_cannot_be_read_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(HiergenError, match="no such file"):
        formats.import_tree(tmp_path / "none.nwk", tmp_path / "t.yaml")
    assert list(tmp_path.iterdir()) == []
