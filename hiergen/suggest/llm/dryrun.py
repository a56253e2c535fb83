"""Prompts into a file, for people without an API: Markdown to paste into any chat, or JSONL for a batch service."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from hiergen.errors import OutputError
from hiergen.files import write_text
from hiergen.suggest.llm.prompts import SYSTEM, batches, messages, prompt
from hiergen.suggest.llm.questions import Question

_SUFFIXES = (".md", ".txt", ".jsonl")
_TITLE = "# Questions of `hiergen suggest --by llm`"
_FIRST = '{"custom_id": "prompt-1"'  # of a .jsonl


def checked(path: Path) -> Path:
    """The path, if prompts may be written there: a slip must not replace a taxonomy file, or somebody's notes.

    Raises OutputError for another suffix, and for a file that is there and holds no prompts.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise OutputError(
            "is no file for prompts", place=str(path), expected=f"a name that ends in {', '.join(_SUFFIXES)}"
        )
    if path.is_file() and not _ours(path):
        raise OutputError(
            "is there already, and holds no prompts", place=str(path), hint="give --dry-run another file, or remove it"
        )
    return path


def _ours(path: Path) -> bool:
    """Whether a file is one of prompts, or empty."""
    try:
        with open(path, "rb") as file:
            start = file.read(len(_TITLE.encode()))
    except OSError:
        return True  # writing it says what is wrong
    return not start or start.startswith((_TITLE.encode(), _FIRST.encode()))


def write_prompts(path: Path, questions: Sequence[Question], *, size: int, model: str | None) -> int:
    """Write all prompts, and return how many there are.

    `.jsonl`: a line per request, in the form that batch services of OpenAI's kind take. Raises OutputError.
    """
    parts = batches(questions, size)
    text = _lines(parts, model) if checked(path).suffix.lower() == ".jsonl" else _pages(parts)
    write_text(path, text)
    return len(parts)


def _lines(parts: Sequence[Sequence[Question]], model: str | None) -> str:
    lines = []
    for i, part in enumerate(parts, 1):
        body = {**({"model": model} if model else {}), "messages": messages(part)}
        line = {"custom_id": f"prompt-{i}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    return "".join(lines)


def _pages(parts: Sequence[Sequence[Question]]) -> str:
    many = f"{len(parts)} prompts" if len(parts) != 1 else "One prompt"
    head = (
        f"{_TITLE}\n\n"
        f"{many}. Paste each into any chat. Paste the answers one below the other into a file, as they come (text and"
        " code fences around the JSON do not matter), and give it back with `--answers FILE`.\n"
    )
    pages = [head]
    for i, part in enumerate(parts, 1):
        text = f"{SYSTEM}\n\n{prompt(part)}"
        longest = max((len(run) for run in re.findall("`+", text)), default=0)
        fence = "`" * max(3, longest + 1)  # a class name may hold a fence
        pages.append(f"\n## Prompt {i} of {len(parts)}\n\n{fence}text\n{text}\n{fence}\n")
    return "".join(pages)
