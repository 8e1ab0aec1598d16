"""A model behind an OpenAI-compatible server: the same questions, budget and bookkeeping as for the local arms."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Event
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from harness.clock import Clock, monotonic_seconds, utc_now
from harness.records import Example, Prediction
from harness.strict_json import canonical
from harness.suite.schema import Decoding, EndpointSystem
from harness.systems.http_chat import ChatFault, ChatReply, ChatServer, read_key

if TYPE_CHECKING:
    from harness.systems.local_model import BuildPrompt

SEEDS = 2**31  # servers take a seed of 31 bits, or more


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


@dataclass(slots=True)
class _Tally:
    """What all answers so far took."""

    answers: int = 0
    repeated: int = 0  # requests
    uncounted: int = 0  # answers without a usable count of their tokens
    prompt_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    prediction: Prediction
    requests: int
    counted: bool  # by the server: the tokens of its prompt and of its answer


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSystem:
    """A model that a server runs, asked through `build_prompt`."""

    name: str
    role: str
    model: str
    server: ChatServer
    decoding: Decoding
    build_prompt: BuildPrompt
    prompt_digest: str  # SHA-256 of everything that the prompt adds to an example
    seed: int
    concurrency: int
    retries: Retries
    prices: tuple[float, float] | None = None  # of a million tokens read, and written
    clock: Clock = utc_now
    kind: str = "endpoint"
    tally: _Tally = field(default_factory=_Tally, repr=False, compare=False)

    def signature(self) -> str:
        """Server, model, prompt and decoding in one line."""
        url, decoding = urlsplit(self.server.url), self.decoding
        drawn = f"temperature:{decoding.temperature:g}|samples:{decoding.samples}|seed:{self.seed}"
        stop = hashlib.sha256(canonical(decoding.stop).encode("utf-8")).hexdigest()
        return (
            f"endpoint:{url.netloc}{url.path}|model:{self.model}|prompt:{self.prompt_digest[:12]}|"
            f"{'greedy' if decoding.temperature == 0 else drawn}{f'|stop:{stop[:12]}' if decoding.stop else ''}|"
            f"max_new_tokens:{decoding.max_new_tokens}"
        )

    def note(self) -> str:
        """What the answers so far took beside their time, in a sentence for the report; empty when nothing is odd."""
        tally, parts = self.tally, []
        if tally.uncounted:
            parts.append(
                f"the server gave no usable token count for {tally.uncounted} of {tally.answers} answers; counted as 0"
            )
        if tally.repeated:
            parts.append(f"requests repeated: {tally.repeated}")
        if self.prices is not None:
            read, written = self.prices
            cost = (read * tally.prompt_tokens + written * tally.output_tokens) / 1e6
            parts.append(f"cost {cost:.4f} at {read:g} a million tokens read and {written:g} written")
        return "; ".join(parts)

    def answer(self, examples: Sequence[Example], dataset: str) -> Iterator[Prediction]:
        """Answers in the order of the examples, `concurrency` at a time; several for each test example if drawn."""
        rows, cancelled = self._rows(examples, dataset), Event()
        pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix=f"endpoint {self.name}")
        try:
            for answered in pool.map(lambda row: self._predict(row, dataset, cancelled), rows):
                self._count(answered)
                yield answered.prediction
        finally:
            # On an interruption: begin nothing more, give up what is under way, and leave no thread behind.
            pool.shutdown(wait=False, cancel_futures=True)
            cancelled.set()
            pool.shutdown()

    def plan(self, examples: Sequence[Example], dataset: str) -> tuple[int, int, int]:
        """What `answer` would do: the prompts' tokens are the server's to count, and nothing is stored."""
        return 0, len(self._rows(examples, dataset)), 0

    def question(self, example: Example, sample: int) -> dict[str, Any]:
        """The body of the request for one answer: the n-th draw of an example has the n-th seed."""
        decoding = self.decoding
        asked: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in self.build_prompt(example)],
            "max_tokens": decoding.max_new_tokens,
            "temperature": decoding.temperature,
        }
        if decoding.stop:
            asked["stop"] = list(decoding.stop)
        if decoding.temperature > 0:
            asked["seed"] = (self.seed + sample) % SEEDS
        return asked

    def _rows(self, examples: Sequence[Example], dataset: str) -> list[tuple[Example, int]]:
        times = self.decoding.samples if dataset == "test" else 1
        return [(example, sample) for example in examples for sample in range(times)]

    def _predict(self, row: tuple[Example, int], dataset: str, cancelled: Event) -> _Answered:
        example, sample = row
        # Each row has a generator of its own, so that the waits do not depend on which thread comes first.
        generator = random.Random(f"backoff {self.seed} {example.id} {sample}")
        outcome, seconds, requests = self._ask(self.question(example, sample), generator, cancelled)
        prediction = Prediction(
            example_id=example.id,
            system=self.name,
            dataset=dataset,
            text="",
            stop="error",
            prompt_tokens=0,
            output_tokens=0,
            seconds=seconds,
            sample=sample,
        )
        if isinstance(outcome, ChatFault):
            again = f"; {requests} requests" if requests > 1 else ""
            failed = replace(prediction, error=f"{self.server.url}: {outcome}{again}")
            return _Answered(prediction=failed, requests=requests, counted=False)
        answered = replace(
            prediction,
            text=outcome.text,
            stop=outcome.stop,
            prompt_tokens=outcome.prompt_tokens or 0,
            output_tokens=outcome.output_tokens or 0,
        )
        counted = outcome.prompt_tokens is not None and outcome.output_tokens is not None
        return _Answered(prediction=answered, requests=requests, counted=counted)

    def _ask(
        self, question: dict[str, Any], generator: random.Random, cancelled: Event
    ) -> tuple[ChatReply | ChatFault, float, int]:
        """The reply or the last fault, the seconds of the last request, and the number of requests."""
        requests = 0
        while True:
            started = monotonic_seconds()
            outcome: ChatReply | ChatFault
            try:
                outcome = self.server.ask(question, cancelled)
            except ChatFault as fault:
                outcome = fault
            seconds = monotonic_seconds() - started
            requests += 1
            if isinstance(outcome, ChatReply) or not outcome.passing or requests > self.retries.times:
                return outcome, seconds, requests
            asked = asked_seconds(outcome.retry_after, self.clock())
            if cancelled.wait(self.retries.wait_seconds(requests - 1, asked, generator)):
                return outcome, seconds, requests

    def _count(self, answered: _Answered) -> None:
        tally, prediction = self.tally, answered.prediction
        tally.repeated += answered.requests - 1
        if prediction.error is None:
            tally.answers += 1
            tally.uncounted += not answered.counted
            tally.prompt_tokens += prediction.prompt_tokens
            tally.output_tokens += prediction.output_tokens


def remote_system(
    name: str, spec: EndpointSystem, *, decoding: Decoding, build_prompt: BuildPrompt, prompt_digest: str, seed: int
) -> RemoteSystem:
    """The system that a suite declares; its key is read here.

    Raises:
        InvalidInputError: the key's environment variable is not set, or does not hold a key.
    """
    prices = None
    if spec.price_input is not None and spec.price_output is not None:
        prices = (spec.price_input, spec.price_output)
    return RemoteSystem(
        name=name,
        role=spec.role,
        model=spec.model,
        server=ChatServer(
            base_url=spec.base_url,
            timeout_seconds=spec.timeout_seconds,
            key=read_key(name, spec.key_env),
        ),
        decoding=decoding,
        build_prompt=build_prompt,
        prompt_digest=prompt_digest,
        seed=seed,
        concurrency=spec.concurrency,
        retries=Retries(times=spec.retries),
        prices=prices,
    )
