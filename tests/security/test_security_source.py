"""Text from a taxonomy file never becomes code: whatever a name is, the generated file has one shape."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ran, Write

from tests.security.hostile import LEGAL, REFUSED, taxonomy

Run = Callable[..., Ran]
REPOSITORY = Path(__file__).parents[2]
_RECIPES = {"Bottlenecks", "ConvNeXts", "InvertedResiduals", "PointwiseConvs", "Replicas"}
_KNOWN = {("self", "nesting"), ("self", "input_size")}
_MADE = {"Trunk", "Siblings", "ClassHeads", "Nest"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def check_shape(source: str) -> list[str]:
    """Nothing but what `hiergen build` writes: names may be string literals of the lists and trees, and nothing else.

    Returns those literals.
    """
    found: list[str] = []
    body = ast.parse(source).body
    assert is_text(body[0])
    assert isinstance(body[1], ast.ImportFrom)
    assert body[1].module == "hiergen.nn"
    for node in body[2:]:
        match node:
            case ast.Assign(targets=[ast.Name(id="CLASSES" | "SYNSETS")], value=value):
                check_literal(value, found)
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(
                    func=ast.Attribute(value=ast.Name(id="Nesting"), attr="from_tree"), args=[tree, *rest], keywords=[]
                ),
            ) if name.startswith("NESTING_"):
                assert [ast.unparse(argument) for argument in rest] in (["CLASSES"], ["CLASSES", "SYNSETS"])
                if ast.unparse(tree) != "CLASSES":
                    check_literal(tree, found)
            case ast.ClassDef(
                bases=[ast.Name(id="HierarchicalNetwork")],
                keywords=[],
                decorator_list=[ast.Call(func=ast.Name(id="register"), args=[ast.Constant(value=str(name))])],
            ):
                assert name.isidentifier()
                check_class(node)
            case _:
                pytest.fail(ast.unparse(node))
    return found


def check_literal(node: ast.expr, found: list[str]) -> None:
    match node:
        case ast.Constant(value=str(text)):
            found.append(text)
        case ast.List(elts=parts):
            for part in parts:
                check_literal(part, found)
        case ast.Dict(keys=keys, values=values):
            for part in (*keys, *values):
                assert part is not None
                check_literal(part, found)
        case _:
            pytest.fail(ast.unparse(node))


def check_class(node: ast.ClassDef) -> None:
    text, *fields, init = node.body
    assert is_text(text)
    assert [ast.unparse(f).split(" = ")[0] for f in fields] == ["nesting, input_size"]
    assert all(isinstance(f, ast.Assign) and isinstance(f.value, ast.Tuple) for f in fields)
    assert isinstance(init, ast.FunctionDef)
    assert init.name == "__init__"
    assert ast.unparse(init.body[0]) == "super().__init__()"
    for statement in init.body[1:]:
        assert isinstance(statement, ast.Assign)
        made = statement.value
        assert isinstance(made, ast.Call)
        assert isinstance(made.func, ast.Name)
        assert made.func.id in _MADE
        for part in ast.walk(ast.Module([ast.Expr(a) for a in made.args] + [ast.Expr(k.value) for k in made.keywords])):
            match part:
                case ast.Call(func=ast.Name(id=name)):
                    assert name in _RECIPES
                case ast.Call(
                    func=ast.Attribute(value=ast.Attribute(value=ast.Name(id="self"), attr="nesting"), attr="parents")
                ):
                    pass
                case ast.Call():
                    pytest.fail(ast.unparse(part))
                case ast.Attribute(value=ast.Attribute(), attr=attr):
                    assert attr in ("heads", "parents")
                case ast.Attribute(value=ast.Name(id=name), attr=attr):
                    assert (name, attr) in _KNOWN
                case ast.Constant(value=str(word)):
                    assert word.replace(".", "").isidentifier()
                case ast.Lambda() | ast.Subscript() | ast.JoinedStr() | ast.Await() | ast.NamedExpr() | ast.ListComp():
                    pytest.fail(ast.unparse(part))


def is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@pytest.mark.parametrize("name", LEGAL)
def test_a_name_is_a_string_literal_and_nothing_else(name: str, write: Write, hiergen: Run, tmp_path: Path) -> None:
    write(taxonomy(name))
    ran = hiergen("build", "t.yaml")
    assert (ran.code, ran.err) == (0, "")
    source = (tmp_path / "generated" / "t.py").read_text("utf-8")
    found = check_shape(source)
    # in CLASSES; as key and value of the tree
    assert found.count(name) in (3, 4)  # its id and name, in a group, and perhaps in WordNet
    assert {f"{name[:190]} group", f"{name[:190]} 2"} <= set(found)
    assert all(c == "\n" or c.isprintable() for c in source)
    for words in (["show"], ["show", "--merged"], ["show", "--conflicts"], ["show", "--json"], ["validate"]):
        ran = hiergen(*words, "t.yaml")
        assert (ran.code, ran.err) == (0, "")
    assert name in hiergen("show", "t.yaml").out.replace("\n", "")


@pytest.mark.parametrize("char", REFUSED, ids=ascii)
@pytest.mark.parametrize("where", ["class", "name", "group"])
def test_characters_that_no_name_may_have(char: str, where: str, write: Write, hiergen: Run, tmp_path: Path) -> None:
    bad = f"a{char}b"
    classes = [bad if where == "class" else "x", "tabby.n.01", "beagle.n.01"]
    groups = {bad if where == "group" else "g": [classes[0], "tabby.n.01"]}
    names = {"tabby.n.01": bad} if where == "name" else {}
    write(taxonomy("x", classes=classes, names=names, sources=[{"groups": groups}]))
    ran = hiergen("build", "t.yaml")
    assert ran.code == 2
    assert ran.err.startswith("error: t.yaml")
    assert ran.err.count("\n") == 1
    assert all(c.isprintable() for c in ran.err[:-1])
    assert not (tmp_path / "generated").exists()


BACKBONES = [
    'resnet18.a"""\n    import os; os.system("touch owned")\n    """',
    'resnet18."""',
    "resnet18.\\",
    "resnet18.x\u2028",
    'resnet18")\n',
    "resnet18.a.b",
    "hf-hub:owner/model",
    "local-dir:/tmp/x",
    "../../resnet18",
    "x" * 5000,
]


@pytest.mark.parametrize("backbone", BACKBONES, ids=ascii)
@pytest.mark.parametrize("command", ["build", "validate", "show"])
def test_a_backbone_is_a_name_of_timms(backbone: str, command: str, write: Write, hiergen: Run, tmp_path: Path) -> None:
    """Its tag is looked up by nobody before it stands in the docstring: `resnet18.a\"\"\"…` was run on import."""
    models = {"N2HL": {"trunk": {"backbone": backbone, "until": "layer2"}}}
    write(taxonomy("x", models=models))
    ran = hiergen(command, "t.yaml")
    assert ran.code == 2
    said = ran.err + ran.out
    assert "'models.N2HL.trunk.backbone' is wrong: expected a name of timm's" in said
    assert not (tmp_path / "generated").exists()
    write(taxonomy("x", models={"N2HL": {"trunk": {"backbone": "resnet18.a1_in1k", "until": "layer2"}}}))
    assert hiergen(command, "t.yaml").code == 0


def test_a_plan_cannot_bring_code_into_the_source(load: Callable[..., object]) -> None:
    """The second line of defence: a stage's name comes from a cache file in the user's folder."""
    from hiergen.codegen.build import render
    from hiergen.planning.from_taxonomy import plan_models

    (plan,) = plan_models(load(taxonomy("x")))  # type: ignore[arg-type]
    evil = '"""\n    import os\n    """\\'
    trunk = plan.trunk.model_copy(update={"backbone": evil, "until": evil})
    tree = ast.parse(render([plan.model_copy(update={"trunk": trunk})], f"{evil}.yaml"))
    assert [type(node).__name__ for node in tree.body].count("Import") == 0
    (cls,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    assert not any(isinstance(node, ast.Import) for node in ast.walk(cls))


@pytest.mark.parametrize(
    "file", ['a"""b.yaml', "a\\.yaml", "a'''\n.yaml", "a\u2028\u202e.yaml", "{{ view }}.yaml", "a\x0cb.yaml"], ids=ascii
)
def test_the_files_name_in_the_header(file: str, write: Write, hiergen: Run, tmp_path: Path) -> None:
    write(taxonomy("x"), file)
    ran = hiergen("build", file)
    assert ran.code == 0
    source = (tmp_path / "generated" / "t.py").read_text("utf-8")
    check_shape(source)
    assert all(c == "\n" or c.isprintable() for c in source)


def test_a_wordnets_own_words_are_data(tmp_path: Path, write: Write, hiergen: Run) -> None:
    """A user's copy of WordNet names the groups; its bytes are checked, its words may be anything."""
    from hiergen.taxonomy.wordnet import files as wordnet_files

    files = wordnet_files.shipped()
    word = '"\\\x1b\u202e'.encode()
    assert len(word) == len("feline")  # a synset's id is its place in the file
    folder = tmp_path / "wn"
    folder.mkdir()
    (folder / "data.noun").write_bytes(files.data.replace(b" feline ", b" " + word + b" "))
    (folder / "index.noun").write_bytes(files.index.replace(b"\nfeline ", b"\n" + word + b" "))
    (folder / "lexnames").write_bytes(files.lexnames)
    classes = ["tabby.n.01", "lion.n.01", "beagle.n.01", "pug.n.01"]
    models = {"N2HL": {"trunk": {"backbone": "resnet18", "until": "layer2"}}}
    write(taxonomy("x", classes=classes, names={}, sources=[{"wordnet": "wn"}], models=models))
    ran = hiergen("build", "t.yaml")
    assert (ran.code, ran.err) == (0, "")
    source = (tmp_path / "generated" / "t.py").read_text("utf-8")
    check_shape(source)
    assert all(c == "\n" or c.isprintable() for c in source)


def test_generated_files_run_and_do_nothing_else(write: Write, hiergen: Run, tmp_path: Path) -> None:
    """Imported in a process of its own, standing alone or not: the names arrive as they were, and no file appears."""
    classes = [f"{i} {name[:150]}" for i, name in enumerate(LEGAL)]  # two may not become one identifier
    data = {
        "classes": classes,
        "names": {},
        "sources": [{"groups": {f"{classes[1]} g": classes[:9], f"{classes[2]} h": classes[9:]}}],
    }
    write(taxonomy("x", **data))
    assert hiergen("build", "t.yaml").code == 0
    assert hiergen("build", "t.yaml", "--standalone").code == 0
    check_shape((tmp_path / "generated" / "t.py").read_text("utf-8"))
    before = sorted(tmp_path.rglob("*"))
    code = (
        "import sys, json, runpy, torch; torch.set_num_threads(1)\n"
        "import importlib.util as u\n"
        "for f in sys.argv[1:]:\n"
        "    s = u.spec_from_file_location(f.split('/')[0] + '_t', f); m = u.module_from_spec(s)\n"
        "    sys.modules[s.name] = m; s.loader.exec_module(m); print(json.dumps(list(m.CLASSES)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-B", "-W", "ignore", "-c", code, "generated/t.py", "standalone/t.py"],
        env={"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [json.loads(line) for line in ran.stdout.splitlines()] == [classes, classes]
    assert sorted(tmp_path.rglob("*")) == before


def test_no_model_takes_the_place_of_one_of_timms(write: Write, hiergen: Run, tmp_path: Path) -> None:
    """`name: vit_tiny`, model `patch16_224`: the file's name for timm is that of timm's own network."""
    import timm

    from hiergen.errors import HiergenError
    from hiergen.models.load import find_model

    models = {"patch16_224": {"levels": 1, "trunk": {"backbone": "resnet18", "until": "layer2"}}}
    write(taxonomy("x", name="vit_tiny", models=models))
    assert hiergen("build", "t.yaml").code == 0
    own = timm.model_entrypoint("vit_tiny_patch16_224")
    with pytest.raises(HiergenError, match="timm has a model 'vit_tiny_patch16_224' already"):
        find_model("generated/vit_tiny.py")
    assert timm.model_entrypoint("vit_tiny_patch16_224") is own


@pytest.mark.parametrize("number", ["9" * 5000, "1e999", "0x10", "1_000", "-1", "٣"])
def test_numbers_that_are_none(number: str, write: Write, hiergen: Run) -> None:
    models = {"PHL": {"branches": [[{"width": 8, "out": 12}]], "input_size": 64}}
    good = taxonomy("x", models=models).replace("resnet50", "resnet18")
    write(good.replace("width: 8", f"width: {number}"))
    ran = hiergen("validate", "t.yaml")
    if number in {"٣", "1_000"}:  # pydantic reads these as numbers: they are written anew, in ASCII
        assert ran.code in {0, 2}
        return
    assert ran.code == 2
    assert "'models.PHL.branches.0.0.width'" in ran.out
    assert len(ran.out) < 600
