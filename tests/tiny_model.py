"""A random Llama of a few thousand weights with a byte-level tokenizer, for plumbing."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harness.engine.artefacts import files_of
from harness.engine.loading import LoadedModel, load
from harness.engine.session import ModelSession
from harness.trust.digests import digest_file

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<|im_start|>", "<|im_end|>"]


def make_tiny_model(
    folder: Path, *, seed: int = 0, template: str = TEMPLATE, hidden: int = 32, ends: int | list[int] = 1
) -> Path:
    """Write a model folder: config, safetensors, tokenizer with a chat template."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=SPECIAL[0], eos_token=SPECIAL[1], pad_token=SPECIAL[1]
    )
    fast.chat_template = template
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.3,  # wide, so that answers differ and near ties are rare
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.eos_token_id = ends
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def load_tiny(folder: Path, *, seed: int = 0, hidden: int = 32) -> LoadedModel:
    """Make and load a tiny model."""
    return load("tiny", make_tiny_model(folder, seed=seed, hidden=hidden))


LABELS = ("red", "blue")


def write_tiny_suite(folder: Path, *, rows: int = 24, test_rows: int = 12, **changes: str) -> Path:
    """A suite that trains a tiny model on a task of two labels; `changes` replace its sections."""
    make_tiny_model(folder / "model")
    for name, first, count in (("train", 0, rows), ("test", 1000, test_rows)):
        lines = [
            json.dumps({"prompt": f"item {first + i}", "completion": LABELS[i % 2], "tags": [LABELS[i % 2]]})
            for i in range(count)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "plain.txt").write_text("Which colour?")
    lines = {
        "suite": "suite: tiny",
        "seed": "seed: 1",
        "model": "model: {path: model}",
        "data": "data: {train: train.jsonl, validation: 20%, test: test.jsonl}",
        "train": "train: {learning_rate: 1e-3, epochs: 2, rank: 4, alpha: 8}",
        "decoding": "decoding: {max_new_tokens: 4}",
        "systems": (
            "systems:\n"
            "  candidate: {kind: adapter, role: candidate, system: plain.txt}\n"
            "  bare: {kind: prompt, role: baseline, system: plain.txt}\n"
            "  few-shot: {kind: few_shot, role: baseline, shots: 2}\n"
            "  previous: {kind: adapter, role: baseline, from: promoted}"
        ),
        "checks": "checks:\n  - {kind: better_than}\n  - {kind: healthy_training}",
    }
    (folder / "suite.yaml").write_text("\n".join({**lines, **changes}.values()) + "\n")
    return folder


def make_tiny_adapter(model_folder: Path, target: Path, *, seed: int = 1, std: float = 0.5, **settings: object) -> Path:
    """An adapter with random weights in both factors, so that it changes the answers."""
    torch.manual_seed(seed)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear", **settings)  # type: ignore[arg-type]
    model = get_peft_model(load("tiny", model_folder).model, config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=std)
    model.save_pretrained(target)
    return target


def attach_as_it_is(session: ModelSession, name: str, folder: Path) -> None:
    """Attach what lies in a folder now, whatever it is; a run attaches only the files that it admitted."""
    session.attach(name, folder, {file: digest_file(folder / file) for file in files_of(folder)})
