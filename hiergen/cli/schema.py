"""The command `hiergen schema`: what editors need to complete and check taxonomy files and recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hiergen.cli.app import app
from hiergen.console.terminal import one_line
from hiergen.errors import HiergenError, unquoted


@app.command()
def schema(
    recipe: Annotated[bool, typer.Option("--recipe", help="The schema of recipes, not of taxonomy files.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The .json file to write (default: print it).")
    ] = None,
) -> None:
    """Print the JSON Schema of taxonomy files or recipes, with which editors complete and check them."""
    from hiergen.cli.json_schema import recipe_schema, schema_text, taxonomy_schema
    from hiergen.files import write_text

    text = schema_text(recipe_schema() if recipe else taxonomy_schema())
    if out is None:
        print(text, end="")
        return
    if out.suffix != ".json":
        raise HiergenError("is no file for a schema", place=unquoted(out), expected="a name that ends in .json")
    write_text(out, text)
    print(f"→ {one_line(out)}")
    kind = "recipe" if recipe else "taxonomy file"
    print(f"next: in a {kind} beside it, '# yaml-language-server: $schema={one_line(out.name)}' as the first line")
