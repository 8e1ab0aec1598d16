"""A model behind an OpenAI-compatible server: the same questions, budget and bookkeeping as for the local arms."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from harness.clock import Clock, utc_now
from harness.records import Example, Prediction, no_answer
from harness.strict_json import canonical
from harness.suite.schema import Decoding
from harness.suite.systems import EndpointSystem
from harness.systems.http_chat import ChatFault, ChatServer
from harness.systems.requests import Asked, Retries, Tally, ask_patiently, declared_server, in_order
from harness.systems.server import loaded_adapter

if TYPE_CHECKING:
    from harness.systems.prompting import BuildPrompt

SEEDS = 2**31  # servers take a seed of 31 bits, or more


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterToLoad:
    """An adapter that a server loads for the answers, and unloads after them."""

    folder: Path
    digest: str  # SHA-256 over its files


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
    clock: Clock = utc_now
    kind: str = "endpoint"
    adapter: AdapterToLoad | None = None  # under the name `model`
    tally: Tally = field(default_factory=Tally, repr=False, compare=False)

    def signature(self) -> str:
        """Server, model, prompt and decoding in one line."""
        url, decoding = urlsplit(self.server.url), self.decoding
        drawn = f"temperature:{decoding.temperature:g}|samples:{decoding.samples}|seed:{self.seed}"
        stop = hashlib.sha256(canonical(decoding.stop).encode("utf-8")).hexdigest()
        return (
            f"endpoint:{url.netloc}{url.path}|model:{self.model}|"
            f"{f'adapter:{self.adapter.digest[:12]}|' if self.adapter else ''}prompt:{self.prompt_digest[:12]}|"
            f"{'greedy' if decoding.temperature == 0 else drawn}{f'|stop:{stop[:12]}' if decoding.stop else ''}|"
            f"max_new_tokens:{decoding.max_new_tokens}"
        )

    def note(self) -> str:
        """How many requests were repeated so far, and what else happened, for the report; empty when nothing did."""
        return self.tally.repetitions

    def answer(self, examples: Sequence[Example], dataset: str) -> Iterator[Prediction]:
        """Answers in the order of the examples, `concurrency` at a time; several for each test example if drawn.

        A server that does not load its adapter has no answer to any of them, and an answer that it cut off before the
        limit that it was asked to keep is none.
        """
        answered = in_order(
            lambda row, cancelled: self._predict(row, dataset, cancelled),
            self._rows(examples, dataset),
            concurrency=self.concurrency,
            label=f"endpoint {self.name}",
        )
        loading: AbstractContextManager[None] = nullcontext()
        if self.adapter is not None:
            loading = loaded_adapter(self.server, self.model, self.adapter.folder, self.tally.remarks.append)
        try:
            with loading, closing(answered):
                for prediction, asked in answered:
                    self.tally.add(asked)
                    yield prediction
        except ChatFault as fault:  # of loading: an answer that failed is an answer
            for row, sample in self._rows(examples, dataset):
                yield no_answer(self.name, dataset, row.id, sample, f"{self.server.base_url}: {fault}")

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

    def _predict(self, row: tuple[Example, int], dataset: str, cancelled: Event) -> tuple[Prediction, Asked]:
        example, sample = row
        asked = ask_patiently(
            self.server,
            self.question(example, sample),
            retries=self.retries,
            generator=random.Random(f"backoff {self.seed} {example.id} {sample}"),
            clock=self.clock,
            cancelled=cancelled,
        )
        prediction = replace(no_answer(self.name, dataset, example.id, sample), seconds=asked.seconds)
        try:
            reply = asked.reply()
        except ChatFault as fault:
            return replace(prediction, error=asked.error(fault)), asked
        most, written = self.decoding.max_new_tokens, reply.output_tokens
        if reply.stop == "length" and written is not None and written < most:
            why = (
                f"{self.server.base_url}: the server cut the answer at {written:,} of {most:,} tokens that were allowed"
            )
            return replace(prediction, error=f"{why}; raise its limit, or lower decoding.max_new_tokens"), asked
        answered = replace(
            prediction,
            text=reply.text,
            stop=reply.stop,
            prompt_tokens=reply.prompt_tokens or 0,
            output_tokens=reply.output_tokens or 0,
        )
        return answered, asked


def remote_system(
    name: str,
    spec: EndpointSystem,
    *,
    decoding: Decoding,
    build_prompt: BuildPrompt,
    prompt_digest: str,
    seed: int,
    adapter: AdapterToLoad | None = None,
) -> RemoteSystem:
    """The system that a suite declares; its key is read here. `adapter` is its `served_adapter`.

    Raises:
        InvalidInputError: the key's environment variable is not set, or does not hold a key.
    """
    return RemoteSystem(
        name=name,
        role=spec.role,
        model=spec.served_adapter.name if spec.served_adapter is not None else spec.model,
        server=declared_server(f"systems.{name}", spec),
        decoding=decoding,
        build_prompt=build_prompt,
        prompt_digest=prompt_digest,
        seed=seed,
        concurrency=spec.concurrency,
        retries=Retries(times=spec.retries),
        adapter=adapter,
    )
