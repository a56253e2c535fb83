"""A chat server on this machine that answers from a table, or misbehaves as it is told; and a small nesting to ask
about."""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from hiergen.nestings.suggest.evidence import Evidence
from hiergen.taxonomy.nesting import Nesting

TAXONOMY = """\
name: twelve
classes: [tabby, Persian_cat, tiger_cat, pug, beagle, Pomeranian, minivan, ambulance, fire_engine, tricycle, unicycle,
  mountain_bike]
sources:
  - groups:
      animal: {cat: [tabby, Persian_cat, tiger_cat], dog: [pug, beagle, Pomeranian]}
      vehicle: {car: [minivan, ambulance, fire_engine], cycle: [tricycle, unicycle, mountain_bike]}
models: {N3HL: {trunk: {backbone: resnet18, until: layer2}}}
"""
CLASSES = re.findall(r"\w+", TAXONOMY.split("[")[1].split("]")[0])
FINE = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
COARSE = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]


def twelve() -> Nesting:
    return Nesting.from_levels(
        CLASSES, [COARSE, FINE], names=[["animal", "vehicle"], ["cat", "dog", "car", "cycle"]], name="twelve"
    )


def evidence(name: str, moved: Mapping[int, int], seed: int = 0) -> Evidence:
    """Similarity 1 inside the fine groups and 0.5 inside the coarse ones, with `moved` classes in other groups, and
    noise that changes no vote."""
    of = [moved.get(c, group) for c, group in enumerate(FINE)]
    n = len(of)
    result = np.array(
        [[1.0 if of[a] == of[b] else 0.5 if of[a] // 2 == of[b] // 2 else 0 for b in range(n)] for a in range(n)]
    )
    noise = np.random.default_rng(seed).uniform(0, 0.01, (n, n))
    return Evidence(name, result + noise + noise.T)


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        return str(self.body["messages"][-1]["content"])

    @property
    def questions(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.prompt.split("\nItems:\n")[1].splitlines()]


Act = Callable[["Handler", Request], None]


@dataclass
class Stub:
    """`acts` are used up, one per request; then `truth` (item → answer, else the first candidate) is answered."""

    truth: dict[str, str] = field(default_factory=dict)
    acts: list[Act] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    free: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def items(self) -> list[list[str]]:
        """What was asked, request by request."""
        return [[question["item"] for question in request.questions] for request in self.requests]

    def answers(self, request: Request) -> list[dict[str, str]]:
        return [{"item": q["item"], "answer": self.answer(q)} for q in request.questions]

    def answer(self, question: dict[str, Any]) -> str:
        given = self.truth.get(question["item"])
        return given if given is not None else str(question["candidates"][0]["group"])


class Handler(BaseHTTPRequestHandler):
    stub: Stub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = Request(self.path, dict(self.headers.items()), json.loads(body))
        self.stub.requests.append(request)
        act = self.stub.acts.pop(0) if self.stub.acts else None
        try:
            if act is None:
                self.say(json.dumps({"answers": self.stub.answers(request)}))
            else:
                act(self, request)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client has had enough

    def say(self, content: object, finish: str = "stop") -> None:
        """A chat completion with this content."""
        choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
        self.send(200, json.dumps({"object": "chat.completion", "choices": [choice]}).encode())

    def send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def saying(content: object, finish: str = "stop") -> Act:
    """Reply with this content, made from the request where it is a function."""
    return lambda handler, request: handler.say(content(handler, request) if callable(content) else content, finish)


def status(code: int, text: str = "", **headers: str) -> Act:
    body = json.dumps({"error": {"message": text}}).encode() if text else b""
    return lambda handler, request: handler.send(code, body, **headers)


def raw(data: bytes) -> Act:
    """Bytes instead of HTTP, then the connection is closed."""

    def act(handler: Handler, request: Request) -> None:
        handler.wfile.write(data)
        handler.close_connection = True

    return act


def silent(handler: Handler, request: Request) -> None:
    """No reply before the test is over."""
    handler.stub.free.wait(30)
    handler.close_connection = True


def trickle(head: bytes, byte: bytes) -> Act:
    """`head`, then one byte every now and then, for ever: no read ever times out."""

    def act(handler: Handler, request: Request) -> None:
        handler.wfile.write(head)
        handler.close_connection = True
        while not handler.stub.free.wait(0.02):
            handler.wfile.write(byte)

    return act


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # joined at the end: no thread outlives its test
    block_on_close = True

    def handle_error(self, request: object, client_address: object) -> None: ...


@contextmanager
def serving(stub: Stub, tls: ssl.SSLContext | None = None) -> Iterator[Stub]:
    """The stub behind a port of its own."""
    server = _Server(("127.0.0.1", 0), type("Bound", (Handler,), {"stub": stub}))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    stub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        stub.free.set()
        server.shutdown()
        server.server_close()
        thread.join()
