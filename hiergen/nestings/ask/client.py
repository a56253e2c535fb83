"""A chat model behind any OpenAI-compatible server: one question in, one text out.

The `openai` package talks to the server and tries again. Ours are the bounds: the time for a reply however slowly it
trickles in, its size, no redirect (the key would go along), and the key in no message, log or traceback: the request
runs in a thread of its own, whose stack nobody is shown.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import logging
import os
import re
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, cast
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, Field, ValidationError

from hiergen.errors import HiergenError, SpecError, quoted

if TYPE_CHECKING:
    from openai import OpenAI

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


MAX_REPLY = 4_000_000  # bytes
_BETWEEN = 8.0  # seconds that openai waits between two tries, at most, unless the server asks for more
_LONG = 12  # characters of a key that can stand in a reply only if the server repeats it; "1" may be anywhere
_SLOW = "a smaller --batch needs less, --timeout gives more"
_HINTS = {
    400: "if the prompt is too long for the model, a smaller --batch helps",
    401: "is the key in the environment variable of --key-env right?",
    404: "is --llm-model right, and does --base-url end as the server has it (mostly /v1)?",
}
_HINTS |= {403: _HINTS[401], 413: _HINTS[400], 422: _HINTS[400]}


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


@dataclass
class _Outcome:
    """A reply's body, or what is wrong; no text here has the key in it."""

    status: int | None = None
    body: str = field(default="", repr=False)
    problem: str = ""
    hint: str | None = None


class Client:
    """`timeout` seconds for each request with its reply, `overall` for all of them; each is tried 1 + `retries` times.

    Raises SpecError for a URL that is none, HiergenError where the package openai is not installed.
    """

    def __init__(
        self, base_url: str, model: str, key: Key, *, timeout: float = 60.0, overall: float = 3600.0, retries: int = 3
    ) -> None:
        self.url = _base(base_url)
        self.model = model
        self._key = key
        self._timeout, self._retries = timeout, retries
        self._overall, self._until = overall, time.monotonic() + overall
        self._temperature = True  # some models refuse to be given one
        self._api = _connect(self.url, key, timeout, retries)

    def __repr__(self) -> str:
        return f"Client({self.url!r}, {self.model!r})"

    def hide(self, text: str) -> str:
        """A text of the server's, fit to be shown."""
        return self._key.hide(text)

    def chat(self, messages: Sequence[dict[str, str]]) -> Reply:
        """The model's reply to these messages. Raises HiergenError when the server cannot be used, or not in time."""
        outcome = self._post(messages)
        if self._temperature and outcome.status == 400 and "temperature" in outcome.problem:
            self._temperature = False
            outcome = self._post(messages)
        if outcome.problem:
            self._fail(outcome.problem, outcome.hint)
        reply = _completion(outcome.body)
        if reply is None:
            hint = "the base URL of most servers ends in /v1"
            self._fail(f"the reply is no chat completion{_quote_error(self.hide(outcome.body))}", hint)
        return reply

    def _post(self, messages: Sequence[dict[str, str]]) -> _Outcome:
        """One request, with the tries that openai makes of it, within the time that is left."""
        left = self._until - time.monotonic()
        if left <= 0:
            self._fail(f"the time for all requests, {self._overall:g} s, is over")
        seconds = min(left, (self._timeout + _BETWEEN) * (self._retries + 1) - _BETWEEN)
        box: list[_Outcome] = []
        done = threading.Event()

        def work() -> None:
            try:
                box.append(_exchange(self, messages))
            finally:
                done.set()

        threading.Thread(target=work, name="hiergen-llm", daemon=True).start()
        if not done.wait(seconds):
            self._fail(f"no whole reply within {seconds:g} s", _SLOW)
        assert box, "the request's thread has died; its traceback is above"
        return box[0]

    def _fail(self, problem: str, hint: str | None = None) -> NoReturn:
        raise HiergenError(problem, place=self.url, hint=hint)


def _connect(url: str, key: Key, timeout: float, retries: int) -> OpenAI:
    try:
        import openai
    except ImportError:
        raise HiergenError("asking a server needs the package openai", hint="pip install 'hiergen[llm]'") from None
    for name in ("openai", "httpx2", "httpcore2"):  # their debug messages have headers in them
        logging.getLogger(name).setLevel(logging.WARNING)
    local = is_local(url)
    http = openai.DefaultHttpxClient(
        follow_redirects=False,
        timeout=timeout,
        verify=ssl.create_default_context(),  # SSL_CERT_FILE holds for it
        trust_env=not local,  # proxies are for other machines
        event_hooks={"response": [lambda response: _bound(response, timeout)]},
    )
    headers: dict[str, Any] = {
        "OpenAI-Organization": openai.Omit(),
        "OpenAI-Project": openai.Omit(),
        "Accept-Encoding": "identity",
    }
    return openai.OpenAI(
        base_url=url,
        api_key=key.reveal() or "none",
        max_retries=retries,
        timeout=timeout,
        http_client=http,
        default_headers=headers,
    )


def _bound(response: Any, timeout: float) -> None:
    """Give up on a body that is too large or too slow; nothing is decompressed."""
    import httpx2

    response.headers.pop("Content-Encoding", None)
    until = time.monotonic() + timeout

    class Bounded(httpx2.SyncByteStream):
        def __init__(self, stream: Any) -> None:
            self.stream = stream

        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for part in self.stream:
                size += len(part)
                if size > MAX_REPLY:
                    raise httpx2.ReadError(f"a reply of more than {MAX_REPLY:,} bytes")
                if time.monotonic() > until:
                    raise httpx2.ReadTimeout("the reply trickles in too slowly")
                yield part

        def close(self) -> None:
            self.stream.close()

    response.stream = Bounded(response.stream)


def _exchange(client: Client, messages: Sequence[dict[str, str]]) -> _Outcome:
    import openai

    more: dict[str, Any] = {"temperature": 0} if client._temperature else {}
    if not client._key:
        more["extra_headers"] = {"Authorization": openai.Omit()}
    create = client._api.chat.completions.with_raw_response.create
    key = client._key
    try:
        response = create(model=client.model, messages=cast(Any, messages), stream=False, **more)
        return _Outcome(200, key.hide(response.text, least=_LONG))
    except openai.APIStatusError as error:
        status, where = error.status_code, error.response.headers.get("Location", "nowhere")
        if 300 <= status < 400:
            hint = "redirects are not followed, as the key would go along: give the right --base-url"
            return _Outcome(status, "", f"HTTP {status}, the server redirects to {quoted(key.hide(where))}", hint)
        problem = f"HTTP {status}{_quote_error(key.hide(error.response.text))}"
        return _Outcome(status, "", problem, _HINTS.get(status))
    except openai.APITimeoutError:
        return _Outcome(problem=f"no whole reply within {client._timeout:g} s", hint=_SLOW)
    except openai.APIConnectionError as error:
        return _Outcome(problem=f"{urlsplit(client.url).netloc} cannot be used: {key.hide(_reason(error))}")
    except (openai.OpenAIError, ValueError, RecursionError) as error:
        return _Outcome(problem=key.hide(f"the reply cannot be read ({_reason(error)})"))


def _reason(error: BaseException) -> str:
    """What lies at the bottom of an error, in one line."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return " ".join(str(error).split()) or type(error).__name__


def _base(base_url: str) -> str:
    """The URL without what hiergen adds. What may hold a secret (user, query) is refused, and not repeated."""
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
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/chat/completions')}"


def is_local(url: str) -> bool:
    """Whether the server is this machine: no proxy is needed."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, such as 127.0.0.1.example.org
        return False


def _completion(body: str) -> Reply | None:
    """None where the body is no chat completion with a text."""
    try:
        choice = _Completion.model_validate_json(body).choices[0]
    except (ValidationError, RecursionError):
        return None
    content = choice.message.content
    if isinstance(content, list):  # parts
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return Reply(content or "", choice.finish_reason == "length")


def _quote_error(body: str) -> str:
    """ ": 'what an error's body says'", in one line; "" for a page of HTML or nothing."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = "" if "<" in body[:200] else body[:400]
    for name in ("error", "message", "detail"):
        if isinstance(data, dict) and name in data:
            data = data[name]
    text = " ".join(data.split()) if isinstance(data, str) else ""
    return f": {quoted(text)}" if text else ""
