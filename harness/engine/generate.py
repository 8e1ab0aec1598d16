"""Greedy answers in batches whose shape depends on the prompts and the settings only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from harness.clock import monotonic_seconds
from harness.engine.chat import stop_ids
from harness.engine.meter import Meter


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One answer: token ids without the end token, and whether it ended by itself."""

    index: int  # which prompt it answers
    tokens: tuple[int, ...]
    text: str
    ended: bool
    seconds: float


def generate_greedy(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    batch_size: int,
    meter: Meter,
) -> Iterator[Generation]:
    """Answer each prompt (token ids) greedily; yields batch by batch, shortest prompts first.

    `seconds` is a row's equal share of its batch. Source: greedy search of `transformers.generate`.
    """
    order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), index))
    ends = stop_ids(tokenizer)
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        started = monotonic_seconds()
        answers = _answer_batch(model, tokenizer, [prompts[row] for row in rows], max_new_tokens)
        share = (monotonic_seconds() - started) / len(rows)
        for row, tokens in zip(rows, answers, strict=True):
            cut = next((i for i, token in enumerate(tokens) if token in ends), None)
            kept = tokens if cut is None else tokens[:cut]
            meter.forwarded_tokens += len(prompts[row])
            meter.generated_tokens += len(kept) + (cut is not None)
            text = tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False)
            yield Generation(index=row, tokens=tuple(kept), text=text, ended=cut is not None, seconds=share)


@torch.inference_mode()
def _answer_batch(model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
    width = max(len(prompt) for prompt in prompts)
    pad = tokenizer.pad_token_id
    # The padding token can be the end token, so the mask comes from lengths, never from ids.
    ids = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    output = model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        temperature=None,
        top_p=None,
        top_k=None,
        eos_token_id=sorted(stop_ids(tokenizer)),
        pad_token_id=pad,
    )
    return [row[width:].tolist() for row in output]
