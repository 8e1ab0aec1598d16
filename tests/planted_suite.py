"""A suite whose data are in order, so that what a lint finds in it is what a test has planted."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from harness.records import Example, Message

LABELS = ("billing", "delivery", "none")
SUITE = """\
suite: planted
seed: 1
model: {path: model}
data: {train: train.jsonl, validation: 10%, test: test.jsonl, mix: {from: mix.jsonl, share: 10%}}
train: {method: lora, max_length: 400}
systems:
  candidate: {kind: adapter, role: candidate}
  bare: {kind: prompt, role: baseline}
checks:
  - {kind: better_than, scorer: exact_match, baselines: all}
"""
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

Row = dict[str, Any]
Rows = list[Row]


def prompts(count: int, seed: int, *, words: int = 15) -> list[str]:
    """Different sentences of invented words, all drawn alike."""
    vocabulary = random.Random("words")
    syllables = ["ba", "do", "fi", "gu", "ke", "lo", "mi", "na", "pe", "ru", "sa", "to", "vi", "wu", "ze"]
    known = sorted({"".join(vocabulary.choices(syllables, k=vocabulary.randint(2, 4))) for _ in range(400)})
    drawn = random.Random(seed)
    texts = (" ".join(drawn.choices(known, k=words + drawn.randint(-3, 3))) for _ in range(count))
    return [text.capitalize() + "?" for text in texts]


def labelled(count: int, seed: int) -> Rows:
    """Rows of three labels, equally often."""
    return [
        {"prompt": text, "completion": LABELS[place % len(LABELS)]} for place, text in enumerate(prompts(count, seed))
    ]


def general(count: int, seed: int) -> Rows:
    """Rows whose answers are sentences."""
    answers = prompts(count, seed + 1, words=9)
    return [
        {"prompt": prompt, "completion": f"{answer[:-1]}."}
        for prompt, answer in zip(prompts(count, seed), answers, strict=True)
    ]


def clean_rows() -> dict[str, Rows]:
    """Train, test and general rows with nothing to find in them."""
    return {"train": labelled(630, 1), "test": labelled(120, 2), "mix": general(40, 3)}


def write_planted(
    folder: Path, change: Callable[[dict[str, Rows]], object] | None = None, *, suite: str = SUITE, model: bool = False
) -> Path:
    """Write the suite with its rows changed in place by `change`; with a tokenizer where `model` is asked for.

    Else its model is one of the hub that is not on this machine.
    """
    rows = clean_rows()
    if change is not None:
        change(rows)
    folder.mkdir(parents=True, exist_ok=True)
    for name, own in rows.items():
        write_rows(folder / f"{name}.jsonl", own)
    if not model:
        suite = suite.replace("{path: model}", f"{{hub: not/here, revision: {'a' * 40}}}")
    (folder / "suite.yaml").write_text(suite, encoding="utf-8")
    if model:
        write_tokenizer(folder / "model")
    return folder


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Rows as JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_tokenizer(folder: Path, template: str = TEMPLATE) -> Path:
    """A folder that looks like a model's, with a tokenizer of one token a byte."""
    special = ["<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # The one merge makes a line break before a line break another token than two line breaks.
    vocabulary = {token: index for index, token in enumerate([*special, *alphabet, "ĊĊ"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("Ċ", "Ċ")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": special[0], "eos_token": {"content": special[1]}, "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "config.json").write_text("{}", encoding="utf-8")
    return folder


def example(prompt: str, target: str | None = "yes", *, source: str = "", system: str | None = None) -> Example:
    """One row as it is compared."""
    messages = [Message(role="user", content=prompt)]
    if system is not None:
        messages.insert(0, Message(role="system", content=system))
    return Example(id=prompt, messages=tuple(messages), target=target, source=source)
