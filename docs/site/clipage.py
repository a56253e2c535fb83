"""docs/cli.md from the commands' own signatures: every argument and option with its type, default and help."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from hiergen.cli import app
from hiergen.cli.app import Exit

HEAD = """# The command line

Written by `python docs/site/generate.py` from the commands themselves; `hiergen COMMAND --help` says the same.

Exit codes: {codes}. Wrong input is one sentence on stderr; a traceback is a bug of ours.
"""
CODES = {
    Exit.DONE: "done",
    Exit.DRIFT: "`build --check` found a file out of date",
    Exit.BAD_INPUT: "the input is wrong",
    Exit.INTERRUPTED: "stopped by Ctrl-C, SIGTERM or SIGHUP",
    Exit.UNREAD: "nobody reads what is printed any more (`| head`)",
}
KINDS = {str: "TEXT", int: "INTEGER", float: "FLOAT", Path: "PATH", bool: ""}


@dataclass(frozen=True)
class Parameter:
    """One argument or option. `kind` is TEXT, PATH …, empty for a flag."""

    names: tuple[str, ...]
    kind: str
    several: bool
    needed: bool
    default: Any
    help: str
    is_option: bool


def cli_page() -> str:
    """The whole page, commands in alphabetical order."""
    assert set(CODES) == set(Exit)
    commands: dict[str, Callable[..., Any]] = {}
    for info in app.registered_commands:
        assert info.callback is not None
        commands[info.name or info.callback.__name__.replace("_", "-")] = info.callback
    head = HEAD.format(codes=", ".join(f"{code.value} {text}" for code, text in CODES.items()))
    overview = ["| command | what it does |", "|---|---|"]
    overview += [f"| [`hiergen {n}`](#hiergen-{n}) | {cell(_help(commands[n])[0])} |" for n in sorted(commands)]
    return "\n".join([head, *overview, "", *(_section(name, commands[name]) for name in sorted(commands))])


def parameters(command: Callable[..., Any]) -> list[Parameter]:
    """The command's parameters, in their order; hidden ones are older names."""
    hints = get_type_hints(command, include_extras=True)
    shown = [p for p in inspect.signature(command).parameters.values() if not get_args(hints[p.name])[1].hidden]
    return [_parameter(p, hints[p.name]) for p in shown]


def _parameter(parameter: inspect.Parameter, hint: Any) -> Parameter:
    kind, info = get_args(hint)
    if get_origin(kind) in {Union, UnionType}:
        (kind,) = (option for option in get_args(kind) if option is not NoneType)
    several = get_origin(kind) is list
    if several:
        (kind,) = get_args(kind)
    is_option = isinstance(info, OptionInfo)
    assert is_option or isinstance(info, ArgumentInfo)
    needed = parameter.default is inspect.Parameter.empty
    # inside Annotated the first declaration stands where a default would
    names = ((info.default,) if isinstance(info.default, str) else ()) + tuple(info.param_decls or ())
    if not is_option:
        names = (parameter.name.rstrip("_"),)
    elif not names:
        plain = "--" + parameter.name.replace("_", "-")
        names = (f"{plain}/--no-{plain[2:]}",) if kind is bool else (plain,)
    default = None if needed else parameter.default
    default = default.value if isinstance(default, Enum) else default
    typed = " or ".join(str(member.value) for member in kind) if issubclass(kind, Enum) else KINDS[kind]
    typed = info.metavar or typed if is_option else typed
    return Parameter(names, typed, several, needed, default, info.help or "", is_option)


def _help(command: Callable[..., Any]) -> list[str]:
    """The docstring's first sentence line, and all of it."""
    text = inspect.cleandoc(command.__doc__ or "")
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    return [paragraphs[0], "\n\n".join(paragraphs)]


def _section(name: str, command: Callable[..., Any]) -> str:
    params = parameters(command)
    arguments, options = [p for p in params if not p.is_option], [p for p in params if p.is_option]
    usage = ["hiergen", name, *(_placeholder(p) for p in arguments)]
    usage += [f"{min(p.names, key=len)} {p.kind}" for p in options if p.needed]
    usage += ["[OPTIONS]"] if any(not p.needed for p in options) else []
    lines = [f"## hiergen {name}", "", prose(_help(command)[1]), "", "```text", " ".join(usage), "```", ""]
    if arguments:
        lines += ["| argument | meaning |", "|---|---|"]
        lines += [f"| `{p.names[0].upper()}` | {cell(p.help)} |" for p in arguments] + [""]
    if options:
        lines += ["| option | default | meaning |", "|---|---|---|"]
        lines += [f"| {_names(p)} | {_default(p)} | {cell(p.help)} |" for p in options] + [""]
    return "\n".join(lines)


def _placeholder(param: Parameter) -> str:
    name = param.names[0].upper() + ("..." if param.several else "")
    return name if param.needed else f"[{name}]"


def _names(param: Parameter) -> str:
    shown = ", ".join(f"`{name}`" for name in param.names)
    return shown + (f" {param.kind}" if param.kind else "") + (", repeatable" if param.several else "")


def _default(param: Parameter) -> str:
    if param.needed:
        return "needed"
    if not param.kind:
        first, *_ = param.names
        on, _, off = first.partition("/")
        return f"`{on}`" if param.default else f"`{off}`" if off else "off"
    return "–" if param.default is None else f"`{param.default}`"


def prose(text: str) -> str:
    """Help as Markdown: nothing in it is markup."""
    for char in "\\*_<>[]":
        text = text.replace(char, {"<": "&lt;", ">": "&gt;"}.get(char, f"\\{char}"))
    return text


def cell(text: str) -> str:
    """Help as the cell of a table: no pipe ends it either."""
    return prose(" ".join(text.split())).replace("|", "\\|")
