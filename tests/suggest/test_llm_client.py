"""The client against a real server on this machine: each fault of a server, and what becomes of the key."""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
import shutil
import socket
import ssl
import subprocess
import threading
import time
import traceback
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from hiergen.errors import HiergenError, SpecError
from hiergen.suggest.llm import client as client_module
from hiergen.suggest.llm import exchange
from hiergen.suggest.llm.client import Client, Reply
from hiergen.suggest.llm.key import Key
from tests.suggest.llm_stub import Act, Stub, raw, saying, serving, silent, status, trickle

SECRET = "sk-Very/Secret+Key_0123456789"
ASK = [{"role": "user", "content": "hello\nItems:\n"}]


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving(Stub()) as found:
        yield found


class Waits(list[float]):
    """Stands in for time.sleep: keeps what it was asked to wait."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def client(url: str, waits: Waits | None = None, *, key: str = "", **more: float) -> Client:
    options: dict[str, float] = {"timeout": 10.0, "retries": 3, **more}
    return Client(url, "m", Key(key), sleep=waits if waits is not None else Waits(), **options)  # type: ignore[arg-type]


def test_a_request_is_what_servers_expect(stub: Stub) -> None:
    stub.acts = [saying("hi")]
    assert client(stub.url, key=SECRET).chat(ASK) == Reply("hi", cut=False)
    (request,) = stub.requests
    assert request.path == "/v1/chat/completions"
    assert request.body == {"model": "m", "messages": ASK, "stream": False, "temperature": 0}
    assert request.headers["Authorization"] == f"Bearer {SECRET}"
    assert request.headers["Content-Type"] == "application/json"


def test_without_a_key_no_header(stub: Stub) -> None:
    stub.acts = [saying("hi")]
    client(f"{stub.url}/").chat(ASK)
    client(f"{stub.url}/chat/completions", key="x").chat(ASK)
    assert [request.path for request in stub.requests] == ["/v1/chat/completions"] * 2
    assert "Authorization" not in stub.requests[0].headers


@pytest.mark.parametrize("content", [None, "", [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}, 5]])
def test_contents_of_all_kinds(stub: Stub, content: object) -> None:
    stub.acts = [saying(content, "length")]
    assert client(stub.url).chat(ASK) == Reply("hi" if isinstance(content, list) else "", cut=True)


def completion(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}]}).encode()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
FULL = completion("fine")
PASSING: dict[str, Act] = {
    "429": status(429, "slow down"),
    "500": status(500),
    "502": status(502, "bad gateway"),
    "503": status(503),
    "504": status(504),
    "closed at once": raw(b""),
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "body cut off": raw(HEAD + b"Content-Length: %d\r\n\r\n" % (len(FULL) + 10) + FULL),
    "chunk cut off": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (len(FULL) + 10) + FULL),
    "body not JSON": raw(HEAD + b"\r\n" + FULL[:-3]),
    "HTML": raw(b"HTTP/1.1 200 OK\r\n\r\n<html>Welcome</html>"),
    "no choices": raw(HEAD + b'\r\n{"choices": []}'),
    "choices of a wrong type": raw(HEAD + b'\r\n{"choices": [{"message": "fine"}]}'),
    "error with 200": raw(HEAD + b'\r\n{"error": {"message": "overloaded"}}'),
    "not UTF-8": raw(HEAD + b"\r\n\xff\xfe\x00"),
    "deep": raw(HEAD + b"\r\n" + b"[" * 200_000),
    "empty": raw(HEAD + b"Content-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize("fault", PASSING)
def test_after_a_passing_fault_the_answer_is_the_same(stub: Stub, fault: str) -> None:
    waits = Waits()
    stub.acts = [PASSING[fault], PASSING[fault], saying("fine")]
    assert client(stub.url, waits).chat(ASK) == Reply("fine", cut=False)
    assert len(stub.requests) == 3
    assert len(waits) == 2
    assert 0.5 <= waits[0] <= 1 <= waits[1] <= 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("429", "HTTP 429: 'slow down' (3 tries)"),
        ("500", "HTTP 500 (3 tries)"),
        ("502", "HTTP 502: 'bad gateway' (3 tries)"),
        ("closed at once", "the server closed the connection without a reply (3 tries)"),
        ("no HTTP", "no HTTP reply (BadStatusLine) (3 tries)"),
        ("body cut off", f"the reply broke off after {len(FULL)} of {len(FULL) + 10} bytes (3 tries)"),
        ("chunk cut off", "the reply broke off (3 tries)"),
        ("body not JSON", "the reply is no chat completion: "),
        ("HTML", "the reply is no chat completion (3 tries); the base URL of most servers ends in /v1"),
        ("error with 200", "the reply is no chat completion: 'overloaded' (3 tries)"),
    ],
)
def test_a_lasting_fault_is_one_sentence(stub: Stub, fault: str, said: str) -> None:
    stub.acts = [PASSING[fault]] * 5
    with pytest.raises(HiergenError) as error:
        client(stub.url, retries=2).chat(ASK)
    assert f"{stub.url}/chat/completions: {said}" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(stub.requests) == 3


@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        (400, "too long", "HTTP 400: 'too long'; if the prompt is too long for the model, a smaller --batch helps"),
        (401, "no key", "HTTP 401: 'no key'; the server may want a key in the environment"),
        (403, "", "HTTP 403; the server may want a key in the environment"),
        (404, "", "HTTP 404; is --llm-model 'm' right, and does --base-url end as the server has it (mostly /v1)?"),
        (418, "teapot\n\x1b[31m", "HTTP 418: 'teapot \\x1b[31m'"),
    ],
)
def test_what_will_not_pass_is_not_tried_again(stub: Stub, code: int, text: str, said: str) -> None:
    stub.acts = [status(code, text)]
    with pytest.raises(HiergenError) as error:
        client(stub.url).chat(ASK)
    assert str(error.value) == f"{stub.url}/chat/completions: {said}"
    assert len(stub.requests) == 1


def test_a_model_that_takes_no_temperature_gets_none(stub: Stub) -> None:
    stub.acts = [status(400, "Unsupported value: 'temperature' does not support 0"), saying("a"), saying("b")]
    found = client(stub.url)
    assert [found.chat(ASK).text, found.chat(ASK).text] == ["a", "b"]
    assert ["temperature" in request.body for request in stub.requests] == [True, False, False]
    stub.acts = [status(400, "temperature!")] * 2
    with pytest.raises(HiergenError, match="temperature"):
        client(stub.url).chat(ASK)


def test_retry_after_is_waited_for_within_bounds(stub: Stub) -> None:
    waits = Waits()
    date = formatdate(time.time() + 40, usegmt=True)
    past = formatdate(time.time() - 40, usegmt=True)
    stub.acts = [status(429, Retry_After="7"), status(503, Retry_After=date), status(429, Retry_After="soon")]
    stub.acts += [status(429, Retry_After=past), saying("fine")]
    client(stub.url, waits, retries=4).chat(ASK)
    assert waits[0] == 7
    assert 20 < waits[1] <= 41
    assert 2 <= waits[2] <= 4 <= waits[3] <= 8
    stub.acts = [status(429, "quota", Retry_After="86400")]
    with pytest.raises(HiergenError, match="'quota'; it asks to wait 86,400 s, and hiergen waits 60 s at most"):
        client(stub.url, waits).chat(ASK)
    assert len(waits) == 4


def test_waits_grow_to_a_bound_and_follow_the_seed(stub: Stub) -> None:
    found = []
    for seed in (1, 1, 2):
        waits = Waits()
        stub.acts = [status(500)] * 9 + [saying("fine")]
        client(stub.url, waits, retries=9, seed=seed).chat(ASK)
        found.append(waits)
    assert found[0] == found[1] != found[2]
    for i, wait in enumerate(found[0]):
        assert min(60, 2**i) / 2 <= wait <= min(60, 2**i)


def test_the_time_for_all_requests_is_bounded(stub: Stub) -> None:
    stub.acts = [status(500)] * 3
    with pytest.raises(HiergenError, match=r"HTTP 500; the time for all requests, 0\.4 s, ends before the next try"):
        client(stub.url, overall=0.4).chat(ASK)
    spent = client(stub.url, overall=1e-9)
    with pytest.raises(HiergenError, match="the time for all requests, 1e-09 s, is over"):
        spent.chat(ASK)
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    "slow",
    [
        silent,
        trickle(HEAD + b"\r\n", b" "),  # the body
        trickle(HEAD + b"X-Long: ", b"x"),  # a header
        trickle(b"", b"\r"),
    ],
)
def test_a_slow_server_meets_the_deadline(stub: Stub, slow: Act) -> None:
    stub.acts = [slow, slow, saying("fine")]
    assert client(stub.url, timeout=0.25).chat(ASK).text == "fine"
    assert len(stub.requests) == 3
    stub.acts = [slow]
    with pytest.raises(HiergenError, match=r"no whole reply|no HTTP reply|too slowly"):
        client(stub.url, timeout=0.25, retries=0).chat(ASK)


def test_a_giant_body_is_not_read_to_its_end(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_REPLY", 200_000)
    sent = []

    def giant(handler: object, request: object) -> None:
        handler.wfile.write(HEAD + b"\r\n")  # type: ignore[attr-defined]
        handler.close_connection = True  # type: ignore[attr-defined]
        for _ in range(10_000):
            handler.wfile.write(b" " * 65536)  # type: ignore[attr-defined]
            sent.append(65536)

    stub.acts = [giant]
    with pytest.raises(HiergenError, match=r"a reply of more than 200,000 bytes"):
        client(stub.url, retries=0).chat(ASK)
    stub.free.set()
    assert sum(sent) < 10_000 * 65536


# servers that are not there


def test_nothing_listens() -> None:
    with socket.socket() as held:  # bound, not listening: nobody else gets the port
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}/v1"
        waits = Waits()
        with pytest.raises(HiergenError, match=r"nothing listens at 127\.0\.0\.1:\d+; is the server running\?"):
            client(url, waits).chat(ASK)
    assert waits == []


def test_an_unknown_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("HTTP_PROXY", raising=False)
    with pytest.raises(HiergenError, match=r"no address is known for nowhere\.invalid"):
        client("http://nowhere.invalid/v1", timeout=30).chat(ASK)


def test_a_name_server_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()

    def hang(*_: object, **__: object) -> None:
        free.wait(30)
        raise socket.gaierror(-3, "temporary failure")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with pytest.raises(HiergenError, match=r"no whole reply within 0\.1 s"):
        client("http://slow.example/v1", timeout=0.1, retries=0).chat(ASK)
    free.set()


def test_a_server_without_tls(stub: Stub) -> None:
    with pytest.raises(HiergenError, match=r"no TLS with 127\.0\.0\.1:\d+ \(.*\); is it an http:// server\?"):
        client(stub.url.replace("http:", "https:"), key=SECRET).chat(ASK)
    assert stub.requests == []


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_that_nobody_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = tmp_path / "own.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(pem), "-out", str(tmp_path / "cert.pem")]
    subprocess.run(["openssl", *options.split(), *names], check=True, capture_output=True)
    pem.write_text(pem.read_text() + (tmp_path / "cert.pem").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with serving(Stub(acts=[saying("fine")]), context) as stub:
        url = f"https://localhost:{stub.port}/v1"
        with pytest.raises(HiergenError, match=r"certificate of localhost:\d+ is not trusted .*SSL_CERT_FILE"):
            client(url, key=SECRET).chat(ASK)
        assert stub.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert client(url, key=SECRET).chat(ASK).text == "fine"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8000", "is no http:// or https:// URL, got 'localhost:8000'"),
        ("", "is no http:// or https:// URL"),
        ("ftp://a/v1", "is no http:// or https:// URL"),
        ("file:///etc/passwd", "is no http:// or https:// URL"),
        ("http://", "is no http:// or https:// URL"),
        ("http://a:0/v1", "is no http:// or https:// URL"),
        ("http://a:99999/v1", "is no URL"),
        ("http://[::1/v1", "is no URL"),
        ("http://a b/v1", "has blanks"),
        ("http://a/v1\r\nX: y", "has blanks"),
        ("http://ä/v1", "not ASCII"),
        (f"http://me:{SECRET.replace('/', '')}@a/v1", "has a user, a query or a fragment"),
        ("http://Very@a/v1", "has a user, a query or a fragment"),
        (f"http://a/v1?key={SECRET}", "has a user, a query or a fragment"),
    ],
)
def test_urls_are_checked_and_secrets_in_them_not_repeated(url: str, said: str) -> None:
    with pytest.raises(SpecError) as error:
        client(url)
    assert said.replace(", got", "; expected such as http://localhost:8000/v1, got") in str(error.value)
    assert "Very" not in str(error.value)


# the key


def printed(error: BaseException) -> str:
    """What a debugger or a rich traceback would print: all locals, without those of the test itself."""
    assert error.__traceback__ is not None
    shown = traceback.TracebackException(type(error), error, error.__traceback__.tb_next, capture_locals=True)
    return "".join(shown.format())


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_takes_the_key_nowhere(stub: Stub, code: int) -> None:
    with serving(Stub()) as other:
        stub.acts = [status(code, Location=f"{other.url}/chat/completions")]
        with pytest.raises(HiergenError, match="redirects are not followed, as the key would go along"):
            client(stub.url, key=SECRET).chat(ASK)
        assert other.requests == []
    assert len(stub.requests) == 1


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("sk-1\n", "has a line break in it"),
        ("sk-1\r\nX-Other: 1", "has a line break in it"),
        (" sk-1", "has blanks in it"),
        ("sk-\u00e9", "has characters that are not ASCII"),
        ("\u201csk-1\u201d", "has characters that are not ASCII"),
        ("sk-\u5bc6", "has characters that are not ASCII"),
        ("sk-\x07", "has control characters in it"),
        ("sk-\udcff", "has characters that are not ASCII"),
    ],
)
def test_keys_that_no_header_carries(monkeypatch: pytest.MonkeyPatch, key: str, said: str) -> None:
    monkeypatch.setenv("THE_KEY", key)
    with pytest.raises(SpecError) as error:
        Key.from_environment("THE_KEY")
    assert str(error.value) == (
        f"the key in the environment variable THE_KEY {said}; expected printable ASCII without blanks"
    )
    assert "sk-" not in printed(error.value)


def test_a_key_shows_itself_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", SECRET)
    key = Key.from_environment("THE_KEY")
    assert key
    assert repr(key) == str(key) == f"{key}" == "Key(set)"
    assert not hasattr(key, "__dict__")
    with pytest.raises(TypeError):
        pickle.dumps(key)
    monkeypatch.setenv("THE_KEY", "")
    assert repr(Key.from_environment("THE_KEY")) == repr(Key.from_environment("NOT_SET_AT_ALL")) == "Key(none)"
    for name in ("", "A=B", "A\0"):
        with pytest.raises(SpecError, match="no name of an environment variable"):
            Key.from_environment(name)


def test_a_key_is_hidden_in_any_case_of_letters() -> None:
    key = Key("Sk-a.B+c/9")
    for form in ("Sk-a.B+c/9", "SK-A.B+C/9", "sk-a.b+c/9", "sk-a.b%2bc%2f9"):
        assert key.hide(f"wrong key <{form}>!") == "wrong key <[key]>!"
    assert key.hide("sk-axb+c/9") == "sk-axb+c/9"


def parrot(code: int) -> Act:
    """A server that repeats the key, in every form it can think of."""

    def act(handler: object, request: object) -> None:
        sent = request.headers["Authorization"]  # type: ignore[attr-defined]
        assert sent == f"Bearer {SECRET}"
        forms = [sent, SECRET.replace("/", "%2F").replace("+", "%2B"), json.dumps(SECRET)]
        status(code, " ".join(forms), Retry_After=SECRET, Location=f"http://evil.example/?k={SECRET}")(
            handler,  # type: ignore[arg-type]
            request,  # type: ignore[arg-type]
        )

    return act


LEAKS = [parrot(code) for code in (200, 302, 400, 401, 404, 418, 429, 500)]
LEAKS += [raw(b""), raw(b"HTTP/9 " + SECRET.encode() + b"\r\n"), raw(SECRET.encode()), silent]


@pytest.mark.parametrize("leak", LEAKS)
def test_no_error_and_no_log_has_the_key(
    stub: Stub, leak: Act, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    stub.acts = [leak] * 2
    caplog.set_level(logging.DEBUG)
    found = client(stub.url, key=SECRET, retries=1, timeout=0.3 if leak is silent else 10)
    with pytest.raises(HiergenError) as error:
        found.chat(ASK)
    assert error.value.__context__ is None
    shown = [repr(found), str(error.value), repr(error.value), repr(vars(error.value)), caplog.text]
    shown += [*capfd.readouterr(), printed(error.value)]
    assert "self = Client(" in shown[-1]  # the locals are there
    for text in shown:
        for form in (SECRET, SECRET.replace("/", "%2F"), "Very", "Secret"):
            assert form not in text
    assert stub.requests


def test_an_interrupt_inside_a_request_does_not_show_the_key(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frames that hold the key are those of another thread."""
    stub.acts = [silent]
    real = threading.Event.wait

    def interrupted(self: threading.Event, timeout: float | None = None) -> bool:
        if timeout == 5.0:
            raise KeyboardInterrupt
        return real(self, timeout)

    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt) as stopped:
        client(stub.url, key=SECRET, timeout=5.0).chat(ASK)
    text = printed(stopped.value)
    assert "payload = " in text
    assert SECRET not in text
    with contextlib.suppress(IndexError):
        stub.acts.pop()


def test_short_keys_do_not_tear_replies_apart(stub: Stub) -> None:
    stub.acts = [saying("fine 1"), status(400, "1 key 1")]
    found = client(stub.url, key="1")
    assert found.chat(ASK).text == "fine 1"
    with pytest.raises(HiergenError, match=r"'\[key\] key \[key\]'"):
        found.chat(ASK)


def test_a_proxy_is_used_but_not_for_this_machine(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{stub.port}")
    monkeypatch.setenv("no_proxy", "")
    stub.acts = [saying("by proxy"), saying("direct")]
    assert client("http://models.example/v1").chat(ASK).text == "by proxy"
    assert client(stub.url).chat(ASK).text == "direct"
    assert [request.path for request in stub.requests] == [
        "http://models.example/v1/chat/completions",
        "/v1/chat/completions",
    ]


def test_the_longest_wait_is_a_minute() -> None:
    assert client_module.MAX_WAIT == 60
