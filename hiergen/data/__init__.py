"""What ships with hiergen: WordNet 3.0's nouns, lists of classes, the superclass decisions."""

from __future__ import annotations

import functools
from importlib import resources

from hiergen.errors import TaxonomyError, nearest, quoted

CLASS_LISTS = ("imagenet100", "imagenet1k", "imagenette", "imagewoof", "tiny-imagenet-100")


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
    text = resources.files("hiergen.data").joinpath("classes", f"{name}.txt").read_text(encoding="ascii")
    return tuple(text.split())
