"""Answer with the model in memory: the same decoding, budget and bookkeeping for every kind built on it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.engine.chat import template_digest
from harness.engine.generate import GenerationSettings, Sampling
from harness.engine.session import ModelSession
from harness.records import NOT_FINITE, Example, Prediction, no_answer
from harness.suite.schema import Decoding
from harness.systems.prompting import BuildPrompt, digest_text


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSystem:
    """The base model, with an adapter or without, asked through `build_prompt`."""

    name: str
    kind: str
    role: str
    session: ModelSession
    decoding: Decoding
    build_prompt: BuildPrompt
    prompt_digest: str  # SHA-256 of everything that the prompt adds to an example
    base_digest: str
    seed: int
    grammar: str | None = None  # what its answers may be, as llguidance writes it
    adapter: str | None = None
    adapter_digest: str | None = None

    def signature(self) -> str:
        """Model, adapter, prompt, template and decoding in one line."""
        template = template_digest(self.session.tokenizer)
        return (
            f"model:{self.base_digest[:12]}|adapter:{(self.adapter_digest or 'none')[:12]}|"
            f"prompt:{self.prompt_digest[:12]}|template:{template[:12]}|"
            f"{self._chosen()}|max_new_tokens:{self.decoding.max_new_tokens}|dtype:float32{self._engine()}"
        )

    def _engine(self) -> str:
        engine = self.session.engine_of(self.adapter, self.grammar)
        return f"|engine:{engine}" if engine else ""

    def _chosen(self) -> str:
        decoding = self.decoding
        drawn = f"temperature:{decoding.temperature:g}|samples:{decoding.samples}|seed:{self.seed}"
        stop = f"|stop:{digest_text(*decoding.stop)[:12]}" if decoding.stop else ""
        grammar = f"|grammar:{digest_text(self.grammar)[:12]}" if self.grammar is not None else ""
        return ("greedy" if decoding.temperature == 0 else drawn) + stop + grammar

    def note(self) -> str:
        """That a grammar decides what it can write, where one does."""
        return "can write only what its grammar allows" if self.grammar is not None else ""

    def answer(self, examples: Sequence[Example], dataset: str) -> Iterator[Prediction]:
        """Answers wave by wave; test examples are answered `samples` times, the cases of a probe once.

        A prompt that the model has no room for has no answer, nor has one after which its numbers are none.
        """
        asked, prompts, draws, overlong = self._asked(examples, dataset)
        for answer in self.session.generate(prompts, self._settings(), adapter=self.adapter, draws=draws):
            if not math.isfinite(answer.logprob):
                yield no_answer(self.name, dataset, asked[answer.index].id, draws[answer.index], NOT_FINITE)
                continue
            yield Prediction(
                example_id=asked[answer.index].id,
                system=self.name,
                dataset=dataset,
                text=answer.text,
                stop="end" if answer.ended else "length",
                prompt_tokens=len(prompts[answer.index]),
                output_tokens=len(answer.tokens),
                seconds=answer.seconds,
                sample=draws[answer.index],
                near_tie=answer.near_tie,
                logprob=answer.logprob,
            )
        if overlong and self.session.takes_next():
            for example, sample, why in overlong:
                yield no_answer(self.name, dataset, example.id, sample, why)

    def plan(self, examples: Sequence[Example], dataset: str) -> tuple[int, int, int]:
        """What `answer` would do: prompt tokens to forward, answers to decode, and answers that are stored."""
        _, prompts, draws, _ = self._asked(examples, dataset)
        return self.session.plan_answers(prompts, self._settings(), adapter=self.adapter, draws=draws)

    def _settings(self) -> GenerationSettings:
        decoding = self.decoding
        return GenerationSettings(
            max_new_tokens=decoding.max_new_tokens,
            batch_size=decoding.batch_size,
            stop=tuple(decoding.stop),
            sampling=Sampling(temperature=decoding.temperature, seed=self.seed),
            grammar=self.grammar,
        )

    def _asked(
        self, examples: Sequence[Example], dataset: str
    ) -> tuple[list[Example], list[list[int]], list[int], list[tuple[Example, int, str]]]:
        """Every answer that is wanted: its example, its prompt, and which of the example's draws it is.

        Last and apart those that the model has no room for: the example, the draw, and why.
        """
        times = self.decoding.samples if dataset == "test" else 1
        prompts = self.session.encode([self.build_prompt(example) for example in examples])
        most = self.decoding.max_new_tokens
        overlong = self.session.without_room(prompts, adapter=self.adapter, answer=most)
        fitting = [place for place in range(len(examples)) if place not in overlong]
        return (
            [examples[place] for place in fitting for _ in range(times)],
            [prompts[place] for place in fitting for _ in range(times)],
            list(range(times)) * len(fitting),
            [(examples[place], draw, why) for place, why in overlong.items() for draw in range(times)],
        )
