"""The command line: each command a thin layer over the Python function of the same name.

Exit codes: 0 done, 1 `build --check` found drift, 2 the input is wrong (one sentence on stderr), 130 stopped
by Ctrl-C, SIGTERM or SIGHUP, 141 nobody reads what is printed (`| head`).
"""

from hiergen.cli import (
    attend,
    coarse,
    cost,
    cue,
    cutout,
    draw,
    evaluate,
    explore,
    export,
    partitions,
    schema,
    suggest,
    taxonomies,
    train,
    trees,
    tune,
)
from hiergen.cli.app import app, main

__all__ = [
    "app",
    "attend",
    "coarse",
    "cost",
    "cue",
    "cutout",
    "draw",
    "evaluate",
    "explore",
    "export",
    "main",
    "partitions",
    "schema",
    "suggest",
    "taxonomies",
    "train",
    "trees",
    "tune",
]
