"""What is admitted without torch is what PEFT makes, and what is loaded is what was admitted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_model import attach_as_it_is, make_tiny_model
from transformers import AutoConfig, AutoModelForCausalLM

from harness.engine.loading import load
from harness.engine.meter import Meter
from harness.engine.session import ModelSession
from harness.errors import BrokenRunError, InvalidInputError
from harness.trust.admission import admit
from harness.trust.expected_tensors import PLAIN, read_base

KINDS = {
    "Gemma2ForCausalLM": "gemma2",
    "Gemma3ForCausalLM": "gemma3_text",
    "GemmaForCausalLM": "gemma",
    "GraniteForCausalLM": "granite",
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "mistral",
    "Olmo2ForCausalLM": "olmo2",
    "OlmoForCausalLM": "olmo",
    "Phi3ForCausalLM": "phi3",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "SmolLM3ForCausalLM": "smollm3",
}
SETTINGS = (
    {"target_modules": "all-linear"},
    {"target_modules": ["o_proj", "down_proj"], "use_dora": True, "rank_pattern": {"layers.1.mlp.down_proj": 5}},
    {"target_modules": ["o_proj", "lm_head"], "layers_to_transform": [1], "lora_bias": True},
    {"target_modules": ["down_proj", "embed_tokens"], "exclude_modules": ["layers.0.mlp.down_proj"]},
)


@pytest.mark.parametrize("architecture", sorted(PLAIN))
def test_the_tensors_of_every_known_architecture_are_those_that_peft_makes(architecture: str, tmp_path: Path) -> None:
    config = AutoConfig.for_model(
        KINDS[architecture], vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=4, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    base = read_base(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    assert type(model).__name__ == architecture
    assert base.shapes == {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    for number, settings in enumerate(SETTINGS):
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
        folder = tmp_path / str(number)
        adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=3, **settings))  # type: ignore[arg-type]
        adapted.save_pretrained(folder, save_embedding_layers=False)
        admit(folder, base)
        if settings["target_modules"] == "all-linear":  # PEFT writes names in its place
            written = json.loads((folder / "adapter_config.json").read_text())
            (folder / "adapter_config.json").write_text(json.dumps(written | {"target_modules": "all-linear"}))
            admit(folder, base)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_tiny_model(tmp_path / "model")


def make_adapter(base: Path, target: Path) -> Path:
    torch.manual_seed(1)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(load("tiny", base).model, config).save_pretrained(target)
    return target


def test_only_the_bytes_that_were_admitted_are_loaded(base: Path, tmp_path: Path) -> None:
    folder = make_adapter(base, tmp_path / "given")
    admitted = admit(folder, read_base(base))
    session = ModelSession(load("tiny", base), Meter())
    session.attach("one", folder, admitted.files)
    (folder / "classes.json").write_text('["a", "b"]')  # would make a classifier of it, and was not there
    session.attach("two", folder, admitted.files)
    assert session.labels("two") == ()
    weights = bytearray((folder / "adapter_model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "adapter_model.safetensors").write_bytes(weights)
    with pytest.raises(BrokenRunError, match=r"adapter_model.safetensors: changed since the run read it first"):
        session.attach("three", folder, admitted.files)


@pytest.mark.parametrize("begun", ["pissa", "olora"])
def test_how_an_adapter_was_begun_with_never_changes_the_base_model(begun: str, base: Path, tmp_path: Path) -> None:
    folder = make_adapter(base, tmp_path / "given")
    written = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(written | {"init_lora_weights": begun}))
    with pytest.raises(InvalidInputError, match=f"`init_lora_weights` is {begun}"):
        admit(folder, read_base(base))
    session = ModelSession(load("tiny", base), Meter())
    before = {name: weight.clone() for name, weight in session.base.model.named_parameters()}
    attach_as_it_is(session, "one", folder)
    after = {name.replace(".base_layer", ""): weight for name, weight in session.base.model.named_parameters()}
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_a_base_model_that_changed_while_an_adapter_was_loaded_is_not_used(base: Path, tmp_path: Path) -> None:
    folder = make_adapter(base, tmp_path / "given")
    session = ModelSession(load("tiny", base), Meter())
    attach_as_it_is(session, "one", folder)
    weight = session.base.model.get_input_embeddings().weight
    with torch.no_grad():
        weight.data[3, 3] += 1e-6
    with pytest.raises(BrokenRunError, match="changed the base model's own weights"):
        attach_as_it_is(session, "two", folder)


def test_what_peft_cannot_attach_is_refused_in_words(base: Path, tmp_path: Path) -> None:
    folder = make_adapter(base, tmp_path / "given")
    written = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(written | {"target_modules": ["q_proj", "mlp"]}))
    session = ModelSession(load("tiny", base), Meter())
    with pytest.raises(InvalidInputError, match="cannot be attached to this base model"):
        attach_as_it_is(session, "one", folder)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "mistral"}, "`model_type` is not the base model's"),
        ({"rms_norm_eps": 0.1}, "`rms_norm_eps` is not the base model's"),
        ({"hidden_size": "wide"}, "cannot be attached to this base model"),
    ],
)
def test_a_whole_model_of_other_settings_is_refused(
    changes: dict[str, object], says: str, base: Path, tmp_path: Path
) -> None:
    folder = make_tiny_model(tmp_path / "given", seed=1)
    session = ModelSession(load("tiny", base), Meter())
    session.attach("same", folder, admit(folder, read_base(base)).files)
    written = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(written | changes))
    with pytest.raises(InvalidInputError, match=says):
        attach_as_it_is(session, "other", folder)
