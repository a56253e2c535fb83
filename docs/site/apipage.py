"""docs/python.md from the docstrings of what `import hiergen` gives."""

from __future__ import annotations

import inspect
import re
from typing import Any

import hiergen

HEAD = """# The Python interface

Written by `python docs/site/generate.py` from the docstrings. Every command of [the command line](cli.md) is a function
of the same name (`import` is `import_tree`, `eval` is `evaluate`); the package loads each on first use.
"""


def api_page() -> str:
    """Functions, then classes, each with its signature and docstring."""
    public = {name: getattr(hiergen, name) for name in sorted(hiergen.__all__) if not name.startswith("_")}
    functions = {name: value for name, value in public.items() if inspect.isfunction(value)}
    classes = {name: value for name, value in public.items() if inspect.isclass(value)}
    parts = [HEAD, "## Functions\n", *(_entry(name, value) for name, value in functions.items())]
    parts += ["## Classes\n", *(_class(name, value) for name, value in classes.items())]
    return "\n".join(parts)


def _entry(name: str, value: Any) -> str:
    return f"### hiergen.{name}\n\n```text\n{name}{_signature(value)}\n```\n\n{_prose(value)}\n"


def _class(name: str, value: type) -> str:
    lines = [f"### hiergen.{name}\n", f"{_prose(value)}\n"]
    for key, member in vars(value).items():
        inner = getattr(member, "__func__", member)
        inner = member.fget if isinstance(member, property) else inner
        if not key.startswith("_") and inspect.isfunction(inner) and inner.__doc__:
            call = "" if isinstance(member, property) else "()"
            lines.append(f"- `{key}{call}`: {_escaped(inspect.cleandoc(inner.__doc__).partition(chr(10) * 2)[0])}")
    return "\n".join(lines) + "\n"


def _signature(value: Any) -> str:
    """One parameter a line where it is long; types as they are written."""
    signature = inspect.signature(value)
    text = _short(signature)
    if len(text) <= 100:
        return text
    parts = [_short(p) for p in signature.parameters.values()]
    if any(p.kind is p.KEYWORD_ONLY for p in signature.parameters.values()):
        first = next(i for i, p in enumerate(signature.parameters.values()) if p.kind is p.KEYWORD_ONLY)
        parts.insert(first, "*")
    returned = _short(signature.return_annotation)
    return "(\n" + "".join(f"    {part},\n" for part in parts) + f") -> {returned}"


def _short(part: Any) -> str:
    """As written, with long default values cut short."""
    text = re.sub(r"<function .*? at 0x[0-9a-f]+>", "…", str(part).replace("'", ""))
    return re.sub(r"\((\S+?)[=,][^()]{60,}\)", lambda m: "(…)" if "=" in m[0] else f"({m[1]}, …)", text)


def _prose(value: Any) -> str:
    """The docstring; its examples as code that the tests of docstrings run."""
    lines, code = [], False
    for line in inspect.cleandoc(value.__doc__ or "").splitlines():
        starts = line.startswith(">>>")
        if starts and not code:
            lines.append("```pycon")
        code = starts or (code and bool(line.strip()))
        if not code and lines and lines[-1].startswith((">>>", "...")):
            lines.append("```")
        lines.append(line if code else _escaped(line))
    if code:
        lines.append("```")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;") if "`" not in text else text
