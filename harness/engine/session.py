"""One base model in memory that answers and scores for every system, adapters switched on and off around it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file

from harness.engine.chat import encode_prompts
from harness.engine.generate import Generation, GenerationSettings, forwarded_tokens, generate_wave, plan_waves
from harness.engine.loading import LoadedModel
from harness.engine.loglikelihood import Scored, ScoringUnit, in_order_of_requests, plan_units, score_unit
from harness.engine.lora import ActiveAdapter, switchable
from harness.engine.meter import Meter
from harness.engine.recall import Recall, answer_sample, read_answers, score_sample
from harness.errors import InvalidInputError
from harness.records import Message

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


class ModelSession:
    """The base model with named adapters; `adapter=None` everywhere means the base model itself."""

    def __init__(self, base: LoadedModel, meter: Meter) -> None:
        self.base, self.meter = base, meter
        self.recall: Recall | None = None  # None: everything is computed and nothing kept
        self._peft: PeftModel | None = None
        self._active: ActiveAdapter | None = None  # the switch, while all adapters are plain LoRA
        self._labels: dict[str, str] = {}  # a system may have a name that no module can have

    @property
    def tokenizer(self) -> Any:
        """The base model's tokenizer, which every system uses."""
        return self.base.tokenizer

    def attach(self, name: str, folder: Path) -> None:
        """Load the adapter in `folder` under `name`, leaving the base weights and other adapters alone.

        Raises:
            InvalidInputError: files missing, a tensor that is not finite, or tensors that are not exactly those
                of the adapter that the configuration describes for this base model.
        """
        for file in ADAPTER_FILES:
            if not (folder / file).is_file():
                raise InvalidInputError(f"{folder}: not an adapter folder: {file} is missing")
        tensors = load_file(folder / ADAPTER_FILES[1])
        broken = [key for key, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
        if broken:
            raise InvalidInputError(f"{folder}: {len(broken)} tensors are not finite, the first is {broken[0]}")
        config = PeftConfig.from_pretrained(folder)
        config.inference_mode = True
        label = self._labels.setdefault(name, f"arm{len(self._labels)}")
        if self._peft is None:
            self._peft = PeftModel(self.base.model, config, adapter_name=label)
        else:
            self._peft.add_adapter(label, config)
        expected = get_peft_model_state_dict(self._peft, adapter_name=label, save_embedding_layers=False)
        _refuse_difference(folder, expected, tensors)
        # Names and shapes agree, so this touches nothing but the adapter.
        self._peft.load_adapter(folder, adapter_name=label, is_trainable=False, torch_device=str(self.base.device))
        self._peft.eval()
        self._active = switchable(self._peft)

    @contextlib.contextmanager
    def using(self, adapter: str | None) -> Iterator[Any]:
        """The causal model with one adapter active, or none."""
        if self._peft is None:
            if adapter is not None:
                raise KeyError(f"no adapter named {adapter} is attached")
            yield self.base.model
        elif self._active is not None:
            self._active.label = None if adapter is None else self._labels[adapter]
            yield self._peft.get_base_model()
        elif adapter is None:
            with self._peft.disable_adapter():
                yield self._peft.get_base_model()
        else:
            self._peft.set_adapter(self._labels[adapter])
            yield self._peft.get_base_model()

    def encode(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Token ids of each conversation, ready to be answered."""
        self.meter.tokenizer_calls += 1
        return encode_prompts(self.tokenizer, conversations)

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        settings: GenerationSettings,
        *,
        adapter: str | None,
        draws: Sequence[int] | None = None,
    ) -> Iterator[Generation]:
        """Answers to prompts (token ids), wave by wave; `draws` numbers the repetitions of a sampled prompt."""
        numbers = [0] * len(prompts) if draws is None else draws
        for wave in plan_waves(prompts, settings.batch_size):
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
            with self.using(adapter) as model:
                return generate_wave(model, self.tokenizer, rows, settings, draws=numbers, meter=self.meter)

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

    def score(self, requests: Sequence[tuple[Sequence[int], Sequence[int]]], *, adapter: str | None) -> list[Scored]:
        """Log-probabilities of (context ids, continuation ids)."""
        units = plan_units(requests)
        return in_order_of_requests(units, [self._unit(unit, adapter) for unit in units])

    def _unit(self, unit: ScoringUnit, adapter: str | None) -> list[Scored]:
        """One scoring unit, read back where it is stored."""

        def compute(wanted: ScoringUnit) -> list[Scored]:
            with self.using(adapter) as model:
                return score_unit(model, wanted, meter=self.meter)

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

    @torch.inference_mode()
    def divergence(self, prompt: Sequence[int], answer: Sequence[int], *, adapter: str) -> float:
        """KL(base || adapter) of the next-token distributions, nats, mean over the answer's tokens (teacher-forced)."""
        ids = torch.tensor([[*prompt, *answer[:-1]]], device=self.base.device)
        logprobs = []
        for name in (None, adapter):
            with self.using(name) as model:
                logits = model(input_ids=ids, logits_to_keep=len(answer)).logits[0].double()
                logprobs.append(torch.log_softmax(logits, dim=-1))
            self.meter.forwarded_tokens += ids.shape[1]
        base, tuned = logprobs
        return float((base.exp() * (base - tuned)).sum(dim=-1).mean())

    @torch.inference_mode()
    def next_token_logits(self, prompts: Sequence[Sequence[int]], *, adapter: str | None) -> torch.Tensor:
        """Logits after each prompt, on the CPU; shape (prompts, vocabulary)."""
        rows = []
        with self.using(adapter) as model:
            for prompt in prompts:
                ids = torch.tensor([list(prompt)], device=self.base.device)
                rows.append(model(input_ids=ids, logits_to_keep=1).logits[0, -1].float().cpu())
                self.meter.forwarded_tokens += len(prompt)
        return torch.stack(rows)


def _first(
    compute: Callable[[Sequence[Sequence[int]], Sequence[int]], list[Generation]],
    prompts: Sequence[Sequence[int]],
    draws: Sequence[int],
    place: int,
) -> Generation:
    return compute([prompts[place]], [draws[place]])[0]


def _refuse_difference(folder: Path, expected: dict[str, Any], found: dict[str, Any]) -> None:
    """PEFT only warns of missing tensors and lets extra ones overwrite the base model; here both are refused."""
    missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    shapes = [key for key in expected if key in found and expected[key].shape != found[key].shape]
    for problem, keys in (
        ("missing", missing),
        ("not part of this adapter", extra),
        ("of another shape", shapes),
    ):
        if keys:
            raise InvalidInputError(
                f"{folder}: {len(keys)} tensors are {problem}, the first is {keys[0]}; "
                "the adapter was made for another base model or its file is damaged"
            )
