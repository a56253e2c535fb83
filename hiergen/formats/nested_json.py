"""JSON that holds a class tree: dictionaries in dictionaries, d3's name and children, Open Images, AudioSet, COCO,
iNaturalist, datumaro and Geti, lists of nodes with a parent. Which it is shows in its keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hiergen.errors import SpecError
from hiergen.formats.json_trees import Lines
from hiergen.formats.tree import Tree, add, new_tree
from hiergen.taxonomy.class_files import Names, class_names, parsed, told_apart

KINDS = (
    "groups in dictionaries, {name, children}, COCO's or iNaturalist's categories, Open Images' Subcategory, "
    "AudioSet's child_ids, labels with a parent, NBDT's nodes and links"
)
_NAMES = ("name", "LabelName", "label", "title", "superclass", "supercategory", "category", "group", "id")
_BELOW = ("children", "Subcategory", "subcategories", "child", "nodes", "items", "labels", "classes")
_PARENTS = ("parent", "parent_id", "parentId")
_RANKS = ("kingdom", "phylum", "class", "order", "family", "genus", "supercategory")
_TOP = "0"


def read_structured(source: str, path: Path) -> Tree:
    """The tree, or list of classes, that a JSON or YAML file holds. Raises SpecError where it is none of these."""
    data = parsed(path, source)
    entries = _entries(data)
    names = class_names(data) if entries is None else None
    if names is not None:
        return _flat_list(names, source, path)
    reader = _Reader(Lines(source, path), path)
    if entries is not None:
        return reader.flat(entries)
    if isinstance(data, dict | list) and data:
        return reader.nested(data)
    raise SpecError("holds no class tree", place=str(path), expected=KINDS)


def _flat_list(names: Names, source: str, path: Path) -> Tree:
    tree, lines = new_tree(path, "names"), Lines(source, path)
    names = told_apart(names)
    add(tree, _TOP, place=f"{path}:1")
    for class_id, name in names:
        add(tree, str(len(tree)), _TOP, id=class_id, name=name or "", place=lines.place(class_id))
    return tree


def _entries(data: Any) -> list[dict[str, Any]] | None:
    """A flat list of classes that say where they belong; None where there is no such list."""
    if isinstance(data, dict) and isinstance(data.get("categories"), dict):
        data = data["categories"].get("label", data["categories"])  # datumaro
    lists = [data] if isinstance(data, list) else []
    if isinstance(data, dict):
        lists += [data[key] for key in ("categories", "labels", "nodes", "classes") if isinstance(data.get(key), list)]
    for entries in lists:
        if entries and all(isinstance(entry, dict) and _name(entry) for entry in entries):
            keys = set().union(*entries)
            if keys & {"child_ids", "supercategory", *_PARENTS} or len(keys & set(_RANKS)) > 1:
                return list(entries)
    return None


def _name(entry: Mapping[str, Any]) -> str:
    return next((str(entry[key]).strip() for key in _NAMES if isinstance(entry.get(key), str | int)), "")


class _Reader:
    def __init__(self, lines: Lines, path: Path) -> None:
        self._lines = lines
        self._tree = new_tree(path, "json")
        add(self._tree, _TOP, place=f"{path}:1")
        self._path = path

    def _add(self, under: str, name: str) -> str:
        return add(self._tree, str(len(self._tree)), under, id=name, place=self._lines.place(name))

    # groups inside groups

    def nested(self, data: dict[str, Any] | list[Any]) -> Tree:
        if isinstance(data, dict) and all(isinstance(value, str) for value in data.values()):
            turned: dict[str, list[str]] = {}
            for class_id, group in data.items():
                turned.setdefault(group, []).append(str(class_id))
            data = dict(turned) if len(turned) < len(data) else data  # class → its group
        stack: list[tuple[str, Any]] = [(_TOP, data)]
        while stack:
            under, value = stack.pop()
            if isinstance(value, list):
                stack += [(under, item) for item in reversed(value)]
            elif isinstance(value, dict) and (inside := self._inside(value)) is not None:
                key = under if under == _TOP and not _name(value) else self._add(under, _name(value))
                if "Part" in value:
                    self._note("parts of things (Part) are left out")
                stack.append((key, inside))
            elif isinstance(value, dict):
                for name, below in reversed(value.items()):
                    stack.append((under, _Named(str(name), below)))
            elif isinstance(value, _Named):
                self._named(under, value, stack)
            elif isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
                self._add(under, str(value).strip())
            else:
                raise SpecError(f"holds {type(value).__name__} where a class is due", place=str(self._path))
        return self._tree

    def _named(self, under: str, item: _Named, stack: list[tuple[str, Any]]) -> None:
        key = self._add(under, item.name)
        if isinstance(item.below, dict | list):
            stack.append((key, item.below))
        elif isinstance(item.below, str) and item.below.strip():
            self._tree.nodes[key]["name"] = item.below.strip()
        elif isinstance(item.below, float):
            raise SpecError("holds float where a class is due", place=self._lines.place(item.name))

    def _inside(self, entry: dict[str, Any]) -> list[Any] | None:
        """What an object with a name has below it; None where it is a dictionary of groups."""
        lists = [value for key in _BELOW if isinstance(value := entry.get(key), list)]
        if lists:
            return lists[0]
        return [] if any(isinstance(entry.get(key), str) for key in ("name", "LabelName")) else None

    # lists

    def flat(self, entries: list[dict[str, Any]]) -> Tree:
        if all(isinstance(entry.get("id"), int) for entry in entries):
            entries = sorted(entries, key=lambda entry: entry["id"])  # the order of the logits
        if any("child_ids" in entry for entry in entries):
            return self._by_children(entries)
        if any(key in entry for entry in entries for key in _PARENTS):
            return self._by_parent(entries)
        groups: dict[tuple[str, ...], str] = {(): _TOP}
        for entry in entries:
            above: tuple[str, ...] = ()
            ranks = _RANKS[:-1] if any(entry.get(rank) for rank in _RANKS[:-1]) else _RANKS
            for rank in ranks:
                value = str(entry.get(rank) or "").strip()
                if value and value != _name(entry):
                    above = (*above, value)
                    if above not in groups:
                        groups[above] = self._add(groups[above[:-1]], value)
            self._add(groups[above], _name(entry))
        return self._tree

    def _by_children(self, entries: list[dict[str, Any]]) -> Tree:
        keys = self._nodes(entries)
        above = {str(child): str(entry.get("id")) for entry in entries for child in entry.get("child_ids") or ()}
        for entry in entries:
            self._hang(keys, str(entry.get("id")), above.get(str(entry.get("id"))))
        return self._tree

    def _by_parent(self, entries: list[dict[str, Any]]) -> Tree:
        keys = self._nodes(entries)
        by_name = {_name(entry): str(entry.get("id", _name(entry))) for entry in entries}
        for entry in entries:
            parent = next((entry[key] for key in _PARENTS if entry.get(key) not in (None, "", -1)), None)
            node = None if parent is None else str(parent) if str(parent) in keys else by_name.get(str(parent))
            if parent is not None and node is None:
                raise SpecError(
                    f"parent {str(parent)!r} of {_name(entry)!r} is not in the list",
                    place=self._lines.place(str(parent)),
                )
            self._hang(keys, str(entry.get("id", _name(entry))), node)
        return self._tree

    def _nodes(self, entries: list[dict[str, Any]]) -> dict[str, str]:
        keys = {}
        for entry in entries:
            name = _name(entry)
            key = keys[str(entry.get("id", name))] = str(len(self._tree))
            self._tree.add_node(key, id=name, name="", place=self._lines.place(name))
        return keys

    def _hang(self, keys: dict[str, str], item: str, above: str | None) -> None:
        self._tree.add_edge(keys.get(above or "", _TOP), keys[item])

    def _note(self, text: str) -> None:
        if text not in self._tree.graph["notes"]:
            self._tree.graph["notes"].append(text)


class _Named:
    """A key of a dictionary and what stands under it."""

    def __init__(self, name: str, below: Any) -> None:
        self.name, self.below = name, below
