"""Options that nothing reads are refused: who gives one expects it to matter."""

from __future__ import annotations

from collections.abc import Mapping

from hiergen.errors import SpecError


def refuse_unread(options: Mapping[str, object], where: str, hint: str) -> None:
    """Raises SpecError if one of the options (by the names of their fields; None: not given) is given; `where`: what it
    does nothing with, or without."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
    if given:
        names = " and ".join([", ".join(given[:-1]), given[-1]] if given[1:] else given)
        raise SpecError(f"{names} {'do' if given[1:] else 'does'} nothing {where}", hint=hint)
