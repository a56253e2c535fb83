"""The client against a real server on this machine: each fault of a server, and what becomes of the key."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from hiergen.errors import HiergenError, SpecError
from hiergen.nestings.ask import client as client_module
from hiergen.nestings.ask.client import Client, Key, Reply
from tests.nestings.llm_stub import Act, Stub, raw, saying, serving, silent, status, trickle

SECRET = "sk-Very/Secret+Key_0123456789"
ASK = [{"role": "user", "content": "hello\nItems:\n"}]


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving(Stub()) as server:
        yield server


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)


def client(url: str, *, key: str = "", **more: float) -> Client:
    options: dict[str, float] = {"timeout": 10.0, "retries": 3, **more}
    return Client(url, "m", Key(key), **options)  # type: ignore[arg-type]


def test_a_request_is_what_servers_expect(stub: Stub) -> None:
    stub.acts = [saying("hi")] * 3
    assert client(stub.url, key=SECRET).chat(ASK) == Reply("hi", cut=False)
    client(f"{stub.url}/").chat(ASK)
    client(f"{stub.url}/chat/completions", key="x").chat(ASK)
    first, second, _ = stub.requests
    assert {request.path for request in stub.requests} == {"/v1/chat/completions"}
    assert first.body == {"model": "m", "messages": ASK, "stream": False, "temperature": 0}
    assert first.headers["authorization"] == f"Bearer {SECRET}"
    assert "authorization" not in second.headers  # without a key


@pytest.mark.parametrize("content", [None, "", [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}, 5]])
def test_contents_of_all_kinds(stub: Stub, content: object) -> None:
    stub.acts = [saying(content, "length")]
    assert client(stub.url).chat(ASK) == Reply("hi" if isinstance(content, list) else "", cut=True)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
FULL = json.dumps({"choices": [{"message": {"content": "fine"}}]}).encode()
PASSING: dict[str, Act] = {
    "429": status(429, "slow down"),
    "500": status(500),
    "503": status(503),
    "closed at once": raw(b""),
    "body cut off": raw(HEAD + b"Content-Length: %d\r\n\r\n" % (len(FULL) + 10) + FULL),
    "chunk cut off": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (len(FULL) + 10) + FULL),
    "body trickles": trickle(HEAD + b"\r\n", b" "),
}


@pytest.mark.parametrize("fault", PASSING)
def test_after_a_passing_fault_the_answer_is_the_same(stub: Stub, fault: str) -> None:
    stub.acts = [PASSING[fault], PASSING[fault], saying("fine")]
    assert client(stub.url, timeout=0.4 if fault == "body trickles" else 10).chat(ASK) == Reply("fine", cut=False)
    assert len(stub.requests) == 3


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (status(429, "slow down"), "HTTP 429: 'slow down'"),
        (status(500), "HTTP 500"),
        (raw(b""), "cannot be used: Server disconnected without sending a response"),
        (raw(HEAD + b"\r\n" + FULL[:-3]), "the reply is no chat completion"),
        (raw(b"HTTP/1.1 200 OK\r\n\r\n<html>Welcome</html>"), "no chat completion; the base URL of most servers ends"),
        (raw(HEAD + b'\r\n{"choices": []}'), "the reply is no chat completion"),
        (raw(HEAD + b'\r\n{"choices": [{"message": "fine"}]}'), "the reply is no chat completion"),
        (raw(HEAD + b'\r\n{"error": {"message": "overloaded"}}'), "the reply is no chat completion: 'overloaded'"),
        (raw(HEAD + b"\r\n\xff\xfe\x00"), "the reply is no chat completion"),
        (raw(HEAD + b"\r\n" + b"[" * 200_000), "the reply is no chat completion"),
        (silent, "no whole reply within 0.4 s; a smaller --batch needs less, --timeout gives more"),
        (trickle(HEAD + b"\r\n", b" "), "no whole reply within 0.4 s"),
        (trickle(HEAD + b"X-Long: ", b"x"), "no whole reply within 0.4 s"),
        (status(400, "too long"), "HTTP 400: 'too long'; if the prompt is too long for the model, a smaller --batch"),
        (status(401, "no key"), "HTTP 401: 'no key'; is the key in the environment variable of --key-env right?"),
        (status(404), "HTTP 404; is --llm-model right, and does --base-url end as the server has it (mostly /v1)?"),
        (status(418, "teapot\n\x1b[31m"), "HTTP 418: 'teapot \\x1b[31m'"),
    ],
)
def test_a_lasting_fault_is_one_sentence(stub: Stub, act: Act, sentence: str) -> None:
    stub.acts = [act]
    with pytest.raises(HiergenError) as error:
        client(stub.url, retries=0, timeout=0.4).chat(ASK)
    assert str(error.value).startswith(f"{stub.url}: ")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
    assert len(stub.requests) == 1


def test_a_model_that_takes_no_temperature_gets_none(stub: Stub) -> None:
    stub.acts = [status(400, "Unsupported value: 'temperature' does not support 0"), saying("a"), saying("b")]
    chat = client(stub.url).chat
    assert [chat(ASK).text, chat(ASK).text] == ["a", "b"]
    assert ["temperature" in request.body for request in stub.requests] == [True, False, False]
    stub.acts = [status(400, "temperature!")] * 2
    with pytest.raises(HiergenError, match="temperature"):
        client(stub.url).chat(ASK)


def test_the_time_for_all_requests_is_bounded(stub: Stub) -> None:
    stub.acts = [silent]
    with pytest.raises(HiergenError, match=r"no whole reply within 0\.[0-4]\d* s"):
        client(stub.url, overall=0.4).chat(ASK)
    spent = client(stub.url, overall=1e-9)
    with pytest.raises(HiergenError, match="the time for all requests, 1e-09 s, is over"):
        spent.chat(ASK)
    assert len(stub.requests) == 1


def test_a_giant_body_is_not_read_to_its_end(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_REPLY", 200_000)
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


def test_the_package_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(HiergenError, match=r"needs the package openai; pip install 'hiergen\[llm\]'"):
        client("http://localhost/v1")


# servers that are not there


def test_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:  # bound, not listening: nobody else gets the port
        held.bind(("127.0.0.1", 0))
        with pytest.raises(HiergenError, match=r"127\.0\.0\.1:\d+ cannot be used: .*[Cc]onnection refused"):
            client(f"http://127.0.0.1:{held.getsockname()[1]}/v1", retries=0).chat(ASK)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(HiergenError, match=r"nowhere\.invalid cannot be used: "):
        client("http://nowhere.invalid/v1", retries=0).chat(ASK)


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
    with pytest.raises(HiergenError, match=r"127\.0\.0\.1:\d+ cannot be used: .*SSL"):
        client(stub.url.replace("http:", "https:"), key=SECRET, retries=0).chat(ASK)
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
        with pytest.raises(HiergenError, match=r"localhost:\d+ cannot be used: .*certificate verify failed"):
            client(url, key=SECRET, retries=0).chat(ASK)
        assert stub.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert client(url, key=SECRET).chat(ASK).text == "fine"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("localhost:8000", "is no http:// or https:// URL, got 'localhost:8000'"),
        ("", "is no http:// or https:// URL"),
        ("file:///etc/passwd", "is no http:// or https:// URL"),
        ("http://", "is no http:// or https:// URL"),
        ("http://a:0/v1", "is no http:// or https:// URL"),
        ("http://a:99999/v1", "is no URL"),
        ("http://[::1/v1", "is no URL"),
        ("http://a b/v1", "has blanks"),
        ("http://a/v1\r\nX: y", "has blanks"),
        ("http://ä/v1", "not ASCII"),
        (f"http://me:{SECRET.replace('/', '')}@a/v1", "has a user, a query or a fragment"),
        (f"http://a/v1?key={SECRET}", "has a user, a query or a fragment"),
    ],
)
def test_urls_are_checked_and_secrets_in_them_not_repeated(url: str, sentence: str) -> None:
    with pytest.raises(SpecError) as error:
        client(url)
    assert sentence.replace(", got", "; expected such as http://localhost:8000/v1, got") in str(error.value)
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
    ("key", "problem"),
    [
        ("sk-1\r\nX-Other: 1", "has a line break in it"),
        (" sk-1", "has blanks in it"),
        ("sk-\u00e9", "has characters that are not ASCII"),
        ("sk-\x07", "has control characters in it"),
        ("sk-\udcff", "has characters that are not ASCII"),
    ],
)
def test_keys_that_no_header_carries(monkeypatch: pytest.MonkeyPatch, key: str, problem: str) -> None:
    monkeypatch.setenv("THE_KEY", key)
    with pytest.raises(SpecError) as error:
        Key.from_environment("THE_KEY")
    assert str(error.value) == (
        f"the key in the environment variable THE_KEY {problem}; expected printable ASCII without blanks"
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
    key = Key("Sk-a.B+c/9")
    for form in ("Sk-a.B+c/9", "SK-A.B+C/9", "sk-a.b+c/9", "sk-a.b%2bc%2f9"):
        assert key.hide(f"wrong key <{form}>!") == "wrong key <[key]>!"
    assert key.hide("sk-axb+c/9") == "sk-axb+c/9"


def parrot(code: int) -> Act:
    """A server that repeats the key, in every form it can think of."""

    def act(handler: object, request: object) -> None:
        sent = request.headers["authorization"]  # type: ignore[attr-defined]
        assert sent == f"Bearer {SECRET}"
        forms = [sent, SECRET.replace("/", "%2F").replace("+", "%2B"), json.dumps(SECRET)]
        status(code, " ".join(forms), Location=f"http://evil.example/?k={SECRET}")(
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
    ours = client(stub.url, key=SECRET, retries=1, timeout=0.3 if leak is silent else 10)
    with pytest.raises(HiergenError) as error:
        ours.chat(ASK)
    assert error.value.__context__ is None
    shown = [repr(ours), str(error.value), repr(error.value), repr(vars(error.value)), caplog.text]
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
        client(stub.url, key=SECRET, timeout=5.0, retries=0).chat(ASK)
    text = printed(stopped.value)
    assert "messages = " in text
    assert SECRET not in text


def test_short_keys_do_not_tear_replies_apart(stub: Stub) -> None:
    stub.acts = [saying("fine 1"), status(400, "1 key 1")]
    chat = client(stub.url, key="1").chat
    assert chat(ASK).text == "fine 1"
    with pytest.raises(HiergenError, match=r"'\[key\] key \[key\]'"):
        chat(ASK)


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
