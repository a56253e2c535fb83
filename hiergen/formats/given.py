"""The classes of an import: given with `--classes`, or the leaves of the file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hiergen.data import CLASS_LISTS
from hiergen.errors import SpecError, TaxonomyError, quoted
from hiergen.files import user_path
from hiergen.formats.matching import own_classes
from hiergen.formats.tree import Tree, text
from hiergen.taxonomy.classes import ClassEntry, read_classes
from hiergen.taxonomy.load import fail
from hiergen.taxonomy.spec import Spec
from hiergen.taxonomy.synsets import guess, is_wnid, looks_like_synset
from hiergen.taxonomy.wordnet import default
from hiergen.taxonomy.yamlfile import Document, Key

Value = str | list[str] | dict[str, str]


def read_given(value: Value) -> tuple[ClassEntry, ...]:
    """The classes that `--classes` means. Raises HiergenError as `read_classes` does, placed there."""
    spec = Spec.model_validate({"name": "imported", "classes": value})
    return read_classes(spec, _Option(Path("-"), None, {}), default(), fail)


def classes_value(option: str) -> Value:
    """What the text of `--classes` means as a taxonomy file's `classes:`."""
    if option in CLASS_LISTS:
        return option
    if not option.strip():
        raise SpecError("no classes named", place="--classes", expected="a list, a file, an image folder or names")
    path = user_path(option)
    try:
        there, folder = path.exists(), path.is_dir()
    except (OSError, ValueError):  # a list of names may be too long for a path
        there = folder = False
        if "," not in option:
            raise SpecError(f"no class list {quoted(option)}", place="--classes") from None
    if folder:
        return {"imagefolder": str(path)}
    if "," in option and not there:
        return [name for part in option.split(",") if (name := part.strip())]
    return option


class _Option(Document):
    """Stands for a file's document where the classes come from the command line: they are relative to this folder."""

    def place(self, key: Key) -> str:
        return "--classes"


def moved(value: Value, target: Path) -> str | dict[str, str] | None:
    """The same from where the new file lies; None for a list, which is written out."""
    if isinstance(value, list):
        return None
    if isinstance(value, dict):
        return {key: _relative(folder, target) for key, folder in value.items()}
    return value if value in CLASS_LISTS else _relative(value, target)


def _relative(path: str, target: Path) -> str:
    full = user_path(path)
    if full.is_absolute():
        return str(full)
    seen = Path(os.path.relpath(full.resolve(), target.parent.resolve())).as_posix()
    return seen if "/" in seen or "." in seen else f"./{seen}"


class _Leaves(Document):
    """As above where the classes are a file's leaves."""

    def __init__(self, path: Path, places: Sequence[str]) -> None:
        super().__init__(path, None, {})
        self._places = places

    def place(self, key: Key) -> str:
        return self._places[key[1]] if len(key) > 1 and isinstance(key[1], int) else str(self.path)


def own_leaves(graph: Tree) -> tuple[dict[str, int], tuple[ClassEntry, ...], dict[str, str]]:
    """Leaf → class index, the classes as a taxonomy file with these ids has them, and what stands in its `synsets:`:
    what an exported tree says of a class, where the id alone would mean something else."""
    ids = own_classes(graph, default())
    if len(ids) < 2:
        raise TaxonomyError(
            "a taxonomy needs at least two classes", place=graph.graph["path"], got="1 leaf" if ids else "none"
        )
    document = _Leaves(Path(graph.graph["path"]), [text(graph, key, "place") for key in ids])
    said = {own: text(graph, key, "synset") for key, own in ids.items()}
    synsets = {own: wnid for own, wnid in said.items() if wnid and wnid != _meant(own) and default().resolve(wnid)}
    spec = Spec(name="imported", classes=list(ids.values()), synsets=synsets)
    return {key: i for i, key in enumerate(ids)}, read_classes(spec, document, default(), fail), synsets


def _meant(class_id: str) -> str | None:
    """The synset of a class of which nothing but the id is known."""
    if is_wnid(class_id) or looks_like_synset(class_id):
        return default().resolve(class_id)
    return guess(class_id, default())[0]
