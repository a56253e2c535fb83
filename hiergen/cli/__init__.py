"""The command line: each command a thin layer over the Python function of the same name.

Exit codes: 0 done, 1 `build --check` found drift, 2 the input is wrong (one sentence on stderr), 130 stopped
by Ctrl-C, SIGTERM or SIGHUP, 141 nobody reads what is printed (`| head`).
"""

from typer.models import CommandInfo

from hiergen.cli import (
    adapt,
    attend,
    cost,
    cue,
    cutout,
    draw,
    grow,
    partitions,
    predict,
    schema,
    suggest,
    taxonomies,
    train,
    trees,
)
from hiergen.cli.app import app, main

__all__ = [
    "adapt",
    "app",
    "attend",
    "cost",
    "cue",
    "cutout",
    "draw",
    "grow",
    "main",
    "partitions",
    "predict",
    "schema",
    "suggest",
    "taxonomies",
    "train",
    "trees",
]

# in the order in which people need them
PANELS = {
    "Make": ("init", "import", "senses", "validate", "show", "build"),
    "Train": ("train", "adapt", "eval"),
    "Use": ("predict", "cutout", "reject", "embed", "export", "convert"),
    "Change": ("grow", "specialise", "graft", "shrink"),
    "Look": ("cost", "draw", "explore"),
    "Nestings": ("count-partitions", "suggest", "search", "ask"),
    "Steer": ("attend", "cue", "coarse-first"),
    "Tools": ("tune", "schema"),
}
_ORDER = [(panel, name) for panel, names in PANELS.items() for name in names]


def _place(command: CommandInfo) -> int:
    names = (command.name, getattr(command.callback, "__name__", ""))
    return next(place for place, (_, name) in enumerate(_ORDER) if name in names)


for _command in app.registered_commands:
    _command.rich_help_panel = _ORDER[_place(_command)][0]
app.registered_commands.sort(key=_place)
