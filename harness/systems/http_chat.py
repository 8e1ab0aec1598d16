"""One question to an OpenAI-compatible server: its answer, or the fault that stands in its place.

The standard library's client does what is needed by what it lacks: it follows no redirect, reads no proxy variable,
unpacks nothing and reuses no connection. What it lacks too, one deadline and one size limit for all that is
received, is `_Wire`. No fault repeats what the server wrote, since that may repeat the key.
"""

from __future__ import annotations

import functools
import http
import http.client
import io
import json
import math
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness import __version__
from harness.clock import monotonic_seconds
from harness.environment import value
from harness.errors import InvalidInputError
from harness.limits import REPLY_BYTES
from harness.records import ServedToken
from harness.strict_json import StrictJsonError, parse

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MOST_TOKENS = 10_000_000  # that a usage may name; no context is longer
POLL_SECONDS = 0.1  # between two looks at whether the answer is still wanted
READ_BYTES = 2**16
SHORTEST_SECRET = 16  # characters; local servers take keys such as "EMPTY", which an answer may well contain


class ChatFault(Exception):
    """There is no answer, and why. `passing`: the same request may succeed later, `retry_after` is then advice."""

    def __init__(self, reason: str, *, passing: bool = False, retry_after: str | None = None) -> None:
        super().__init__(reason)
        self.passing, self.retry_after = passing, retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatReply:
    """One answer; the token counts are None where the server gave no number that can be one."""

    text: str
    stop: Literal["end", "length"]
    prompt_tokens: int | None
    output_tokens: int | None
    tokens: tuple[ServedToken, ...] | None = None  # None: no log-probabilities were given


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatServer:
    """An OpenAI-compatible server, for one request at a time and connection."""

    base_url: str
    timeout_seconds: float  # of one request, up to its last byte
    key: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where chat completions are asked for."""
        return self.place("chat/completions")

    def place(self, name: str) -> str:
        """The address of something else that the server does, such as "models"."""
        return f"{self.base_url.rstrip('/')}/{name}"

    def ask(self, question: Mapping[str, Any], cancelled: Event) -> ChatReply:
        """Send one question and wait for its answer, at most until `cancelled` is set.

        Raises:
            ChatFault: there is no answer.
        """
        reply = read_reply(self.request(self.url, question, cancelled))
        if self.key is not None and len(self.key) >= SHORTEST_SECRET and self.key in reply.text:
            raise ChatFault("the answer repeats the API key")
        return reply

    def request(
        self, url: str, content: Mapping[str, Any] | None, cancelled: Event, *, json_only: bool = True
    ) -> bytes:
        """The body of the response to a POST of `content` as JSON, or to a GET where there is none.

        Raises:
            ChatFault: no response, not the status 200, or (with `json_only`) another type than JSON.
        """
        # ASCII, so that a text that UTF-8 cannot encode (a lone surrogate) needs no rule of its own.
        body = None if content is None else json.dumps(content).encode("ascii")
        try:
            return self._exchange(urlsplit(url), body, cancelled, json_only=json_only)
        except http.client.RemoteDisconnected:
            raise ChatFault("the connection was closed before a response", passing=True) from None
        except http.client.IncompleteRead:
            raise ChatFault("the connection was closed in the middle of the response", passing=True) from None
        except ssl.SSLCertVerificationError as error:  # a ValueError too, so before it
            raise ChatFault(f"the server's certificate is not valid: {error.verify_message}") from None
        except (http.client.HTTPException, ValueError, OverflowError) as error:  # a chunk of 2**64 bytes
            raise ChatFault(f"the response is not HTTP ({type(error).__name__})") from None
        except TimeoutError:
            reason = f"no complete response within {self.timeout_seconds:g} seconds"
            raise ChatFault(reason, passing=True) from None
        except OSError as error:
            reason = f"the connection failed ({error.strerror or type(error).__name__})"
            raise ChatFault(reason, passing=True) from None

    def _exchange(self, url: SplitResult, body: bytes | None, cancelled: Event, *, json_only: bool) -> bytes:
        deadline = monotonic_seconds() + self.timeout_seconds
        headers = {
            "User-Agent": f"lora-harness/{__version__}",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "Connection": "close",
        }
        if self.key is not None:
            headers["Authorization"] = f"Bearer {self.key}"
        with _connect(url, deadline) as connected:
            connection = http.client.HTTPConnection(url.netloc)
            connection.sock = _Wire(connected, deadline, cancelled)
            connection.request("GET" if body is None else "POST", url.path, body, headers)
            response = connection.getresponse()
            _refuse_head(response, json_only=json_only)
            received = b"".join(iter(lambda: response.read(READ_BYTES), b""))
            if response.length:  # what is left of the announced length, which reading in pieces does not complain of
                raise http.client.IncompleteRead(received)
        return received


class _Wire(io.RawIOBase):
    """A connected socket as http.client uses it, under one deadline and one limit for all that is received."""

    def __init__(self, connected: socket.socket, deadline: float, cancelled: Event) -> None:
        self._socket, self._deadline, self._cancelled = connected, deadline, cancelled
        self._left = REPLY_BYTES

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._socket.settimeout(_seconds_left(self._deadline))
            rest = rest[self._socket.send(rest) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        while not self._cancelled.is_set():
            self._socket.settimeout(min(_seconds_left(self._deadline), POLL_SECONDS))
            try:
                count = self._socket.recv_into(buffer)
            except TimeoutError:
                continue  # the deadline itself ends this loop
            self._left -= count
            if self._left < 0:
                raise ChatFault(f"the response is longer than {REPLY_BYTES:,} bytes")
            return count
        raise ChatFault("the answer is no longer wanted")

    def close(self) -> None:
        """Nothing: http.client closes before it has read, and whoever connected closes in the end."""


def _connect(url: SplitResult, deadline: float) -> socket.socket:
    """A connection to the first address of the host that accepts one, encrypted for https."""
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    failure = OSError("the host has no address")
    # Looking up a name knows no time limit of its own; the time it takes counts.
    for *_, address in socket.getaddrinfo(url.hostname, port, type=socket.SOCK_STREAM):
        try:
            connected = socket.create_connection((str(address[0]), port), timeout=_seconds_left(deadline))
        except OSError as error:
            failure = error
            continue
        if url.scheme == "http":
            return connected
        try:
            connected.settimeout(_seconds_left(deadline))
            return _certificates().wrap_socket(connected, server_hostname=url.hostname)
        except BaseException:
            connected.close()
            raise
    raise failure


@functools.cache
def _certificates() -> ssl.SSLContext:
    """The authorities that this machine trusts; reading them takes longer than a request."""
    return ssl.create_default_context()


def _seconds_left(deadline: float) -> float:
    left = deadline - monotonic_seconds()
    if left <= 0:
        raise TimeoutError
    return left


def _refuse_head(response: http.client.HTTPResponse, *, json_only: bool) -> None:
    """Refuse by status and headers what cannot be an answer, before its body is read."""
    status = response.status
    if status != http.HTTPStatus.OK:
        known = {item.value: f" ({item.phrase})" for item in http.HTTPStatus}
        redirect = "; redirects are not followed" if 300 <= status < 400 else ""
        raise ChatFault(
            f"HTTP {status}{known.get(status, '')}{redirect}",
            passing=status in {408, 429} or 500 <= status < 600,
            retry_after=response.getheader("Retry-After"),
        )
    if (response.getheader("Content-Encoding") or "identity").strip().lower() != "identity":
        raise ChatFault("the response is compressed, which was not asked for")
    if json_only and response.headers.get_content_type() != "application/json":
        raise ChatFault("the response is not of type application/json")


class _Shape(BaseModel):
    """A part of a chat completion, as far as it decides what the answer is."""

    model_config = ConfigDict(strict=True)


class _Message(_Shape):
    role: Literal["assistant"]
    content: str
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None


class _Choice(_Shape):
    message: _Message
    finish_reason: Literal["stop", "length"]
    logprobs: Any = None


class _Completion(_Shape):
    choices: Annotated[list[_Choice], Field(min_length=1, max_length=1)]
    usage: Any = None


def read_reply(body: bytes) -> ChatReply:
    """The one answer in a chat completion.

    Raises:
        ChatFault: anything but strict JSON with exactly one choice that ended by itself or at the length limit.
    """
    try:
        completion = _Completion.model_validate(parse(body.decode("utf-8")))
    except UnicodeDecodeError:
        raise ChatFault("the response is not UTF-8") from None
    except StrictJsonError as error:
        raise ChatFault(f"the response is not strict JSON (line {error.line} column {error.column})") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "it"
        raise ChatFault(f"the response is not a chat completion: {place}: {first['msg']}") from None
    choice = completion.choices[0]
    return ChatReply(
        text=choice.message.content,
        stop="end" if choice.finish_reason == "stop" else "length",
        prompt_tokens=_count(completion.usage, "prompt_tokens"),
        output_tokens=_count(completion.usage, "completion_tokens"),
        tokens=_tokens(choice.logprobs),
    )


class _Likely(_Shape):
    """A token as it is listed with its log-probability; servers that know only its text leave `bytes` out."""

    token: str
    bytes: list[Annotated[int, Field(ge=0, le=255)]] | None = None
    logprob: float  # strictly: no text or truth value, and no integer that is too large for one

    @property
    def content(self) -> str:
        """Its bytes in hexadecimal."""
        known = self.token.encode("utf-8") if self.bytes is None else bytearray(self.bytes)
        return known.hex()


class _Chosen(_Likely):
    top_logprobs: list[_Likely] = Field(default_factory=list)


class _Logprobs(_Shape):
    content: list[_Chosen]


def _tokens(logprobs: Any) -> tuple[ServedToken, ...] | None:
    """The tokens of an answer; None where the server lists none, or not in the protocol's form."""
    try:
        chosen = _Logprobs.model_validate(logprobs).content
    except ValidationError:
        return None
    listed = [token for one in chosen for token in (one, *one.top_logprobs)]
    if not chosen or not all(math.isfinite(token.logprob) for token in listed):
        return None
    return tuple(
        ServedToken(
            content=one.content,
            logprob=float(one.logprob),
            others=tuple((o.content, float(o.logprob)) for o in one.top_logprobs if o.content != one.content),
        )
        for one in chosen
    )


def _count(usage: Any, name: str) -> int | None:
    count = usage.get(name) if isinstance(usage, dict) else None
    # True is an int to Python and a mistake to us.
    return count if type(count) is int and 0 <= count <= MOST_TOKENS else None


def read_key(place: str, variable: str | None) -> str | None:
    """The API key that the `key_env` at a place of the suite ("systems.NAME") names; None when it names none.

    Raises:
        InvalidInputError: the variable is not set, or what it holds cannot be a key.
    """
    if variable is None:
        return None
    key = value(variable)
    if key is None:
        raise InvalidInputError(
            f"{place}.key_env: the environment variable {variable} is not set; set it to the API key of "
            "this server, or take `key_env` out if it needs none"
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise InvalidInputError(
            f"{place}.key_env: the environment variable {variable} holds a space, a line break or a "
            "character that is not ASCII; no API key does"
        )
    return key
