"""One POST over HTTP with a deadline for the whole of it, whatever the server does; no exception but a plain outcome.

The request runs in a thread of its own: a name look-up, a handshake or headers that trickle in cannot be cut short
otherwise. Nothing of that thread's stack, where the key is, gets into a traceback.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import IO
from urllib.parse import urlsplit

from hiergen.files import reason
from hiergen.suggest.llm.key import Key

MAX_REPLY = 4_000_000  # bytes
_CHUNK = 65536
_LONG = 12  # characters of a key that can stand in a reply only if the server repeats it; "1" may be anywhere


@dataclass
class Outcome:
    """`status` None: no reply, `problem` says why; `again`: whether another try may help.

    No text here has the key in it; but a short one, which JSON may hold by chance, is taken out of `body` only where
    that is shown.
    """

    status: int | None = None
    body: str = field(default="", repr=False)
    problem: str = ""
    again: bool = True
    retry_after: str = ""
    location: str = ""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like another one: urllib would take the key along to any host."""

    def redirect_request(self, *_: object) -> None:
        return None


def post(url: str, payload: bytes, key: Key, timeout: float) -> Outcome:
    """Send JSON and read the reply, both within `timeout` seconds. Redirects are not followed; replies are read up to
    `MAX_REPLY` bytes; proxies are those of the environment, except for this machine itself."""
    box: list[Outcome] = []
    done = threading.Event()

    def work() -> None:
        try:
            box.append(_exchange(url, payload, key, time.monotonic() + timeout, timeout))
        finally:
            done.set()

    threading.Thread(target=work, name="hiergen-llm", daemon=True).start()
    if not done.wait(timeout):
        return Outcome(
            problem=f"no whole reply within {timeout:g} s (a smaller --batch needs less, --timeout gives more)"
        )
    assert box, "the request's thread has died; its traceback is above"
    return box[0]


def _exchange(url: str, payload: bytes, key: Key, until: float, timeout: float) -> Outcome:
    headers = {"Content-Type": "application/json", "Accept": "application/json", **key.headers()}
    request = urllib.request.Request(url, data=payload, headers=headers, method="POST")
    local = is_local(url)
    proxies = urllib.request.ProxyHandler({} if local else None)
    opener = urllib.request.build_opener(proxies, _NoRedirect)
    try:
        try:
            reply = opener.open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            reply = error
        with reply:
            outcome = _read(reply, until)
    except (OSError, http.client.HTTPException, ValueError) as error:
        outcome = _failure(error, url)
    outcome.body, outcome.retry_after = (key.hide(t, least=_LONG) for t in (outcome.body, outcome.retry_after))
    outcome.problem, outcome.location = key.hide(outcome.problem), key.hide(outcome.location)
    return outcome


def _read(reply: IO[bytes], until: float) -> Outcome:
    status, headers = reply.status, reply.headers  # type: ignore[attr-defined]
    outcome = Outcome(
        status, retry_after=headers.get("Retry-After", "").strip(), location=headers.get("Location", "").strip()
    )
    parts: list[bytes] = []
    size = 0
    while chunk := reply.read1(_CHUNK):  # type: ignore[attr-defined]
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_REPLY:
            return Outcome(problem=f"a reply of more than {MAX_REPLY:,} bytes")
        if time.monotonic() > until:
            return Outcome(problem="the reply trickles in too slowly")
    stated = headers.get("Content-Length", "")
    if stated.isdecimal() and len(stated) < 20 and size < int(stated):
        return Outcome(problem=f"the reply broke off after {size:,} of {int(stated):,} bytes")
    outcome.body = b"".join(parts).decode("utf-8", "replace")
    return outcome


def _failure(error: Exception, url: str) -> Outcome:
    """What went wrong below HTTP, in words."""
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        error = error.reason
    host = urlsplit(url).netloc
    match error:
        case ssl.SSLCertVerificationError():
            problem = f"the certificate of {host} is not trusted ({error.verify_message})"
            return Outcome(problem=f"{problem}; SSL_CERT_FILE names one to trust", again=False)
        case ssl.SSLError():
            why = (error.reason or "handshake failed").replace("_", " ").lower()
            return Outcome(problem=f"no TLS with {host} ({why}); is it an http:// server?", again=False)
        case socket.gaierror():
            return Outcome(problem=f"no address is known for {host} ({reason(error)})", again=False)
        case ConnectionRefusedError():
            return Outcome(problem=f"nothing listens at {host}; is the server running?", again=False)
        case TimeoutError():
            return Outcome(problem="no whole reply in time")
        case http.client.IncompleteRead():
            return Outcome(problem="the reply broke off")
        case http.client.RemoteDisconnected() | ConnectionResetError() | BrokenPipeError():
            return Outcome(problem="the server closed the connection without a reply")
        case http.client.HTTPException():
            return Outcome(problem=f"no HTTP reply ({type(error).__name__})")
    return Outcome(problem=f"cannot be reached ({reason(error)})")


def is_local(url: str) -> bool:
    """Whether the server is this machine: the key stays on it, and no proxy is needed."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, such as 127.0.0.1.example.org
        return False
