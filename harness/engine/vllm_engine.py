"""vLLM in this process, which answers and scores for the base model and its LoRA adapters.

It is handed what is computed together, a wave of answers or a scoring unit, and forgets its prefixes in between: as
with the harness's own engine, no number depends on what else was asked (`VLLM_ENABLE_V1_MULTIPROCESSING=0` fixes the
order in which vLLM works: docs.vllm.ai, "Reproducibility").
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from harness.clock import monotonic_seconds
from harness.engine.artefacts import ADAPTER_CONFIG, read_json
from harness.engine.chat import stop_ids
from harness.engine.generate import NEAR_TIE, Generation, GenerationSettings, answer_text
from harness.engine.interface import Wave
from harness.engine.loading import LoadedModel
from harness.engine.loglikelihood import Scored, ScoringUnit, Tokens
from harness.engine.meter import Meter
from harness.environment import settle_vllm, vllm_settings
from harness.errors import BrokenRunError, InvalidInputError
from harness.suite.engines import Vllm
from harness.suite.schema import Suite
from harness.suite.systems import MOST_RANK

MOST_NAMED = 128  # tokens whose log-probabilities vLLM gives by name at one place
TWO_BEST = 2
FITTED = -1  # as many tokens as the model can and the memory holds


def refuse_missing_engine(suite: Suite) -> None:
    """Refuse to answer with an engine that is not on this machine, before anything is trained.

    Raises:
        InvalidInputError: with what to do.
    """
    if suite.engine is None:
        return
    if importlib.util.find_spec("vllm") is None:
        raise InvalidInputError("engine.kind: vllm is not installed here; install it, or take `engine` out")
    settle_vllm()
    try:
        importlib.import_module("vllm")
    except Exception as error:  # whatever its many parts say
        why = f"engine.kind: vllm cannot be imported here: {type(error).__name__}: {error}"
        raise InvalidInputError(f"{why}; mend it, or take `engine` out") from error


def declared_engine(suite: Suite, base: LoadedModel, meter: Meter) -> VllmEngine | None:
    """What the suite takes in transformers' place for answers and scores, not started."""
    declared = suite.engine
    return VllmEngine(base, declared, rows=suite.decoding.batch_size, meter=meter) if declared is not None else None


class VllmEngine:
    """One base model in vLLM with named adapters, which are attached before it starts."""

    def __init__(self, base: LoadedModel, declared: Vllm, *, rows: int, meter: Meter) -> None:
        """Prepare `base`; `rows` are computed at a time."""
        self._base, self._declared, self._rows, self._meter = base, declared, rows, meter
        self._folders: dict[str, Path] = {}
        self._variables = vllm_settings()  # before vLLM adds its own, of one process
        self._llm: Any = None

    @property
    def version(self) -> str:
        """Name and version, as "vllm 0.32.0"."""
        return f"vllm {metadata.version('vllm')}"

    @property
    def facts(self) -> dict[str, str]:
        """What its numbers depend on beside those of this machine."""
        declared = self._declared.model_dump_json(exclude={"gpu_memory_utilization"})
        setup = {"declared": declared, "lora": self._lora(), "variables": self._variables}
        if self._llm is not None:
            setup["max_model_len"] = self._llm.model_config.max_model_len
        return {"vllm": metadata.version("vllm"), "vllm setup": json.dumps(setup, sort_keys=True)}

    def has(self, adapter: str | None) -> bool:
        """Whether it can answer with an adapter, or the base model (None)."""
        return adapter is None or adapter in self._folders

    def attach(self, name: str, folder: Path) -> None:
        """Take a LoRA adapter, which vLLM reads when it is first asked with it.

        Raises:
            BrokenRunError: vLLM runs already, with room for the ranks that it was told of.
        """
        if self._llm is not None:
            raise BrokenRunError(f"the adapter {name} came after vLLM had started")
        self._folders[name] = folder

    def start(self) -> None:
        """Load the base model, with room for the adapters.

        It is done before BM25 is imported, which brings numba where vLLM is installed: vLLM looks through what is
        imported when it starts on a CPU, and some of that cannot be looked at.

        Raises:
            BrokenRunError: vLLM cannot start.
        """
        settle_vllm()
        declared = self._declared
        try:
            from vllm import LLM

            self._llm = LLM(
                model=str(self._base.base_folder),
                dtype="float32",
                seed=0,
                generation_config="vllm",  # nothing is added to what is asked
                max_num_seqs=self._rows,
                max_model_len=declared.max_model_len or FITTED,
                gpu_memory_utilization=declared.gpu_memory_utilization,
                tensor_parallel_size=declared.tensor_parallel_size,
                enable_prefix_caching=True,
                async_scheduling=False,  # what a call began ends with it
                enforce_eager=True,  # a graph for each size of a batch would round in its own way
                disable_log_stats=True,
                trust_remote_code=False,
                **self._lora(),
            )
        except Exception as error:  # whatever its many parts say
            raise BrokenRunError(f"vLLM does not start: {type(error).__name__}: {error}") from error
        self._meter.model_loads += 1

    def _lora(self) -> dict[str, Any]:
        ranks = [_rank(folder) for folder in self._folders.values()]
        return {"enable_lora": True, "max_loras": 1, "max_lora_rank": _room_for(max(ranks))} if ranks else {}

    def has_room(self, tokens: int) -> bool:
        """Whether a prompt and what is read or written after it, this many tokens together, fit the longest context."""
        return bool(tokens <= self._llm.model_config.max_model_len)

    def answer(self, wave: Wave, settings: GenerationSettings, *, adapter: str | None) -> list[Generation]:
        """Answer every prompt of a wave.

        Raises:
            BrokenRunError: vLLM refuses a prompt.
        """
        from vllm import SamplingParams

        started, sampling = monotonic_seconds(), settings.sampling
        parameters = [
            SamplingParams(
                temperature=sampling.temperature,
                seed=None if sampling.temperature == 0 else _seed(sampling.seed, draw, prompt),
                max_tokens=settings.max_new_tokens,
                stop=list(settings.stop),
                stop_token_ids=sorted(stop_ids(self._base.tokenizer)),
                ignore_eos=True,  # ends are those of `stop_ids`, whatever vLLM reads of the model
                logprobs=TWO_BEST,
                detokenize=bool(settings.stop),
                skip_special_tokens=False,
            )
            for prompt, draw in wave
        ]
        found = self._ask([prompt for prompt, _ in wave], parameters, adapter)
        share = (monotonic_seconds() - started) / max(1, len(wave))
        return [self._generation(index, one, settings, share) for index, one in enumerate(found)]

    def score(self, unit: ScoringUnit, *, adapter: str | None) -> list[Scored]:
        """The scores of a unit.

        Each token of a continuation is read after all that stands before it, which is computed once. (vLLM reads no
        computed prefixes for the log-probabilities of a prompt, and its CPU build fails at them with an adapter.)

        Raises:
            BrokenRunError: vLLM refuses a prompt.
        """
        from vllm import SamplingParams

        places: dict[Tokens, dict[int, None]] = {}  # what stands before -> the tokens that may follow
        for context, branches in unit.tokens:
            for branch in branches:
                for place, token in enumerate(branch):
                    places.setdefault((*context, *branch[:place]), {})[token] = None
        asked = [(before, tokens) for before, wanted in places.items() for tokens in _in_turn(list(wanted))]
        width = max(len(tokens) for _, tokens in asked)
        parameters = [
            # Shorter lists would be filled up with token 0, which may be one of them.
            SamplingParams(max_tokens=1, temperature=0, logprob_token_ids=_filled(tokens, width), detokenize=False)
            for _, tokens in asked
        ]
        found: dict[tuple[Tokens, int], Scored] = {}
        for (before, tokens), one in zip(
            asked, self._ask([before for before, _ in asked], parameters, adapter), strict=True
        ):
            (answer,) = one.outputs
            (likely,) = answer.logprobs
            for token in tokens:
                found[before, token] = Scored(likely[token].logprob, answer.token_ids[0] == token)
        return [
            _summed([found[(*context, *branch[:place]), token] for place, token in enumerate(branch)])
            for context, branches in unit.tokens
            for branch in branches
        ]

    def _ask(self, prompts: Sequence[Sequence[int]], parameters: Sequence[Any], adapter: str | None) -> list[Any]:
        """VLLM's outputs for prompts that are computed together, in their order."""
        from vllm.lora.request import LoRARequest

        if not self._llm.reset_prefix_cache():
            raise BrokenRunError("vLLM still holds what it computed before, on which numbers would depend; run again")
        number = 0 if adapter is None else 1 + list(self._folders).index(adapter)
        lora = None if adapter is None else LoRARequest(adapter, number, str(self._folders[adapter]))
        try:
            found = self._llm.generate(
                [{"prompt_token_ids": list(prompt)} for prompt in prompts],
                list(parameters),
                use_tqdm=False,
                lora_request=lora,
            )
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever its many parts say
            raise BrokenRunError(f"vLLM does not answer: {type(error).__name__}: {error}") from error
        for one in found:
            self._meter.forwarded_tokens += len(one.prompt_token_ids) - (one.num_cached_tokens or 0)
            self._meter.decoded_rows += max(0, len(one.outputs[0].token_ids) - 1)
            self._meter.head_rows += len(one.outputs[0].token_ids)
        return list(found)

    def _generation(self, index: int, found: Any, settings: GenerationSettings, seconds: float) -> Generation:
        (answer,) = found.outputs
        tokens, ended = tuple(answer.token_ids), answer.finish_reason == "stop"
        self._meter.generated_tokens += len(tokens)
        likely = [sorted((one.logprob for one in place.values()), reverse=True)[:TWO_BEST] for place in answer.logprobs]
        greedy = settings.sampling.temperature == 0
        ends = stop_ids(self._base.tokenizer)
        end = tokens[-1] if tokens and tokens[-1] in ends else None
        kept = tokens[:-1] if end is not None else tokens
        return Generation(
            index=index,
            tokens=kept,
            text=answer_text(self._base.tokenizer, kept, settings.stop),
            ended=ended,
            end=end,
            near_tie=greedy and any(best - second < NEAR_TIE for best, second in likely),
            logprob=sum(place[token].logprob for token, place in zip(tokens, answer.logprobs, strict=True)),
            seconds=seconds,
        )


def _seed(seed: int, draw: int, prompt: Sequence[int]) -> int:
    """The row's own source of chance, so that no answer depends on its neighbours'."""
    identity = hashlib.sha256(repr((seed, draw, tuple(prompt))).encode()).digest()
    return int.from_bytes(identity[:4], "little")


def _in_turn(tokens: list[int]) -> list[list[int]]:
    """As many at a time as vLLM takes."""
    return [tokens[first : first + MOST_NAMED] for first in range(0, len(tokens), MOST_NAMED)]


def _filled(tokens: list[int], width: int) -> list[int]:
    return tokens + tokens[:1] * (width - len(tokens))


def _summed(scores: Sequence[Scored]) -> Scored:
    return Scored(sum(one.logprob for one in scores), all(one.is_greedy for one in scores))


def _rank(folder: Path) -> int:
    config = read_json(folder / ADAPTER_CONFIG)
    return int(config["r"]) if isinstance(config, dict) else 0


def _room_for(rank: int) -> int:
    """The least of the ranks that vLLM makes room for."""
    return next(room for room in (8, 16, 32, 64, 128, 256, 320, MOST_RANK) if room >= rank)
