"""What ships with hiergen: WordNet 3.0's nouns, taxonomy files, lists of classes, the superclass decisions."""

from __future__ import annotations

import functools
from importlib import resources
from pathlib import Path

from hiergen.errors import TaxonomyError, nearest, quoted

CLASS_LISTS = ("imagenet100", "imagenet1k", "imagenette", "imagewoof", "tiny-imagenet-100")


@functools.cache
def shipped_taxonomies() -> dict[str, Path]:
    """Name → file of the taxonomies that come with hiergen."""
    package = Path(__file__).parent
    folder = package / "taxonomies"  # of a wheel; in a checkout they lie beside the package
    files = (folder if folder.is_dir() else package.parents[1] / "taxonomies").glob("*.yaml")
    return {file.stem: file for file in sorted(files)}


def taxonomy_file(path: str | Path) -> Path:
    """The path of a taxonomy file; a bare name that is no file here means one that comes with hiergen."""
    path = Path(path)
    shipped = shipped_taxonomies().get(str(path))
    return path if shipped is None or path.exists() else shipped


@functools.cache
def class_list(name: str) -> tuple[str, ...]:
    """The wnids of a built-in list (`CLASS_LISTS`), sorted.

    Raises TaxonomyError where there is no list of that name.

    >>> class_list("imagenette")[0]
    'n01440764'
    """
    if name not in CLASS_LISTS:
        raise TaxonomyError(
            f"no built-in class list {quoted(name)}",
            expected=f"one of {', '.join(CLASS_LISTS)}",
            nearest=nearest(name, CLASS_LISTS),
        )
    text = resources.files("hiergen.assets").joinpath("classes", f"{name}.txt").read_text(encoding="ascii")
    return tuple(text.split())
