"""A server that should serve the candidate, asked the candidate's own questions with log-probabilities."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from threading import Event
from typing import Any

from harness.clock import Clock, utc_now
from harness.records import Message, ServedAnswer
from harness.suite.schema import Decoding
from harness.systems.http_chat import ChatFault, ChatServer
from harness.systems.requests import Retries, ask_patiently, in_order
from harness.systems.server import Rendered, renders_as

LIKELY_TOKENS = 5  # told for each token: what the server may have taken instead of the judged one


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCandidate:
    """The server, what it is asked for, and how; `name` is the check's."""

    name: str
    server: ChatServer
    model: str
    decoding: Decoding
    seed: int  # of the waits between requests
    concurrency: int
    retries: Retries
    clock: Clock = utc_now

    def answer(
        self, conversations: Mapping[str, Sequence[Message]], rendered: Mapping[str, Rendered]
    ) -> Iterator[ServedAnswer]:
        """One greedy answer to each conversation (example id -> its turns), in their order.

        `rendered` holds the conversations as the judged stack renders them, those of which that is known.
        """
        rows = [(key, messages, rendered.get(key)) for key, messages in conversations.items()]
        answered = in_order(self._answer, rows, concurrency=self.concurrency, label=f"served {self.name}")
        with closing(answered):
            yield from answered

    def question(self, messages: Sequence[Message]) -> dict[str, Any]:
        """The body of the request for one answer."""
        asked: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": turn.role, "content": turn.content} for turn in messages],
            "max_tokens": self.decoding.max_new_tokens,
            "temperature": 0.0,
            "logprobs": True,
            "top_logprobs": LIKELY_TOKENS,
        }
        return asked | ({"stop": list(self.decoding.stop)} if self.decoding.stop else {})

    def _answer(self, row: tuple[str, Sequence[Message], Rendered | None], cancelled: Event) -> ServedAnswer:
        example_id, messages, wanted = row
        asked = ask_patiently(
            self.server,
            self.question(messages),
            retries=self.retries,
            generator=random.Random(f"backoff {self.seed} {self.name} {example_id}"),
            clock=self.clock,
            cancelled=cancelled,
        )
        nothing = failed_answer(self.name, example_id, "")
        try:
            reply = asked.reply()
        except ChatFault as fault:
            return replace(nothing, error=asked.error(fault))
        shown = renders_as(self.server, self.model, messages, wanted, cancelled) if wanted is not None else None
        return replace(
            nothing,
            text=reply.text,
            prompt_tokens=reply.prompt_tokens,
            tokens=reply.tokens,
            prompt_as_judged=shown,
            error=None,
        )


def failed_answer(check: str, example_id: str, why: str) -> ServedAnswer:
    """What stands where there is no answer."""
    return ServedAnswer(
        check=check,
        example_id=example_id,
        text="",
        prompt_tokens=None,
        tokens=None,
        prompt_as_judged=None,
        error=why,
    )
