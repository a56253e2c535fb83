"""Class lists as other tools write them: index JSON, id2label of Hugging Face, YOLO's data.yaml, COCO's categories."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiergen.errors import SpecError
from hiergen.files import read_text

Names = list[tuple[str, str | None]]  # id and display name of each class, in the order of the logits

_KEYS = ("id2label", "names", "label2id", "class_to_idx", "idx_to_class", "classes", "labels", "label_names")


def structured_names(path: Path, text: str) -> Names | None:
    """The classes of a JSON or YAML file; None for other files, which have one a line.

    Raises SpecError for JSON or YAML that is broken or holds no class list.
    """
    data = parsed(path, text)
    if data is None:
        return None
    names = class_names(data)
    if names is None:
        raise SpecError(
            "holds no list of classes",
            place=str(path),
            expected='["cat", …], {"0": "cat", …}, {"cat": 0, …}, id2label, names: or COCO\'s categories',
            hint=f"if it is a class tree: hiergen init {path} -o NEW.yaml",
        )
    return told_apart(names)


def told_apart(names: Names) -> Names:
    """Two classes of one name, as ImageNet's cranes, get their indices."""
    count = Counter(class_id for class_id, _ in names)
    return [(f"{c} ({i})" if count[c] > 1 else c, name) for i, (c, name) in enumerate(names)]


def parsed(path: Path, text: str) -> Any:
    """What a file that looks like JSON or YAML holds; None for another."""
    if path.suffix.lower() in (".yaml", ".yml"):
        from hiergen.taxonomy.yamlfile import parse

        return parse(text, path).data
    if path.suffix.lower() == ".json" or text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            if path.suffix.lower() != ".json":
                return None
            raise SpecError(f"is not valid JSON: {error.msg}", place=f"{path}:{error.lineno}:{error.colno}") from None
        except (RecursionError, ValueError):
            raise SpecError("is not JSON that can be read", place=str(path)) from None
    return None


def class_names(data: Any) -> Names | None:
    """The classes of parsed data, in the order of their indices; None where it is no flat list of classes."""
    if isinstance(data, Mapping):
        for key in _KEYS:
            if key in data and (names := class_names(data[key])) is not None:
                return names
        entries = data.get("categories")
        if isinstance(entries, list) and all(isinstance(e, Mapping) and "name" in e for e in entries):
            if all(isinstance(e.get("id"), int) for e in entries):
                entries = sorted(entries, key=lambda e: e["id"])
            return [(str(e["name"]), None) for e in entries]
        return _indexed(data)
    if isinstance(data, list) and data and all(isinstance(name, str) for name in data):
        return [(name, None) for name in data]
    return None


def _indexed(data: Mapping[Any, Any]) -> Names | None:
    """{"0": "cat"}, {"cat": 0}, or {"0": ["n02123045", "tabby"]}."""
    if not data:
        return None
    if all(_is_index(key) for key in data) and all(isinstance(v, str | list) for v in data.values()):
        rows = [data[key] for key in sorted(data, key=int)]
        pairs = [row if isinstance(row, list) else [row] for row in rows]
        if all(1 <= len(pair) <= 2 and all(isinstance(part, str) for part in pair) for pair in pairs):
            return [(pair[0], pair[1] if len(pair) == 2 else None) for pair in pairs]
    if all(_is_index(value) for value in data.values()) and len(set(map(int, data.values()))) == len(data):
        return [(str(name), None) for name in sorted(data, key=lambda name: int(data[name]))]
    return None


def _is_index(value: Any) -> bool:
    is_text = isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10
    return is_text or (isinstance(value, int) and not isinstance(value, bool))


def read_label_file(path: Path) -> Names:
    """Id and name of every line of an "id name" file. Raises SpecError for one that cannot be read."""
    rows: Names = []
    for line in read_text(path).splitlines():
        first, _, rest = line.strip().replace(",", "\t", 1).partition("\t")
        if not rest:
            first, _, rest = line.strip().partition(" ")
        if first and not first.startswith("#"):
            rows.append((first.strip(), rest.strip() or None))
    return rows
