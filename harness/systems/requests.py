"""Many questions to one server: some at a time, repeated after faults that may pass, and what they took counted."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Event
from typing import Any, TypeVar

from harness.clock import Clock, monotonic_seconds
from harness.suite.systems import Connection
from harness.systems.http_chat import ChatFault, ChatReply, ChatServer, read_key

Item = TypeVar("Item")
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retries:
    """How often a request is repeated after a fault that may pass, and how long to wait before."""

    times: int
    first_seconds: float = 0.5
    most_seconds: float = 60.0  # of one wait, whatever the server asks for

    def wait_seconds(self, repeated: int, asked: float, generator: random.Random) -> float:
        """Seconds to wait after `repeated` repetitions, at least what the server `asked` for, up to the limit.

        Exponential backoff with equal jitter: half of the wait is drawn, so that requests that failed together do
        not come back together (Brooker 2015, "Exponential Backoff And Jitter", AWS Architecture Blog).
        """
        whole = min(self.most_seconds, self.first_seconds * 2.0**repeated)
        return min(self.most_seconds, max(asked, whole * generator.uniform(0.5, 1.0)))


def asked_seconds(header: str | None, now: datetime) -> float:
    """The wait that a Retry-After header asks for, in seconds: a number or a date (RFC 9110, 10.2.3), else 0."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now.timestamp())
    except (ValueError, OverflowError):
        return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What became of one question: the reply, or the fault that the last request for it met."""

    url: str
    outcome: ChatReply | ChatFault
    seconds: float  # of the last request
    requests: int

    def reply(self) -> ChatReply:
        """The reply.

        Raises:
            ChatFault: there is none.
        """
        if isinstance(self.outcome, ChatFault):
            raise self.outcome
        return self.outcome

    def error(self, fault: ChatFault) -> str:
        """Where there is no usable answer, why, and after how many requests."""
        again = f"; {self.requests} requests" if self.requests > 1 else ""
        return f"{self.url}: {fault}{again}"


def ask_patiently(
    server: ChatServer,
    question: Mapping[str, Any],
    *,
    retries: Retries,
    generator: random.Random,
    clock: Clock,
    cancelled: Event,
) -> Asked:
    """Ask until there is a reply, a fault that lasts or no repetition left, at most until `cancelled` is set.

    `generator` draws the waits: one of its own for each question, so that they do not depend on which thread comes
    first.
    """
    requests = 0
    while True:
        started = monotonic_seconds()
        outcome: ChatReply | ChatFault
        try:
            outcome = server.ask(question, cancelled)
        except ChatFault as fault:
            outcome = fault
        requests += 1
        asked = Asked(url=server.url, outcome=outcome, seconds=monotonic_seconds() - started, requests=requests)
        if isinstance(outcome, ChatReply) or not outcome.passing or requests > retries.times:
            return asked
        wanted = asked_seconds(outcome.retry_after, clock())
        if cancelled.wait(retries.wait_seconds(requests - 1, wanted, generator)):
            return asked


def in_order(
    work: Callable[[Item, Event], Done], items: Sequence[Item], *, concurrency: int, label: str
) -> Generator[Done, None, None]:
    """What `work` makes of each item, in the order of the items, `concurrency` at a time.

    When no more is wanted (the iterator is closed, or an exception), nothing more is begun, the event that `work`
    gets is set, so that it gives up what is under way, and no thread is left behind. `label` names the threads.
    """
    cancelled, pool = Event(), ThreadPoolExecutor(concurrency, thread_name_prefix=label)
    try:
        yield from pool.map(lambda item: work(item, cancelled), items)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        cancelled.set()
        pool.shutdown()


@dataclass(slots=True)
class Tally:
    """What all questions so far took."""

    answers: int = 0
    repeated: int = 0  # requests
    uncounted: int = 0  # answers without a usable count of their tokens
    prompt_tokens: int = 0
    output_tokens: int = 0
    remarks: list[str] = field(default_factory=list)  # what else happened, a sentence each

    def add(self, asked: Asked) -> None:
        """Count one question; the tokens of a reply are those that the server counted."""
        self.repeated += asked.requests - 1
        if isinstance(reply := asked.outcome, ChatReply):
            self.answers += 1
            self.uncounted += reply.prompt_tokens is None or reply.output_tokens is None
            self.prompt_tokens += reply.prompt_tokens or 0
            self.output_tokens += reply.output_tokens or 0

    @property
    def repetitions(self) -> str:
        """How many requests were repeated, and what else happened, for people; empty when nothing did."""
        repeated = [f"requests repeated: {self.repeated}"] if self.repeated else []
        return "; ".join([*repeated, *self.remarks])

    def note(self, prices: tuple[float, float] | None) -> str:
        """What the answers took beside their time, in a sentence for people; empty when nothing is odd.

        `prices` are those of a million tokens read, and written.
        """
        parts = []
        if self.uncounted:
            parts.append(
                f"the server gave no usable token count for {self.uncounted} of {self.answers} answers; counted as 0"
            )
        if self.repetitions:
            parts.append(self.repetitions)
        if prices is not None:
            read, written = prices
            cost = (read * self.prompt_tokens + written * self.output_tokens) / 1e6
            parts.append(f"cost {cost:.4f} at {read:g} a million tokens read and {written:g} written")
        return "; ".join(parts)


def declared_server(place: str, spec: Connection) -> ChatServer:
    """The server that a suite declares at `place` ("systems.NAME"); its key is read here.

    Raises:
        InvalidInputError: the key's environment variable is not set, or does not hold a key.
    """
    return ChatServer(base_url=spec.base_url, timeout_seconds=spec.timeout_seconds, key=read_key(place, spec.key_env))


def declared_prices(spec: Connection) -> tuple[float, float] | None:
    """The prices of a million tokens read, and written; None where the suite gives none."""
    if spec.price_input is None or spec.price_output is None:
        return None
    return spec.price_input, spec.price_output
