"""The job of `hiergen explore`: files → one page, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hiergen.errors import HiergenError, OutputError
from hiergen.explore.document import document
from hiergen.explore.measure import Measured, measure
from hiergen.explore.payload import payload, same_classes
from hiergen.explore.read import Source, read_source
from hiergen.explore.results import read_results, trained_model
from hiergen.files import check_writable, write_text
from hiergen.taxonomy.checks import Finding, merged_findings

_SUFFIXES = (".html", ".htm")


@dataclass(frozen=True)
class Explored:
    """Where the page is, its size in bytes, and what is in it."""

    path: Path
    size: int
    sources: tuple[Source, ...]
    measured: dict[tuple[int, str], Measured]


def explore(
    names: Sequence[str],
    out: str | Path | None = None,
    *,
    results: str | Path | None = None,
    weights: str | None = None,
    timed: bool = False,
    batch: int = 1,
    threads: int | None = None,
    repeats: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Explored:
    """Write the page of one taxonomy file or model, or of two side by side.

    `names` are as `read_source` takes them; `out` is an .html file (default: TITLE.html here). `results` is a metrics
    file. `weights` is put into the commands of the model that it is of (of all, where the file does not say). `timed`
    measures the models now, with torch.
    Raises HiergenError for input that cannot be read, sources over different classes, and a path that cannot be
    written; then nothing is.
    """
    if not 1 <= len(names) <= 2:
        raise HiergenError("a page shows one taxonomy or model, or two", got=str(len(names)))
    target = None if out is None else _target(Path(out), names)
    if timed:  # which may take minutes
        check_writable(target or Path("page.html"))
    sources = []
    for name in names:
        progress(f"reading {name}")
        sources.append(read_source(name))
    for other in sources[1:]:
        same_classes(sources[0], other)
    read = None
    if results is not None:
        read = (Path(results).name, read_results(Path(results), sources[0].ids))
    found: dict[tuple[int, str], Measured] = {}
    if timed:
        for s, source in enumerate(sources):
            for model in source.models:
                if model.plan is not None:
                    found[s, model.name] = measure(
                        model.plan,
                        _leaves(source, model.nest),
                        batch=batch,
                        threads=threads,
                        repeats=repeats,
                        progress=partial(_told, progress, f"{source.title} {model.name}"),
                    )
    progress("writing")
    data = payload(
        sources,
        results=read,
        measured=found,
        findings=[_findings(source) for source in sources],
        weights=weights,
        trained=trained_model(weights) if weights is not None else None,
    )
    text = document(data)
    target = target or _target(Path(f"{sources[0].title}.html"), names)
    write_text(target, text)
    return Explored(target, len(text.encode()), tuple(sources), found)


def _told(progress: Callable[[str], None], what: str, text: str) -> None:
    progress(f"{what}: {text}")


def _findings(source: Source) -> list[Finding]:
    return merged_findings(source.taxonomy) if source.taxonomy is not None else []


def _leaves(source: Source, nest: int) -> list[int]:
    levels = source.nests[nest].levels
    return [c for group in levels[-1] for c in group.classes] if levels else list(range(len(source.ids)))


def _target(path: Path, names: Sequence[str]) -> Path:
    if path.suffix.lower() not in _SUFFIXES:
        raise OutputError("the page is an HTML file", place=str(path), expected="a path that ends in .html")
    for name in names:
        file = Path(name.rpartition(":")[0] or name)
        if path.exists() and file.exists() and path.samefile(file):
            raise OutputError("is the input itself", place=str(path), expected="another path")
    return path
