"""Answer with a class: the label that the candidate's head finds most likely, read in one pass over the prompt."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.clock import monotonic_seconds
from harness.engine.chat import template_digest
from harness.engine.session import ModelSession
from harness.records import NOT_FINITE, Example, Prediction, no_answer
from harness.systems.prompting import BuildPrompt, digest_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierSystem:
    """The base model with a low-rank update and a head over classes, asked through `build_prompt`."""

    name: str
    kind: str
    role: str
    session: ModelSession
    samples: int  # answers to each test example, all of them the same
    build_prompt: BuildPrompt
    prompt_digest: str  # SHA-256 of everything that the prompt adds to an example
    base_digest: str
    adapter_digest: str

    def signature(self) -> str:
        """Model, adapter, prompt, template and classes in one line."""
        template = template_digest(self.session.tokenizer)
        classes = digest_text(*self.session.labels(self.name))
        return (
            f"model:{self.base_digest[:12]}|adapter:{self.adapter_digest[:12]}|prompt:{self.prompt_digest[:12]}|"
            f"template:{template[:12]}|classes:{classes[:12]}|dtype:float32"
        )

    def note(self) -> str:
        """That it chooses and does not write."""
        return f"chooses one of {len(self.session.labels(self.name))} classes and writes no text of its own"

    def answer(self, examples: Sequence[Example], dataset: str) -> Iterator[Prediction]:
        """The most likely label of each example; `logprob` is that of the label among the classes.

        A prompt that the model has no room for has no answer, nor has one after which its numbers are none.
        """
        labels = self.session.labels(self.name)
        examples, prompts, overlong = self._asked(examples)
        times = self.samples if dataset == "test" else 1
        started = monotonic_seconds()
        found = list(self.session.classify(prompts, adapter=self.name))
        seconds = (monotonic_seconds() - started) / max(1, len(found))
        for index, logprobs in found:
            best = max(range(len(labels)), key=logprobs.__getitem__)
            for sample in range(times):
                if not all(map(math.isfinite, logprobs)):
                    yield no_answer(self.name, dataset, examples[index].id, sample, NOT_FINITE)
                    continue
                yield Prediction(
                    example_id=examples[index].id,
                    system=self.name,
                    dataset=dataset,
                    text=labels[best],
                    stop="end",
                    prompt_tokens=len(prompts[index]),
                    output_tokens=0,
                    seconds=seconds,
                    sample=sample,
                    logprob=logprobs[best],
                )
        if overlong and self.session.takes_next():
            for example, why in overlong:
                for sample in range(times):
                    yield no_answer(self.name, dataset, example.id, sample, why)

    def plan(self, examples: Sequence[Example], dataset: str) -> tuple[int, int, int]:
        """Prompt tokens to forward; nothing is written and nothing is stored."""
        _, prompts, _ = self._asked(examples)
        return sum(map(len, prompts)), 0, 0

    def _asked(self, examples: Sequence[Example]) -> tuple[list[Example], list[list[int]], list[tuple[Example, str]]]:
        """The examples and their prompts; apart from them those that the model has no room for, and why."""
        prompts = self.session.encode([self.build_prompt(example) for example in examples])
        overlong = self.session.without_room(prompts, adapter=self.name, answer=0)
        fitting = [place for place in range(len(examples)) if place not in overlong]
        return (
            [examples[place] for place in fitting],
            [prompts[place] for place in fitting],
            [(examples[place], why) for place, why in overlong.items()],
        )
