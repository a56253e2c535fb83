"""rich's console, on which text from outside is shown, never obeyed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from hiergen.terminal import bare, shown


class PlainConsole(Console):
    """A rich console that shows all text as it is: no markup, no emoji codes, no escape sequences but its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Its segments, cleaned; those that only steer the terminal are rich's own."""
        for segment in super().render(renderable, options):
            text = segment.text
            if segment.control or text.isprintable() or (plain := shown(text)) == text:
                yield segment
            else:
                yield Segment(plain, segment.style)


def console(*, stderr: bool = False) -> Console:
    """A console on standard output; pipes and logs are 200 columns wide."""
    stream = bare(sys.stderr if stderr else sys.stdout)
    made = PlainConsole(file=stream)
    return made if made.is_terminal else PlainConsole(file=stream, width=200)
