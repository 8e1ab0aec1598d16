"""One base model in memory that answers and scores for every system, adapters switched on and off around it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from harness.engine.attention import shared_prefix_attention
from harness.engine.batching import cut_batches
from harness.engine.chat import encode_prompts
from harness.engine.context import why_no_room
from harness.engine.generate import (
    Generation,
    GenerationSettings,
    forwarded_tokens,
    generate_wave,
    plan_waves,
    prefix_length,
)
from harness.engine.interface import Engine
from harness.engine.loading import LoadedModel
from harness.engine.loglikelihood import Scored, ScoringUnit, in_order_of_requests, plan_units, score_unit
from harness.engine.meter import Meter
from harness.engine.recall import Recall, answer_sample, read_answers, score_sample
from harness.engine.share import Share
from harness.engine.tuned import ReadyModel, TunedModels
from harness.errors import BrokenRunError, InvalidInputError
from harness.records import NOT_FINITE, Message

ENGINE_TOLERANCE = 1e-3  # nats a token, by which an engine may differ from transformers in float32


class ModelSession:
    """The base model with named adapters; `adapter=None` everywhere means the base model itself."""

    def __init__(
        self, base: LoadedModel, meter: Meter, share: Share | None = None, engine: Engine | None = None
    ) -> None:
        self.base, self.meter, self.engine = base, meter, engine
        self.recall: Recall | None = None  # None: everything is computed and nothing kept
        self.share = share  # None: everything is computed here
        self._tuned = TunedModels(base)
        self._compared: set[tuple[str, str | None]] = set()

    @property
    def tokenizer(self) -> Any:
        """The base model's tokenizer, which every system uses."""
        return self.base.tokenizer

    def attach(self, name: str, folder: Path, files: Mapping[str, str]) -> None:
        """Load the result of a training under `name`, leaving the base weights and other results alone.

        Args:
            name: of the system that answers with it.
            folder: where it lies.
            files: file -> SHA-256 of what it must be.

        Raises:
            InvalidInputError: it is not exactly what its configuration describes for this base model.
            BrokenRunError: a file is not the one of `files`, or loading it changed the base model.
        """
        self._tuned.attach(name, folder, files)

    def using(self, adapter: str | None) -> AbstractContextManager[ReadyModel]:
        """The causal model with one result in effect, or none."""
        return self._tuned.using(adapter)

    def labels(self, adapter: str) -> tuple[str, ...]:
        """The classes of an attached classifier; empty for everything else."""
        head = self._tuned.heads.get(adapter)
        return head.labels if head is not None else ()

    def encode(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Token ids of each conversation, ready to be answered."""
        self.meter.tokenizer_calls += 1
        return encode_prompts(self.tokenizer, conversations)

    def takes_next(self) -> bool:
        """Whether the next unit is computed here, and is not another shard's."""
        return self.share is None or self.share.takes_next()

    def without_room(self, prompts: Sequence[Sequence[int]], *, adapter: str | None, answer: int) -> dict[int, str]:
        """Which prompts do not fit the model's context together with an answer of so many tokens, and why."""
        config, virtual = self.base.model.config, self._tuned.virtual_tokens(adapter)
        found = {i: why_no_room(config, len(ids), answer=answer, virtual=virtual) for i, ids in enumerate(prompts)}
        return {index: why for index, why in found.items() if why is not None}

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        settings: GenerationSettings,
        *,
        adapter: str | None,
        draws: Sequence[int] | None = None,
    ) -> Iterator[Generation]:
        """Answers to prompts (token ids), wave by wave; `draws` numbers the repetitions of a sampled prompt.

        Waves that are another shard's are left out.
        """
        numbers = [0] * len(prompts) if draws is None else draws
        for wave in plan_waves(prompts, settings.batch_size):
            if not self.takes_next():
                continue
            rows, drawn = [prompts[index] for index in wave], [numbers[index] for index in wave]
            answers = self._wave(rows, drawn, settings, adapter)
            yield from (replace(answer, index=wave[answer.index]) for answer in answers)

    def plan_answers(
        self,
        prompts: Sequence[Sequence[int]],
        settings: GenerationSettings,
        *,
        adapter: str | None,
        draws: Sequence[int],
    ) -> tuple[int, int, int]:
        """What `generate` would do: prompt tokens to forward, rows to decode, and rows that are stored."""
        forwarded = rows = stored = 0
        for wave in plan_waves(prompts, settings.batch_size):
            asked, drawn = [prompts[index] for index in wave], [draws[index] for index in wave]
            recall = self._recall_of(adapter)
            if recall is not None and recall.store.answers(recall.wave_key(adapter, asked, drawn, settings)):
                stored += len(wave)
            else:
                forwarded += forwarded_tokens(asked)
                rows += len(wave)
        return forwarded, rows, stored

    def plan_scores(
        self, requests: Sequence[tuple[Sequence[int], Sequence[int]]], *, adapter: str | None
    ) -> tuple[int, int]:
        """What `score` would do: tokens to forward, and requests whose scores are stored."""
        forwarded = stored = 0
        for unit in plan_units(requests):
            recall = self._recall_of(adapter)
            if recall is not None and recall.store.scores(recall.unit_key(adapter, unit)):
                stored += sum(map(len, unit.requests))
            else:
                forwarded += unit.forwarded_tokens
        return forwarded, stored

    def _recall_of(self, adapter: str | None) -> Recall | None:
        """What is stored of an adapter; None when it is not made yet, or nothing is kept."""
        return self.recall if self.recall is not None and adapter in self.recall.weights else None

    def _wave(
        self,
        prompts: Sequence[Sequence[int]],
        draws: Sequence[int],
        settings: GenerationSettings,
        adapter: str | None,
    ) -> list[Generation]:
        """One wave, read back where it is stored."""

        def compute(rows: Sequence[Sequence[int]], numbers: Sequence[int]) -> list[Generation]:
            longest = max(map(len, rows), default=0) + settings.max_new_tokens
            if self.engine is not None and self.engine_of(adapter, settings.grammar) and self.engine.has_room(longest):
                answers = self.engine.answer(list(zip(rows, numbers, strict=True)), settings, adapter=adapter)
                self._compare("an answer", adapter, rows[0], answers[0].written, answers[0].logprob)
                return answers
            with self.using(adapter) as ready:
                return generate_wave(
                    ready.model,
                    self.tokenizer,
                    rows,
                    settings,
                    draws=numbers,
                    meter=self.meter,
                    before=ready.before,
                )

        recall = self.recall
        if recall is None:
            return compute(prompts, draws)
        key = recall.wave_key(adapter, prompts, draws, settings)
        stored = recall.store.answers(key)
        if stored is None:
            answers = compute(prompts, draws)
            recall.keep_answers(key, adapter, answers)
            return answers
        self.meter.stored_answers += len(stored)
        tokens = sum(map(len, prompts)) + sum(len(row.tokens) for row in stored)
        again = partial(_first, compute, prompts, draws)
        recall.note(adapter, tokens, answer_sample(recall.weights[adapter], prompts, stored, again))
        return list(read_answers(stored, self.tokenizer, settings))

    def _compare(
        self, what: str, adapter: str | None, prompt: Sequence[int], tokens: Sequence[int], found: float
    ) -> None:
        """Compute the first of what the engine computes with each adapter here too.

        It goes on with the first of every unit until one is seen that the base model would give another
        log-probability, since before that the adapter may have had no part in it.

        Raises:
            BrokenRunError: the engine computes something else.
        """
        if (what, adapter) in self._compared:
            return
        within = ENGINE_TOLERANCE * len(tokens)
        own = sum(self.token_logprobs(prompt, tokens, adapter=adapter))
        if not abs(own - found) <= within:
            raise BrokenRunError(
                f"{self.engine_of(adapter)} gives {what} of {adapter or 'the base model'} a log-probability of "
                f"{found:.5f}, and transformers {own:.5f}; take `engine` out of the suite"
            )
        if adapter is None or abs(sum(self.token_logprobs(prompt, tokens, adapter=None)) - found) > 2 * within:
            self._compared.add((what, adapter))

    @property
    def engine_facts(self) -> dict[str, str]:
        """What numbers depend on with an engine in transformers' place; nothing without one."""
        return dict(self.engine.facts) if self.engine is not None else {}

    def engine_of(self, adapter: str | None, grammar: str | None = None) -> str:
        """The engine that answers with an adapter in transformers' place, with its version; empty where none does."""
        if self.engine is None or grammar is not None or not self.engine.has(adapter):
            return ""
        return self.engine.version

    def score(
        self, requests: Sequence[tuple[Sequence[int], Sequence[int]]], *, adapter: str | None
    ) -> list[Scored | None]:
        """Log-probabilities of (context ids, continuation ids); None for what is another shard's.

        Raises:
            BrokenRunError: one is not finite.
        """
        units = plan_units(requests)
        return in_order_of_requests(units, [self._unit(unit, adapter) for unit in units])

    def _unit(self, unit: ScoringUnit, adapter: str | None) -> Sequence[Scored | None]:
        """One scoring unit, read back where it is stored."""
        if not self.takes_next():
            return [None] * len(unit.requests)

        def compute(wanted: ScoringUnit) -> list[Scored]:
            scores = self._scored(wanted, adapter)
            if not all(math.isfinite(score.logprob) for score in scores):
                raise BrokenRunError(f"{adapter or 'the base model'}: {NOT_FINITE}, so that it cannot be scored")
            return scores

        recall = self.recall
        if recall is None:
            return compute(unit)
        key = recall.unit_key(adapter, unit)
        stored = recall.store.scores(key)
        if stored is None:
            scores = compute(unit)
            recall.keep_scores(key, adapter, scores)
            return scores
        self.meter.stored_scores += len(stored)
        recall.note(adapter, unit.forwarded_tokens, score_sample(recall.weights[adapter], unit, stored, compute))
        return [Scored(row.logprob, row.is_greedy) for row in stored]

    def _scored(self, unit: ScoringUnit, adapter: str | None) -> list[Scored]:
        longest = max(len(context) + max(map(len, branches)) for context, branches in unit.tokens)
        if self.engine is not None and self.engine_of(adapter) and self.engine.has_room(longest):
            scores = self.engine.score(unit, adapter=adapter)
            context, branches = unit.tokens[0]
            self._compare("a choice", adapter, context, branches[0], scores[0].logprob)
            return scores
        with self.using(adapter) as ready:
            return score_unit(ready.model, unit, meter=self.meter, before=ready.before)

    @torch.inference_mode()
    def divergence(self, prompt: Sequence[int], answer: Sequence[int], *, adapter: str, where: str = "a row") -> float:
        """KL(base || adapter) of the next-token distributions, nats, mean over the answer's tokens (teacher-forced).

        Raises:
            InvalidInputError: the row, which stands at `where`, does not fit the model's context.
            BrokenRunError: it is not finite.
        """
        if why := self.without_room([[*prompt, *answer[:-1]]], adapter=adapter, answer=0).get(0):
            raise InvalidInputError(f"{where}: {why}, or leave the row out")
        logprobs = []
        for name in (None, adapter):
            logits = self._last_logits([*prompt, *answer[:-1]], len(answer), name).double()
            logprobs.append(torch.log_softmax(logits, dim=-1))
        base, tuned = logprobs
        found = float((base.exp() * (base - tuned)).sum(dim=-1).mean())
        if not math.isfinite(found):
            raise BrokenRunError(f"{where}: {adapter}: {NOT_FINITE}, so that its divergence cannot be measured")
        return found

    @torch.inference_mode()
    def token_logprobs(self, prompt: Sequence[int], answer: Sequence[int], *, adapter: str | None) -> list[float]:
        """Log-probability of each token of an answer after its prompt, nats (teacher-forced)."""
        logits = self._last_logits([*prompt, *answer[:-1]], len(answer), adapter)
        logprobs = torch.log_softmax(logits.float(), dim=-1)
        chosen = torch.tensor(list(answer), device=logprobs.device).unsqueeze(1)
        return [float(value) for value in logprobs.gather(1, chosen).squeeze(1)]

    @torch.inference_mode()
    def next_token_logits(self, prompts: Sequence[Sequence[int]], *, adapter: str | None) -> torch.Tensor:
        """Logits after each prompt, on the CPU; shape (prompts, vocabulary)."""
        return torch.stack([self._last_logits(prompt, 1, adapter)[0].float().cpu() for prompt in prompts])

    @torch.inference_mode()
    def classify(self, prompts: Sequence[Sequence[int]], *, adapter: str) -> Iterator[tuple[int, list[float]]]:
        """For each prompt (token ids) its index and the log-probabilities of the classes, shortest prompts first."""
        head = self._tuned.heads[adapter].weight
        order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), index))
        for first, last in cut_batches([len(prompts[index]) for index in order]):
            if not self.takes_next():
                continue
            batch = order[first:last]
            ids = torch.zeros(len(batch), len(prompts[batch[-1]]), dtype=torch.long)
            for place, index in enumerate(batch):
                ids[place, : len(prompts[index])] = torch.tensor(prompts[index])
            with self.using(adapter) as ready:
                body = getattr(ready.model, ready.model.base_model_prefix)
                hidden = body(input_ids=ids.to(self.base.device), use_cache=False).last_hidden_state
            # Padding stands behind the prompt, where the causal order hides it.
            ends = torch.tensor([len(prompts[index]) - 1 for index in batch], device=hidden.device)
            read = hidden[torch.arange(len(batch), device=hidden.device), ends]
            logprobs = torch.log_softmax((read @ head.t()).float(), dim=-1).tolist()
            self.meter.forwarded_tokens += sum(len(prompts[index]) for index in batch)
            self.meter.head_rows += len(batch)
            yield from zip(batch, logprobs, strict=True)

    def _last_logits(self, ids: Sequence[int], keep: int, adapter: str | None) -> torch.Tensor:
        """Logits of the last `keep` positions, (keep, vocabulary)."""
        device = self.base.device
        with self.using(adapter) as ready, shared_prefix_attention(ready.model):
            first = prefix_length(ready.before)
            logits = ready.model(
                input_ids=torch.tensor([list(ids)], device=device),
                position_ids=torch.arange(first, first + len(ids), device=device).unsqueeze(0),
                use_cache=False,
                logits_to_keep=keep,
                prefix=ready.before,
            ).logits
        self.meter.forwarded_tokens += len(ids)
        return logits[0]


def _first(
    compute: Callable[[Sequence[Sequence[int]], Sequence[int]], list[Generation]],
    prompts: Sequence[Sequence[int]],
    draws: Sequence[int],
    place: int,
) -> Generation:
    return compute([prompts[place]], [draws[place]])[0]
