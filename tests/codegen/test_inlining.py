"""The inliner on small made-up packages: what runs afterwards, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from hiergen.codegen.inlining import module
from hiergen.codegen.standalone import standalone
from hiergen.errors import HiergenError

Inline = Callable[[str, dict[str, str]], str]


@pytest.fixture
def inline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inline]:
    """`standalone` of a source that imports from these modules ("nn.a" is hiergen/nn/a.py) instead of hiergen's."""
    monkeypatch.setattr(module, "_root", lambda: tmp_path)
    module.load.cache_clear()

    def run(source: str, files: dict[str, str]) -> str:
        for name, text in {"": "", "nn": "", **files}.items():
            path = tmp_path.joinpath(*name.split("."))
            path = path / "__init__.py" if name in ("", "nn") else path.with_suffix(".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return standalone(source)

    yield run
    module.load.cache_clear()


def ran(text: str) -> ModuleType:
    made = sys.modules["inlined"] = ModuleType("inlined")
    exec(compile(text, "inlined", "exec"), made.__dict__)  # our own text
    return made


CASES = {
    "what is not reached is left out": (
        "from hiergen.nn.a import f\nRESULT = f()",
        {"nn.a": "import torch\nimport numpy\ndef f(): return 1\ndef g(): return numpy.zeros(torch.x)\nX = g"},
        1,
    ),
    "private names of two modules": (
        "from hiergen.nn.a import f\nfrom hiergen.nn.b import g\nRESULT = f(), g()",
        {
            "nn.a": "_LIMIT = 1\nclass _Box: v = 10\ndef _key(): return _LIMIT + _Box.v\ndef f(): return _key()",
            "nn.b": "_LIMIT = 2\nclass _Box: v = 20\ndef _key(x=_LIMIT): return x + _Box.v\ndef g(): return _key()",
        },
        (11, 22),
    ),
    "the source's own name wins": (
        "from hiergen.nn.a import f\nclass Gather: pass\nRESULT = f()",
        {"nn.a": "class Gather: v = 3\ndef f(): return Gather.v"},
        3,
    ),
    "another name here": (
        "from hiergen.nn.a import f as g, f\nRESULT = g() + f()",
        {"nn.a": "def f(): return 2"},
        4,
    ),
    "re-exported, relative, and through a chain": (
        "from hiergen.nn import f\nRESULT = f()",
        {"nn": "from .a import h as f", "nn.a": "from .b import g\nh = g", "nn.b": "def g(): return 5"},
        5,
    ),
    "a module's attribute": (
        "from hiergen.nn import a\nimport hiergen.nn.b as bb\nRESULT = a.f(1) + bb.g()",
        {"nn.a": "def f(x): return x", "nn.b": "from hiergen.nn import a\ndef g(): return a.f(6)"},
        7,
    ),
    "a local variable of the same name": (
        "from hiergen.nn import a\ndef run():\n    f = a.f(1)\n    return f, a.f(2)\nRESULT = run()",
        {"nn.a": "def f(x): return x"},
        (1, 2),
    ),
    "locals that hide a global stay": (
        "from hiergen.nn.a import f\nfrom hiergen.nn.b import g\nRESULT = f(5), g()",
        {
            "nn.a": "def k(): return 1\ndef f(k): return k, [k for k in (7, 8)], (lambda k: k)(9)",
            "nn.b": "def k(): return 2\ndef g():\n    def inner(): return k()\n    return inner(), [k() for _ in '..']",
        },
        ((5, [7, 8], 9), (2, [2, 2])),
    ),
    "a global that is assigned": (
        "from hiergen.nn.a import up\nfrom hiergen.nn.b import x\nup()\nup()\nRESULT = up(), x()",
        {
            "nn.a": "_n = 0\ndef up():\n    global _n\n    _n += 1\n    return _n",
            "nn.b": "_n = 50\ndef x(): return _n",
        },
        (3, 50),
    ),
    "an import in a function": (
        "from hiergen.nn.a import f\nRESULT = f()",
        {
            "nn.a": 'def f():\n    """Doc."""\n\n    from hiergen.nn.b import g\n\n    return g() + 1\n'
            "def h(): return 1",
            "nn.b": "from hiergen.nn.a import h\ndef g(): return h() + 40",
        },
        42,
    ),
    "an import that is all of a block": (
        "from hiergen.nn.a import f\nRESULT = f(True)",
        {
            "nn.a": "def f(x):\n    if x:\n        from hiergen.nn.b import g\n    return g()",
            "nn.b": "def g(): return 3",
        },
        3,
    ),
    "an import that may fail stays": (
        "from hiergen.nn.a import f\nRESULT = f()",
        {
            "nn.a": "def f():\n    try:\n        from hiergen.no_such import g\n        import numpi\n"
            "    except ImportError:\n        return 'none'\n    return g",
        },
        "none",
    ),
    "names for type checkers": (
        "from hiergen.nn.a import f\nRESULT = f(1)",
        {
            "nn.a": "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
            "    from hiergen.tax import T\n    from hiergen.nn.b import B\n"
            "def f(x: T, y: B | None = None) -> 'list[T]': return x",
            "nn.b": "import networkx\nclass B(networkx.Graph): pass",
            "tax": "class T: pass",
        },
        1,
    ),
    "a decorator that registers": (
        "from hiergen.nn.a import TABLE\nRESULT = sorted(TABLE)",
        {
            "nn.a": "TABLE = {}\ndef put(f):\n    TABLE[f.__name__] = f\n    return f\n"
            "@put\ndef x(): ...\n@put\ndef y(): ...",
        },
        ["x", "y"],
    ),
    "statements with effects": (
        "from hiergen.nn.a import A\nRESULT = A",
        {"nn.a": "A = []\nfor _i in range(2):\n    A.append(_i)\nA.append(B := 5)\nA += [6]\n__all__ = ['A']"},
        [0, 1, 5, 6],
    ),
    "a module imported for its effect": (
        "from hiergen.nn.a import A\nimport hiergen.nn.b\nRESULT = A",
        {"nn.a": "A = []", "nn.b": "from hiergen.nn.a import A\nA.append(1)"},
        [1],
    ),
    "one module's global is another one's builtin": (
        "from hiergen.nn.a import f\nfrom hiergen.nn.b import g\nRESULT = f(), g()",
        {"nn.a": "def sum(x): return 'mine'\ndef f(): return sum([1])", "nn.b": "def g(): return sum([1, 2])"},
        ("mine", 3),
    ),
    "one name from two places": (
        "from hiergen.nn.a import f\nfrom hiergen.nn.b import g\nRESULT = f(), g()",
        {
            "nn.a": "from math import floor as r\nimport os.path\ndef f(): return r(1.6), os.path.join('a', 'b')",
            "nn.b": "from math import ceil as r\nimport os\ndef g(): return r(1.6), os.sep",
        },
        ((1, "a/b"), (2, "/")),
    ),
    "class bodies": (
        "from hiergen.nn.a import A\nRESULT = A.x, A().f(), A.y",
        {
            "nn.a": "k = 1\ndef g(): return 8\nclass A:\n    g = g()\n    x = g\n"
            "    y = [k for _ in range(2)]\n    def f(self): return g()"
        },
        (8, 8, [1, 1]),
    ),
    "a method's global that its class also binds": (
        "from hiergen.nn.b import g\nfrom hiergen.nn.a import A\nRESULT = A().f(), A.g, g()",
        {
            "nn.b": "def g(): return 1",
            "nn.a": "def g(): return 2\nclass A:\n    g = 3\n    def f(self): return g()",
        },
        (2, 3, 1),
    ),
    "a dataclass": (
        "from hiergen.nn.a import D\nRESULT = D(1, b=2).b",
        {
            "nn.a": "from __future__ import annotations\nfrom dataclasses import KW_ONLY, dataclass\n"
            "@dataclass(frozen=True)\nclass D:\n    a: int\n    _: KW_ONLY\n    b: int = 0"
        },
        2,
    ),
    "the package's lazy names": (
        "from hiergen import f, __version__ as v\nRESULT = f(), v",
        {
            "": "from typing import TYPE_CHECKING\n__version__ = '9'\n"
            "if TYPE_CHECKING:\n    from hiergen.nn.a import f",
            "nn.a": "def f(): return 1",
        },
        (1, "9"),
    ),
    "other letters before a name": (
        "from hiergen.nn.a import f\nfrom hiergen.nn.b import g\nRESULT = f() + g()",
        {
            "nn.a": "def _k(x): return x\ndef f(): return _k('ä')",
            "nn.b": "def _k(x): return x\ndef g(): return 'ß€' + _k('ö')",
        },
        "äß€ö",
    ),
    "a type in a text": (
        "from hiergen.nn.a import f\nfrom hiergen.nn.b import g\nRESULT = f.__annotations__, g.__annotations__",
        {
            "nn.a": "from typing import TypeAlias\nclass _T: pass\nX: TypeAlias = 'int | _T'\n"
            "def f(x: '_T', y: X): ...",
            "nn.b": "class _T: pass\ndef g(x: 'list[_T]'): ...",
        },
        ({"x": "'_T'", "y": "X"}, {"x": "'list[_BT]'"}),
    ),
}


@pytest.mark.parametrize(("source", "files", "result"), CASES.values(), ids=CASES)
def test_it_runs_as_before(inline: Inline, source: str, files: dict[str, str], result: object) -> None:
    text = inline(source + "\n", {name: content + "\n" for name, content in files.items()})
    found = ran(text).RESULT
    assert found == result


def test_comments_and_docstrings_stay(inline: Inline) -> None:
    code = '"""What a is."""\n\n# above X\n\n# above X too\nX = 1  # beside\n\n\n# above gone\ndef gone(): ...\n'
    text = inline("from hiergen.nn.a import X\n\n# mine\nY = X\n", {"nn.a": code})
    assert "# hiergen/nn/a.py\n# What a is.\n\n# above X\n\n# above X too\nX = 1  # beside\n\n\n# mine\nY = X\n" in text
    assert "gone" not in text
    assert "annotations\n\n# hiergen" in text


REFUSED = {
    "a dependency": ({"nn.a": "import yaml\ndef f(): return yaml.x"}, "nn/a.py:1: needs 'yaml', so .*torch, timm"),
    "one in a function": ({"nn.a": "def f():\n    import yaml\n    return yaml"}, "nn/a.py:2: needs 'yaml'"),
    "one further down": (
        {"nn.a": "def f():\n    from hiergen.w import g\n    return g()", "w": "import yaml\ndef g(): return yaml"},
        "hiergen/w.py:1: needs 'yaml'",
    ),
    "a module as a value": (
        {"nn.a": "from hiergen.nn import b\ndef f(): return b", "nn.b": ""},
        "a.py:2: uses the module",
    ),
    "a module changed": (
        {"nn.a": "from hiergen.nn import b\ndef f(): b.X = 1", "nn.b": "X = 0"},
        "a.py:2: uses the module 'hiergen.nn.b' as a value",
    ),
    "all of hiergen": ({"nn.a": "import hiergen\ndef f(): return hiergen"}, "a.py:2: uses the module 'hiergen'"),
    "a star": (
        {"nn.a": "from hiergen.nn.b import *\ndef f(): return 1", "nn.b": ""},
        r"a.py:1: .*import \*' cannot be",
    ),
    "a misspelt name": (
        {"nn.a": "from hiergen.nn.b import fire\ndef f(): return fire()", "nn.b": "def fires(): ..."},
        "a.py:1: hiergen.nn.b has no 'fire'; nearest: fires",
    ),
    "a missing module": ({"nn.a": "from hiergen.nn.c import x\ndef f(): return x"}, "a.py:1: hiergen has no module"),
    "an import by text": (
        {"nn.a": "from importlib import import_module\ndef f(): return import_module(f'hiergen.{1}')"},
        "a.py:2: imports a module of hiergen by its text",
    ),
    "two on a line": ({"nn.a": "X = 1; Y = 2\ndef f(): return X"}, "a.py:1: two statements on one line"),
    "a broken module": ({"nn.a": "def f(:\n"}, "nn/a.py:1: is not Python"),
}


@pytest.mark.parametrize(("files", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_inlined_is_refused(inline: Inline, files: dict[str, str], message: str) -> None:
    with pytest.raises(HiergenError, match=message):
        inline("from hiergen.nn.a import f\n\nX = f\n", files)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("from hiergen.nn.a import g\nX = g\n", "the source:1: hiergen.nn.a has no 'g'"),
        ("def f(:\n", "the source:1: is not Python"),
        ("from hiergen.nn.a import *\n", "the source:1: .*cannot be inlined"),
        ("from hiergen.nn.a import f\nclass len: pass\nX = f\n", "the source:2: the name 'len' hides one"),
    ],
)
def test_sources_that_cannot_stand_alone(inline: Inline, source: str, message: str) -> None:
    with pytest.raises(HiergenError, match=message):
        inline(source, {"nn.a": "def f(): return len('x')\n"})


def test_a_source_without_hiergen_only_gets_the_header(inline: Inline) -> None:
    text = inline('"""Doc."""\n\nX = 1\n', {})
    assert text.endswith("\nX = 1\n")
    assert "hiergen/" not in text
