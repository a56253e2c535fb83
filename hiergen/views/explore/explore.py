"""The job of `hiergen explore`: files → one page, written whole or not at all."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from hiergen.errors import HiergenError, OutputError
from hiergen.files import check_writable, write_text
from hiergen.lookup.reference import parse_reference
from hiergen.nestings.read import check_same_classes
from hiergen.taxonomy.checks import merged_findings
from hiergen.taxonomy.naming import identifier
from hiergen.views.explore.answers import read_evaluation
from hiergen.views.explore.measure import Measured, measure
from hiergen.views.explore.payload import payload, read_results, trained_model
from hiergen.views.explore.pictures import read_data, read_pictures, seen_by
from hiergen.views.explore.read import ExploredModel, Source, read_source

_SUFFIXES = (".html", ".htm")


@dataclass(frozen=True)
class Explored:
    """Where the page is, its size in bytes, and what is in it. `notes` say which images were drawn."""

    path: Path
    size: int
    sources: tuple[Source, ...]
    measured: dict[tuple[int, str], Measured]
    notes: tuple[str, ...] = ()

    @property
    def models(self) -> list[tuple[str, ExploredModel]]:
        """All models by the shortest name that tells them apart: their own, TAXONOMY:MODEL, what commands call them."""
        every = [(source, model) for source in self.sources for model in source.models]
        own, longer = [model.name for _, model in every], [f"{source.title}:{model.name}" for source, model in every]
        names = next((names for names in (own, longer) if len({*names}) == len(names)), [m.reference for _, m in every])
        return [(name, model) for name, (_, model) in zip(names, every, strict=True)]


def explore(
    names: Sequence[str],
    out: str | Path | None = None,
    *,
    results: str | Path | None = None,
    weights: str | None = None,
    images: Sequence[str | os.PathLike[str]] = (),
    data: str | os.PathLike[str] | None = None,
    timed: bool = False,
    batch: int = 1,
    threads: int | None = None,
    repeats: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Explored:
    """Write the page of one taxonomy file or model, or of two side by side.

    `names` are as `read_source` takes them; `out` is an .html file (default: TITLE.html here). `results` is a metrics
    file, or the folder of an evaluation: then the page also shows right and wrong answers, and what is taken for what.
    `weights` is put into the commands of the model that it is of (of all, where the file does not say). `timed`
    measures the models now, with torch. `images` are files, folders and patterns, at most 100 images: a network of the
    first source sees them, with the `weights`, and the page shows the path of each through the tree; or so it does with
    a few images of each class of `data`, which is what `open_data` takes.
    Raises HiergenError for input that cannot be read, sources over different classes, and a path that cannot be
    written; then nothing is.
    """
    if images and data is not None:
        raise HiergenError("two choices of images are given", expected="--image or --data")
    if not 1 <= len(names) <= 2:
        raise HiergenError("a page shows one taxonomy or model, or two", got=str(len(names)))
    target = None if out is None else _target(Path(out), names)
    if timed:  # which may take minutes
        check_writable(target or Path("page.html"))
    sources = []
    for name in names:
        progress(f"reading {name}")
        sources.append(read_source(name))
    if timed:
        for other in sources[1:]:  # before the minutes
            check_same_classes(sources[0].nestings[0], other.nestings[0])
    read, answers = None, None
    if results is not None and os.path.isdir(results):
        progress("reading results")
        metrics, answers = read_evaluation(Path(results), sources[0].ids)
        read = (Path(results).name, metrics)
    elif results is not None:
        read = (Path(results).name, read_results(Path(results), sources[0].ids))
    given = weights if weights is not None else sources[0].weights
    trained, form = trained_model(given) if given is not None else (None, None)
    pictures = None
    if images or data is not None:
        model = seen_by(sources[0], trained)
        progress(f"showing images to {model.name}")
        if data is not None:
            pictures = read_data(model, os.fspath(data), sources[0].ids, weights=weights)
        else:
            pictures = read_pictures(model, images, sources[0].ids, weights=weights)
        pictures["model"] = sources[0].models.index(model)
        trained, form = trained or identifier(model.name), pictures["form"]  # whose weights these are, then
    measured: dict[tuple[int, str], Measured] = {}
    if timed:
        for s, source in enumerate(sources):
            for model in source.models:
                if model.plan is not None:
                    what = f"{source.title} {model.name}"
                    measured[s, model.name] = measure(
                        model.plan,
                        source.nestings[model.nesting].leaves,
                        batch=batch,
                        threads=threads,
                        repeats=repeats,
                        progress=partial(_report, progress, what),
                    )
    progress("writing")
    content = payload(
        sources,
        results=read,
        measured=measured,
        findings=[merged_findings(source.taxonomy) if source.taxonomy else [] for source in sources],
        weights=weights,
        trained=trained,
        form=form,
    )
    content |= {key: part for key, part in (("pictures", pictures), ("answers", answers)) if part is not None}
    text = document(content)
    target = target or _target(Path(f"{sources[0].title}.html"), names)
    write_text(target, text)
    notes = [f"{part['from']}: {part['drawn']}" for part in (pictures, answers) if part and "drawn" in part]
    return Explored(target, len(text.encode()), tuple(sources), measured, tuple(notes))


def _target(path: Path, names: Sequence[str]) -> Path:
    if path.suffix.lower() not in _SUFFIXES:
        raise OutputError("the page is an HTML file", place=str(path), expected="a path that ends in .html")
    for name in names:
        file = parse_reference(name).path
        if path.exists() and file.exists() and path.samefile(file):
            raise OutputError("is the input itself", place=str(path), expected="another path")
    return path


# Each wraps itself in a function and adds to the global `Explore`; in the order in which they need each other.
SCRIPTS = (
    "data.js",
    "format.js",
    "cost.js",
    "commands.js",
    "search.js",
    "colour.js",
    "state.js",
    "seen.js",
    "tree.js",
    "diagram.js",
    "details.js",
    "cutout.js",
    "panels.js",
    "pictures.js",
    "answers.js",
    "main.js",
)
OPTIONAL = {"pictures.js": "pictures", "answers.js": "answers"}  # only in a page with such data
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def _report(progress: Callable[[str], None], what: str, text: str) -> None:
    progress(f"{what}: {text}")


def document(data: dict[str, Any]) -> str:
    """The page of a payload. The same data gives the same bytes.

    >>> from hiergen.views.explore.payload import payload
    >>> from hiergen.views.explore.read import read_source
    >>> document(payload([read_source("taxonomies/digits.yaml")]))[:15]
    '<!doctype html>'
    """
    style = _asset("page", "page.css")
    scripts = [
        *(source for _, source, _ in vendored()),
        *(_asset("page", name) for name in SCRIPTS if OPTIONAL.get(name, "title") in data),
    ]
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(_hash(text) for text in scripts)}",
            f"style-src {_hash(style)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    body = _asset("page", "body.html")
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy, quote=True)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="referrer" content="no-referrer">',
        '<link rel="icon" href="data:,">',
        f"<title>{escape(str(data['title']))} · hiergen explore</title>",
        f"<style>{style}</style>",
        "</head>",
        f"<body>\n{body}",
        f'<script type="application/json" id="data">{as_json(data)}</script>',
        f'<script type="text/plain" id="licences">{escape(licences(), quote=False)}</script>',
        *(f"<script>{text}</script>" for text in scripts),
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def as_json(data: object) -> str:
    """JSON that may stand in a script element: no text in it can end that, or open a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # lone surrogates have no UTF-8, and no meaning
    return text.translate(_ESCAPES).encode("utf-8", "replace").decode("utf-8")


def vendored() -> list[tuple[str, str, str]]:
    """(name and version, source, licence) of d3's modules in the order in which they are run."""
    rows = json.loads(_asset("vendor", "manifest.json"))["files"]
    return [
        (f"{row['name']} {row['version']}", _asset("vendor", row["file"]), _asset("vendor", row["licence_file"]))
        for row in rows
    ]


def licences() -> str:
    """The licence texts of what is inlined; the same text once, under all names."""
    by_text: dict[str, list[str]] = {}
    for name, _, licence in vendored():
        by_text.setdefault(licence.strip(), []).append(name)
    return "\n\n".join(f"{', '.join(names)}:\n\n{text}" for text, names in by_text.items())


def _asset(*path: str) -> str:
    return files("hiergen.views.explore").joinpath(*path).read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
