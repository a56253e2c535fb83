"""An API key: read from the environment, sent in one header, shown nowhere."""

from __future__ import annotations

import base64
import json
import os
import re
from urllib.parse import quote

from hiergen.errors import SpecError

HIDDEN = "[key]"


class Key:
    """The key of a server, or none. Its text is in no `repr`, `str`, `__dict__` or pickle.

    >>> Key("sk-secret")
    Key(set)
    """

    __slots__ = ("__text",)

    def __init__(self, text: str | None) -> None:
        self.__text = text or ""

    @classmethod
    def from_environment(cls, name: str) -> Key:
        """The key in the environment variable; none where it is not set or empty, as local servers need none.

        Raises SpecError, without the key, for one that no HTTP header can carry.
        """
        if not name or "=" in name or "\0" in name:
            raise SpecError("no name of an environment variable", got=repr(name), expected="such as OPENAI_API_KEY")
        key = cls(os.environ.get(name))
        if problem := key._problem():
            raise SpecError(
                f"the key in the environment variable {name} {problem}", expected="printable ASCII without blanks"
            )
        return key

    def _problem(self) -> str | None:
        if any(c in "\r\n" for c in self.__text):
            return "has a line break in it"
        if any(c.isspace() for c in self.__text):
            return "has blanks in it"
        if not self.__text.isascii():
            return "has characters that are not ASCII"
        return None if self.__text.isprintable() else "has control characters in it"

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __repr__(self) -> str:
        return f"Key({'set' if self else 'none'})"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a key is not written to files")

    def reveal(self) -> str:
        """Its text, for the header that carries it."""
        return self.__text

    def hide(self, text: str, *, least: int = 1) -> str:
        """`text` with the key, in the forms that a server may repeat the whole of it in, replaced; as it is for one of
        fewer than `least` characters."""
        raw = self.__text
        if len(raw) < max(1, least):
            return text
        coded = [base64.b64encode(form.encode()).decode().rstrip("=") for form in (raw, f"Bearer {raw}")]
        for form in sorted({raw, quote(raw, safe=""), quote(raw), json.dumps(raw)[1:-1], *coded}, key=len)[::-1]:
            text = re.sub(re.escape(form), HIDDEN, text, flags=re.IGNORECASE)
        return text
