"""A chat model behind any OpenAI-compatible server: one question in, one text out, however badly the server behaves."""

from __future__ import annotations

import json
import math
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError

from hiergen.errors import HiergenError, SpecError, quoted
from hiergen.suggest.llm.exchange import Outcome, post
from hiergen.suggest.llm.key import Key

MAX_WAIT = 60.0  # seconds between two tries, and the longest Retry-After that is waited for
_FIRST_WAIT = 1.0  # seconds; doubled each time
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class _Message(BaseModel):
    content: str | list[Any] | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


@dataclass(frozen=True)
class Reply:
    """What the model wrote; `cut`: the server says that it ran out of tokens before its end."""

    text: str
    cut: bool


class Client:
    """`timeout` seconds for each request with its reply, `overall` for all of them; each is tried 1 + `retries` times.

    Between tries it waits 1, 2, 4 … s, less a random part (from `seed`, so that many clients do not come back
    together), or as long as the server's Retry-After says. Raises SpecError for a URL that is none.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        key: Key,
        *,
        timeout: float = 60.0,
        overall: float = 3600.0,
        retries: int = 3,
        seed: int = 0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = _endpoint(base_url)
        self.model = model
        self._key = key
        self._timeout, self._retries = timeout, retries
        self._sleep = sleep
        self._overall, self._until = overall, time.monotonic() + overall
        self._random = random.Random(seed)
        self._temperature = True  # some models refuse to be told one

    def __repr__(self) -> str:
        return f"Client({self.url!r}, {self.model!r})"

    def hide(self, text: str) -> str:
        """A text of the server's, fit to be shown."""
        return self._key.hide(text)

    def chat(self, messages: Sequence[dict[str, str]]) -> Reply:
        """The model's reply to these messages. Raises HiergenError when the server cannot be used, or not in time."""
        tries = 0
        while True:
            outcome = self._post(messages)
            reply = _completion(outcome) if outcome.status == 200 else None
            if reply is not None:
                return reply
            if self._temperature and outcome.status == 400 and "temperature" in outcome.body:
                self._temperature = False
                continue
            problem, again, hint = self._problem(outcome)
            tries += 1
            if not again or tries > self._retries:
                times = f" ({tries} tries)" if tries > 1 else ""
                self._fail(f"{problem}{times}", hint)
            self._wait(tries, outcome, problem)

    def _post(self, messages: Sequence[dict[str, str]]) -> Outcome:
        left = self._until - time.monotonic()
        if left <= 0:
            self._fail(f"the time for all requests, {self._overall:g} s, is over")
        body: dict[str, Any] = {"model": self.model, "messages": list(messages), "stream": False}
        if self._temperature:
            body["temperature"] = 0
        return post(self.url, json.dumps(body).encode("ascii"), self._key, min(left, self._timeout))

    def _wait(self, tries: int, outcome: Outcome, problem: str) -> None:
        wait = min(MAX_WAIT, _FIRST_WAIT * 2.0 ** (tries - 1)) * self._random.uniform(0.5, 1)
        asked = _retry_after(outcome.retry_after)
        if asked > MAX_WAIT:
            self._fail(f"{problem}; it asks to wait {asked:,.0f} s, and hiergen waits {MAX_WAIT:g} s at most")
        wait = max(wait, asked)
        if time.monotonic() + wait > self._until:
            self._fail(f"{problem}; the time for all requests, {self._overall:g} s, ends before the next try")
        self._sleep(wait)

    def _problem(self, outcome: Outcome) -> tuple[str, bool, str | None]:
        """(what happened, whether to try again, what to do about it)."""
        if outcome.status is None:
            return outcome.problem, outcome.again, None
        says = _says(self.hide(outcome.body))
        said = f": {quoted(says)}" if says else ""
        status = f"HTTP {outcome.status}{said}"
        match outcome.status:
            case 200:
                problem = f"the reply is no chat completion{said}"
                return problem, True, "the base URL of most servers ends in /v1"
            case 301 | 302 | 303 | 307 | 308:
                where = quoted(outcome.location) if outcome.location else "nowhere"
                hint = "redirects are not followed, as the key would go along: give the right --base-url"
                return f"HTTP {outcome.status}, the server redirects to {where}", False, hint
            case 401 | 403:
                hint = "is the key right?" if self._key else "the server may want a key in the environment"
                return status, False, hint
            case 404:
                model = f"is --llm-model {quoted(self.model)} right"
                hint = f"{model}, and does --base-url end as the server has it (mostly /v1)?"
                return status, False, hint
            case 400 | 413 | 422:
                return status, False, "if the prompt is too long for the model, a smaller --batch helps"
        return status, outcome.status in _AGAIN, None

    def _fail(self, problem: str, hint: str | None = None) -> NoReturn:
        raise HiergenError(problem, place=self.url, hint=hint)


def _endpoint(base_url: str) -> str:
    """The address of chat completions. What may hold a secret (user, query) is refused, and not repeated."""
    expected = "such as http://localhost:8000/v1"
    if any(c.isspace() or not c.isprintable() for c in base_url) or not base_url.isascii():
        raise SpecError("--base-url has blanks or characters that are not ASCII", expected=expected)
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise SpecError("--base-url is no URL", expected=expected) from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise SpecError(
            "--base-url has a user, a query or a fragment in it", expected=expected, hint="a key belongs in --key-env"
        )
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise SpecError("--base-url is no http:// or https:// URL", got=quoted(base_url), expected=expected)
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return f"{parts.scheme}://{parts.netloc}{path}/chat/completions"


def _completion(outcome: Outcome) -> Reply | None:
    """None where the body is no chat completion with a text."""
    try:
        choice = _Completion.model_validate_json(outcome.body).choices[0]
    except (ValidationError, RecursionError):
        return None
    content = choice.message.content
    if isinstance(content, list):  # parts
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return Reply(content or "", choice.finish_reason == "length")


def _says(body: str) -> str:
    """What an error's body says, in one line; "" for a page of HTML or nothing."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return "" if "<" in body[:200] else " ".join(body[:400].split())
    for name in ("error", "message", "detail"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    return " ".join(found.split()) if isinstance(found, str) else ""


def _retry_after(text: str) -> float:
    """Seconds; the header has those or a date. 0 for anything else."""
    if re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", text):
        return float(text)
    try:
        wait = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return max(0.0, math.ceil(wait))
