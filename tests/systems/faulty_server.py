"""A chat completions server on 127.0.0.1 that does what a test wants, byte for byte, and remembers every request."""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any

POLL_SECONDS = 0.01


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it came; `nth` of those that asked the same, from 1."""

    line: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    nth: int
    number: int
    second: float

    @property
    def question(self) -> str:
        return str(self.body["messages"][-1]["content"])


Behaviour = Callable[[socket.socket, Request, "FaultyServer"], None]


@dataclass
class FaultyServer:
    """Answers every connection with `behave`, each in a thread of its own."""

    behave: Behaviour
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    most_at_once: int = 0
    closing: Event = field(default_factory=Event)
    sent: int = 0  # bytes of endless responses
    left: Event = field(default_factory=Event)  # a client did not wait for its answer

    def __post_init__(self) -> None:
        self._lock, self._threads, self._at_once = Lock(), list[Thread](), 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.settimeout(POLL_SECONDS)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def base_url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> FaultyServer:
        self._accepting = Thread(target=self._accept)
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End every connection; all requests that were sent before are then in `requests`."""
        self.closing.set()
        self._accepting.join()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                if self.closing.is_set():
                    return
                continue
            connection.settimeout(5)
            self._threads.append(Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # a client may leave at any time
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            line, headers, body = _read_request(connection)
            with self._lock:
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
                nth = 1 + sum(request.body == body for request in self.requests)
                number = len(self.requests) + 1
                request = Request(
                    line=line, headers=headers, body=body, nth=nth, number=number, second=time.monotonic()
                )
                self.requests.append(request)
            try:
                self.behave(connection, request, self)
            finally:
                with self._lock:
                    self._at_once -= 1
                if self.tls is not None:
                    connection.close()


def _read_request(connection: socket.socket) -> tuple[str, dict[str, str], dict[str, Any]]:
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            raise OSError("no request")
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    line, *rows = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): text.strip() for name, _, text in (row.partition(":") for row in rows)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    return line, headers, json.loads(body) if body else {}


def response(
    body: bytes | str, status: str = "200 OK", *headers: str, kind: str = "application/json", length: int | None = None
) -> bytes:
    """A whole HTTP response."""
    content = body.encode("utf-8") if isinstance(body, str) else body
    size = len(content) if length is None else length
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {size}", *headers]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + content


def completion(text: Any, **changes: Any) -> dict[str, Any]:
    """A chat completion with one choice; `changes` replace members of the choice, or `usage`."""
    usage = changes.pop("usage", {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10})
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {"id": "1", "object": "chat.completion", "choices": [choice | changes], "usage": usage}


def answer_to(request: Request) -> str:
    """What this server's model answers."""
    return f"answer to {request.question}"


def answers(connection: socket.socket, request: Request, _server: FaultyServer) -> None:
    """No fault at all."""
    connection.sendall(response(json.dumps(completion(answer_to(request)))))


def sends(body: bytes | str, *arguments: Any, **named: Any) -> Behaviour:
    """Always this response."""
    return sends_raw(response(body, *arguments, **named))


def sends_raw(content: bytes) -> Behaviour:
    """Always these bytes."""
    return lambda connection, _request, _server: connection.sendall(content)


def sends_completion(text: Any, **changes: Any) -> Behaviour:
    """Always this completion."""
    return sends(json.dumps(completion(text, **changes)))


def first(times: int, fault: Behaviour) -> Behaviour:
    """The fault for the first requests of each question, then answers."""

    def behave(connection: socket.socket, request: Request, server: FaultyServer) -> None:
        (fault if request.nth <= times else answers)(connection, request, server)

    return behave


def closes(connection: socket.socket, _request: Request, _server: FaultyServer) -> None:
    """Close without a byte."""


def resets(connection: socket.socket, _request: Request, _server: FaultyServer) -> None:
    """Reset the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hangs(connection: socket.socket, _request: Request, server: FaultyServer) -> None:
    """Say nothing until the client leaves or the test ends."""
    connection.settimeout(POLL_SECONDS)
    while not server.closing.is_set():
        with suppress(TimeoutError):
            if not connection.recv(1):
                server.left.set()
                return


def drips(content: bytes) -> Behaviour:
    """A byte now and then, each in time, the whole not."""

    def behave(connection: socket.socket, _request: Request, server: FaultyServer) -> None:
        for byte in content:
            connection.sendall(bytes([byte]))
            if server.closing.wait(POLL_SECONDS):
                return

    return behave


def floods(head: bytes, piece: bytes, pieces: int) -> Behaviour:
    """More and more; counts what went out."""

    def behave(connection: socket.socket, _request: Request, server: FaultyServer) -> None:
        connection.sendall(head)
        for _ in range(pieces):
            connection.sendall(piece)
            server.sent += len(piece)

    return behave


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A behaviour that is no answer; `passing`: worth another request; `slow`: only a time limit ends it."""

    behave: Behaviour
    passing: bool = False
    slow: bool = False


GOOD = json.dumps(completion("fine"))
HTML = "<!doctype html><title>Welcome</title>"
TOOL_CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

FAULTS: dict[str, Fault] = {
    # not HTTP, or not all of it
    "garbage bytes": Fault(behave=sends_raw(b"\x00\xff\x13\x37 no protocol at all\r\n\r\n" * 4)),
    "closed before headers": Fault(behave=closes, passing=True),
    "reset": Fault(behave=resets, passing=True),
    "closed in headers": Fault(behave=sends_raw(JSON_HEAD)),
    "closed in body": Fault(behave=sends(GOOD[:40], length=len(GOOD)), passing=True),
    "closed in chunk": Fault(behave=sends_raw(JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{"), passing=True),
    "negative chunk": Fault(behave=sends_raw(JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n{}\r\n")),
    "chunk of no size": Fault(
        behave=sends_raw(JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n-ffffffffffffffffff\r\n{}\r\n")
    ),
    "too many headers": Fault(behave=sends_raw(JSON_HEAD + b"A: b\r\n" * 200 + b"\r\n" + GOOD.encode())),
    # no answer in time, or too much of one
    "hang": Fault(behave=hangs, passing=True, slow=True),
    "slow drip": Fault(behave=drips(response(GOOD)[:120] + b" " * 10_000), passing=True, slow=True),
    "slow drip in headers": Fault(behave=drips(JSON_HEAD + b"X: " + b"x" * 10_000), passing=True, slow=True),
    "huge body": Fault(behave=floods(response("", length=10**10), b" " * 2**20, 1000)),
    "endless chunks": Fault(
        behave=floods(JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 2**16 + b"\r\n", 10_000)
    ),
    "endless continue": Fault(behave=floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 10_000)),
    "gzip bomb": Fault(behave=sends(gzip.compress(b" " * 10**7), "200 OK", "Content-Encoding: gzip")),
    "compressed as it says": Fault(behave=sends(GOOD, "200 OK", "Content-Encoding: gzip")),
    "undeclared gzip": Fault(behave=sends(gzip.compress(GOOD.encode()))),
    # HTTP, but no completion
    "html with 200": Fault(behave=sends(HTML, kind="text/html")),
    "wrong content type": Fault(behave=sends(GOOD, kind="text/plain")),
    "event stream": Fault(behave=sends(f"data: {GOOD}\n\n", kind="text/event-stream")),
    "empty": Fault(behave=sends("")),
    "no content": Fault(behave=sends("", "204 No Content")),
    "accepted": Fault(behave=sends(GOOD, "202 Accepted")),
    "truncated JSON": Fault(behave=sends(GOOD[:-1])),
    "two values": Fault(behave=sends(GOOD + GOOD)),
    "invalid UTF-8": Fault(behave=sends(GOOD.encode().replace(b"fine", b"\xff\xfe"))),
    "UTF-16": Fault(behave=sends(GOOD.encode("utf-16"))),
    "lone surrogate": Fault(behave=sends(GOOD.replace("fine", "\\ud800"))),
    "NaN": Fault(behave=sends(GOOD.replace(": 7", ": NaN"))),
    "duplicate keys": Fault(behave=sends(GOOD.replace('"content":', '"content": "other", "content":'))),
    "deep nesting": Fault(behave=sends("[" * 100_000)),
    "wrong schema": Fault(behave=sends('{"answer": "fine"}')),
    "a list": Fault(behave=sends(f"[{GOOD}]")),
    "error object with 200": Fault(behave=sends('{"error": {"message": "overloaded"}}')),
    "zero choices": Fault(behave=sends('{"choices": []}')),
    "two choices": Fault(behave=sends(json.dumps({"choices": completion("fine")["choices"] * 2}))),
    "null content": Fault(behave=sends_completion(None)),
    "content in parts": Fault(behave=sends_completion([{"type": "text", "text": "fine"}])),
    "another role": Fault(behave=sends_completion("", message={"role": "user", "content": "fine"})),
    "tool calls instead of content": Fault(
        behave=sends_completion(
            None,
            message={"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]},
            finish_reason="tool_calls",
        )
    ),
    "tool calls beside content": Fault(
        behave=sends_completion("", message={"role": "assistant", "content": "fine", "tool_calls": [TOOL_CALL]})
    ),
    "content filter": Fault(behave=sends_completion("fi", finish_reason="content_filter")),
    "unfinished": Fault(behave=sends_completion("fi", finish_reason=None)),
    # HTTP errors
    "bad request": Fault(behave=sends('{"error": {}}', "400 Bad Request")),
    "unauthorized": Fault(behave=sends('{"error": {}}', "401 Unauthorized")),
    "not found": Fault(behave=sends(HTML, "404 Not Found", kind="text/html")),
    "request timeout": Fault(behave=sends("", "408 Request Timeout"), passing=True),
    "rate limit forever": Fault(behave=sends("", "429 Too Many Requests", "Retry-After: 86400"), passing=True),
    "broken forever": Fault(behave=sends(GOOD, "500 Internal Server Error"), passing=True),
    "unavailable with html": Fault(behave=sends(HTML, "503 Service Unavailable", kind="text/html"), passing=True),
    "unknown status": Fault(behave=sends(GOOD, "599 Who Knows"), passing=True),
    "beyond all status": Fault(behave=sends(GOOD, "999 Denied")),
}
