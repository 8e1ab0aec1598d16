"""Free answers of mixed lengths against transformers' `generate` in sorted batches and lm-eval's `generate_until`.

python -m tests.performance.generation --prompts 96 --tokens 128 --batch 32
"""

from __future__ import annotations

import json
import statistics
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from harness.engine.chat import encode_prompts, stop_ids
from harness.engine.generate import Generation, GenerationSettings
from harness.engine.meter import Meter
from harness.engine.session import ModelSession
from harness.records import Message
from tests.performance.measure import alternate, arguments, data_folder, real_model, report

SYSTEM = "You are a helpful assistant. Answer the question as briefly as you can, and say nothing else."


def main() -> None:
    """Compare the strings and the times of three ways to answer greedily."""
    asked = arguments(__doc__ or "", prompts=96, tokens=128, batch=32, repeats=1)
    base = real_model()
    conversations = _conversations(asked.prompts)
    prompts = encode_prompts(base.tokenizer, conversations)
    answers: dict[int, Generation] = {}
    texts: dict[str, list[str]] = {}

    def ours() -> dict[str, Any]:
        meter = Meter()
        settings = GenerationSettings(max_new_tokens=asked.tokens, batch_size=asked.batch)
        for answer in ModelSession(base, meter).generate(prompts, settings, adapter=None):
            answers[answer.index] = answer
        texts["harness"] = [answers[index].text for index in range(len(prompts))]
        return {
            "generated_tokens": meter.generated_tokens,
            "decoded_rows": meter.decoded_rows,
            "prompt_tokens": meter.forwarded_tokens,
        }

    def transformers() -> dict[str, Any]:
        texts["generate"], rows = _generate(base, prompts, asked.tokens, asked.batch)
        return {"decoded_rows": rows, "prompt_tokens": sum(map(len, prompts))}

    def lm_eval() -> dict[str, Any]:
        model = HFLM(pretrained=base.model, tokenizer=base.tokenizer, batch_size=asked.batch, device="cpu")
        rendered = [base.tokenizer.decode(prompt) for prompt in prompts]
        limits = {"until": [], "max_gen_toks": asked.tokens}
        requests = [Instance("generate_until", {}, (text, limits), place) for place, text in enumerate(rendered)]
        texts["lm-eval"] = model.generate_until(requests, disable_tqdm=True)
        return {}

    results = alternate({"harness": ours, "generate": transformers, "lm-eval": lm_eval}, repeats=asked.repeats)
    lengths = [len(answers[index].tokens) + answers[index].ended for index in range(len(prompts))]
    different = [i for i in range(len(prompts)) if texts["harness"][i] != texts["generate"][i]]
    report(
        "generation",
        results,
        ours="harness",
        rows=len(prompts),
        mean_tokens=statistics.mean(lengths),
        variation=statistics.pstdev(lengths) / statistics.mean(lengths),
        different_strings=len(different),
        different_and_no_near_tie=sum(not answers[index].near_tie for index in different),
        near_ties=sum(answer.near_tie for answer in answers.values()),
    )


def _conversations(count: int) -> list[list[Message]]:
    rows = (data_folder() / "self_instruct_seed.train.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(row)["messages"][0]["content"] for row in rows[:count]]
    return [[Message(role="system", content=SYSTEM), Message(role="user", content=text)] for text in texts]


@torch.inference_mode()
def _generate(base: Any, prompts: list[list[int]], tokens: int, batch: int) -> tuple[list[str], int]:
    """Sorted, left-padded batches; returns the texts and the rows that were decoded, finished ones included."""
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    ends, pad, rows = stop_ids(base.tokenizer), base.tokenizer.pad_token_id, 0
    texts = [""] * len(prompts)
    for first in range(0, len(order), batch):
        members = order[first : first + batch]
        width = max(len(prompts[index]) for index in members)
        ids = [[pad] * (width - len(prompts[index])) + prompts[index] for index in members]
        mask = [[0] * (width - len(prompts[index])) + [1] * len(prompts[index]) for index in members]
        output = base.model.generate(
            input_ids=torch.tensor(ids),
            attention_mask=torch.tensor(mask),
            max_new_tokens=tokens,
            do_sample=False,
            eos_token_id=sorted(ends),
            pad_token_id=pad,
        )[:, width:].tolist()
        rows += len(output) * len(output[0])
        for index, row in zip(members, output, strict=True):
            cut = next((place for place, token in enumerate(row) if token in ends), len(row))
            texts[index] = base.tokenizer.decode(row[:cut], skip_special_tokens=False)
    return texts, rows


if __name__ == "__main__":
    main()
