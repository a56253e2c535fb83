"""Nothing that others build on changes unawares."""

from __future__ import annotations

import ast
import difflib
import subprocess
import sys

import public_api

import hiergen
import hiergen.nn
from hiergen.cli.json_schema import _one_spelling


def test_the_public_api_is_the_one_in_api_txt() -> None:
    was, now = public_api.SNAPSHOT.read_text("utf-8").splitlines(), public_api.facts()
    changed = [line for line in difflib.unified_diff(was, now, "api.txt", "now", n=0, lineterm="") if line[0] in "+-"]
    told = "\n".join(changed)
    assert not changed, f"{told}\nif that is meant: python tests/packaging/public_api.py, and a line in CHANGELOG.md"


def test_every_public_name_is_there_and_a_removed_one_would_be_seen() -> None:
    facts = public_api.facts()
    for module in (hiergen, hiergen.nn):
        for name in module.__all__:
            path = f"{module.__name__}.{name}"
            assert any(line.startswith((f"class {path}", path)) for line in facts), path
    assert len(facts) == len(set(facts))


def test_help_waits_for_no_library() -> None:
    code = (
        "import sys, hiergen.cli\nsys.argv = ['hiergen', '--help']\ntry:\n    hiergen.cli.main()\n"
        "except SystemExit:\n    pass\nslow = {'torch', 'numpy', 'networkx', 'nltk', 'pydantic', 'yaml'}\n"
        "print(slow & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "count-partitions" in done.stdout
    assert done.stderr.strip() == "set()"


def test_generated_code_imports_public_names_only() -> None:
    files = sorted((public_api.ROOT / "generated").glob("*.py"))
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("hiergen"):
                assert node.module == "hiergen.nn", path
                assert {alias.name for alias in node.names} <= set(hiergen.nn.__all__), path


def test_the_schema_is_spelled_alike_with_every_pydantic() -> None:
    newer = {
        "p": {"$ref": "#/$defs/A", "default": {}},
        "q": [{"const": "auto"}],
        "allOf": [{"$ref": "a"}, {"$ref": "b"}],
    }
    older = {"p": {"allOf": [{"$ref": "#/$defs/A"}], "default": {}}, "q": [{"const": "auto", "enum": ["auto"]}]}
    older["allOf"] = newer["allOf"]
    assert list(_one_spelling(older)["p"]) == ["$ref", "default"]
    assert _one_spelling(older) == _one_spelling(newer) == newer
