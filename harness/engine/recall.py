"""What was computed before from exactly the same inputs is read back; a sample of it is computed again.

The unit is what is computed together (a wave of answers, a scoring unit): it is read back whole or computed whole, so
no number ever depends on what happened to be stored.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from harness.engine.chat import stop_ids
from harness.engine.generate import Generation, GenerationSettings, answer_text
from harness.engine.loglikelihood import Scored, ScoringUnit
from harness.errors import BrokenRunError
from harness.records import StoredAnswer, StoredScore

RECHECKED_SHARE = 0.01  # of the tokens that were not computed because their results were stored
LOGPROB_TOLERANCE = 1e-3  # nats; another batch shape moves a score by less


class Store(Protocol):
    """Where results are kept by key; `weights` is what they can be forgotten by."""

    def answers(self, key: str) -> tuple[StoredAnswer, ...] | None:
        """The answers of one wave."""

    def put_answers(self, key: str, weights: str, rows: Sequence[StoredAnswer]) -> None:
        """Keep the answers of one wave."""

    def scores(self, key: str) -> tuple[StoredScore, ...] | None:
        """The scores of one unit."""

    def put_scores(self, key: str, weights: str, rows: Sequence[StoredScore]) -> None:
        """Keep the scores of one unit."""

    def refuse(self, weights: str, why: str) -> int:
        """Forget everything of these weights; returns how many rows that were."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """One row that was read back, and how to compute it again."""

    weights: str
    tokens: int
    disagreement: Callable[[], str]  # computes it; returns what differs, or nothing


@dataclass(slots=True)
class Recall:
    """The results of one run's weights in a store.

    Args:
        store: where they are kept.
        context: everything beside weights and tokens that a result depends on.
        weights: adapter (None: the base model) -> digest of its weights and the base's.
        engines: adapter -> what answers with it in transformers' place; empty where nothing does.
    """

    store: Store
    context: Mapping[str, str]
    weights: Mapping[str | None, str]
    engines: Mapping[str | None, str] = field(default_factory=dict)
    served: list[tuple[str, int, Callable[[random.Random], _Sample]]] = field(default_factory=list)

    def wave_key(
        self,
        adapter: str | None,
        prompts: Sequence[Sequence[int]],
        draws: Sequence[int],
        settings: GenerationSettings,
    ) -> str:
        """The key of a wave of answers."""
        return self._key(
            adapter,
            {"prompts": [list(p) for p in prompts], "draws": list(draws), "settings": asdict(settings)},
        )

    def unit_key(self, adapter: str | None, unit: ScoringUnit) -> str:
        """The key of a scoring unit."""
        return self._key(adapter, {"prefix": unit.prefix, "rows": unit.tokens})

    def _key(self, adapter: str | None, work: Mapping[str, Any]) -> str:
        whole = {"context": dict(self.context), "weights": self.weights[adapter], "work": work}
        if engine := self.engines.get(adapter):
            whole["engine"] = engine
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode("utf-8")).hexdigest()

    def keep_answers(self, key: str, adapter: str | None, answers: Sequence[Generation]) -> None:
        """Store a computed wave; not one with an answer that is none."""
        if all(math.isfinite(answer.logprob) for answer in answers):
            self.store.put_answers(key, self.weights[adapter], [_stored(answer) for answer in answers])

    def keep_scores(self, key: str, adapter: str | None, scores: Sequence[Scored]) -> None:
        """Store a computed unit."""
        rows = [StoredScore(logprob=score.logprob, is_greedy=score.is_greedy) for score in scores]
        self.store.put_scores(key, self.weights[adapter], rows)

    def note(self, adapter: str | None, tokens: int, sample: Callable[[random.Random], _Sample]) -> None:
        """Remember that something was read back, so that a sample of it can be computed again."""
        self.served.append((self.weights[adapter], tokens, sample))

    def recheck(self, seed: int) -> int:
        """Compute a seeded sample of what was read back, one row at least, and return how many rows it was.

        Raises:
            BrokenRunError: a result differs from the stored one; everything of its weights is then forgotten.
        """
        chance, checked = random.Random(f"recheck {seed}"), 0
        left = RECHECKED_SHARE * sum(tokens for _, tokens, _ in self.served)
        for _, _, draw in chance.sample(self.served, len(self.served)):
            sample = draw(chance)
            if checked and sample.tokens > left:
                continue
            left -= sample.tokens
            checked += 1
            if difference := sample.disagreement():
                rows = self.store.refuse(sample.weights, difference)
                raise BrokenRunError(
                    f"a stored result is not what this machine computes ({difference}); the {rows} stored rows of "
                    "these weights were forgotten. Run again: they are computed anew"
                )
        return checked


def read_answers(stored: Sequence[StoredAnswer], tokenizer: Any, settings: GenerationSettings) -> Iterator[Generation]:
    """Stored answers as they were generated."""
    ends = stop_ids(tokenizer)
    for index, row in enumerate(stored):
        end = row.tokens[-1] if row.tokens and row.tokens[-1] in ends else None
        tokens = row.tokens if end is None else row.tokens[:-1]
        yield Generation(
            index=index,
            tokens=tokens,
            text=answer_text(tokenizer, tokens, settings.stop),
            ended=row.ended,
            end=end,
            near_tie=row.near_tie,
            logprob=row.logprob,
            seconds=row.seconds,
        )


def _stored(answer: Generation) -> StoredAnswer:
    return StoredAnswer(
        tokens=answer.written,
        ended=answer.ended,
        near_tie=answer.near_tie,
        logprob=answer.logprob,
        seconds=answer.seconds,
    )


def answer_sample(
    weights: str, prompts: Sequence[Sequence[int]], stored: Sequence[StoredAnswer], again: Callable[[int], Generation]
) -> Callable[[random.Random], _Sample]:
    """How one answer of a wave is drawn and computed again; near ties may fall either way in another batch."""

    def draw(chance: random.Random) -> _Sample:
        clear = [place for place, row in enumerate(stored) if not row.near_tie]
        place = chance.choice(clear or range(len(stored)))

        def disagreement() -> str:
            row, found = stored[place], again(place)
            if row.near_tie or found.near_tie or (found.written, found.ended) == (row.tokens, row.ended):
                return ""
            return f"an answer of {len(row.tokens)} tokens"

        return _Sample(weights, len(prompts[place]) + len(stored[place].tokens), disagreement)

    return draw


def score_sample(
    weights: str, unit: ScoringUnit, stored: Sequence[StoredScore], again: Callable[[ScoringUnit], list[Scored]]
) -> Callable[[random.Random], _Sample]:
    """How one row of a scoring unit is drawn and computed again, with its prefix."""

    def draw(chance: random.Random) -> _Sample:
        row = chance.choice(unit.rows)
        one = ScoringUnit(unit.prefix, (row,))

        def disagreement() -> str:
            before = dict(zip(unit.requests, stored, strict=True))
            for indices, found in zip(one.requests, again(one), strict=True):
                if not abs(found.logprob - before[indices].logprob) <= LOGPROB_TOLERANCE:
                    return f"a log-probability of {before[indices].logprob:.6f} is {found.logprob:.6f}"
            return ""

        return _Sample(weights, one.forwarded_tokens, disagreement)

    return draw
