"""Write the pages and files under docs/ that the code says by itself.

    python docs/site/generate.py            # write them
    python docs/site/generate.py --check    # exit 1 if one is out of date

cli.md comes from the commands, python.md from docstrings, taxonomy-reference.md and recipe-reference.md from the
descriptions of the pydantic models, and the two schemas are what `hiergen schema` prints.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(DOCS.parent), str(Path(__file__).parent)]

from apipage import api_page  # noqa: E402
from clipage import cli_page  # noqa: E402
from schemapage import recipe_page, taxonomy_page  # noqa: E402

from hiergen.cli.json_schema import recipe_schema, schema_text, taxonomy_schema  # noqa: E402
from hiergen.files import write_text  # noqa: E402

COMMAND = "python docs/site/generate.py"
PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "python.md": api_page,
    "taxonomy-reference.md": taxonomy_page,
    "recipe-reference.md": recipe_page,
    "taxonomy.schema.json": lambda: schema_text(taxonomy_schema()),
    "recipe.schema.json": lambda: schema_text(recipe_schema()),
}


def stale() -> list[str]:
    """The generated files under docs/ that are not what the code says."""
    return [name for name, page in PAGES.items() if not _is(DOCS / name, page())]


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text("utf-8") == text


def main() -> None:
    if "--check" in sys.argv[1:]:
        if old := stale():
            sys.exit(f"out of date: {', '.join(f'docs/{name}' for name in old)}; run '{COMMAND}' and commit the result")
        return
    for name, page in PAGES.items():
        if not _is(DOCS / name, text := page()):
            write_text(DOCS / name, text)
            print(f"→ docs/{name}")


if __name__ == "__main__":
    main()
