"""Every method and every objective: the loss falls, what is saved is what was measured, the base is left alone."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tiny_model import LABELS, attach_as_it_is, load_tiny, make_tiny_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, Qwen2Config, Qwen2ForCausalLM

from harness.engine.chat import prompt_ids, training_ids, with_system
from harness.engine.generate import GenerationSettings
from harness.engine.loading import LoadedModel, load
from harness.engine.meter import Meter
from harness.engine.session import ModelSession
from harness.errors import InvalidInputError
from harness.progress import SilentProgress
from harness.records import Example, Message, TrainingHistory
from harness.suite.training import Train
from harness.train.recipe import Job, train_candidate
from harness.train.rows import TrainingRows

COMMON = {"epochs": 3, "batch_size": 4, "warmup": 0.0}
METHODS = {
    "lora": Train(method="lora", rank=4, alpha=8.0, learning_rate=5e-3, **COMMON),
    "rslora": Train(method="rslora", rank=4, alpha=8.0, learning_rate=5e-3, **COMMON),
    "dora": Train(method="dora", rank=4, alpha=8.0, learning_rate=5e-3, **COMMON),
    "prefix_tuning": Train(method="prefix_tuning", virtual_tokens=5, learning_rate=5e-2, **COMMON),
    "prompt_tuning": Train(method="prompt_tuning", virtual_tokens=5, learning_rate=5e-2, **COMMON),
    "full": Train(method="full", learning_rate=5e-3, **COMMON),
}
SYSTEM = "Colour?"


def ask(number: int) -> tuple[Message, ...]:
    return (Message(role="user", content=f"item {number}"),)


def labelled(count: int, first: int = 0) -> tuple[Example, ...]:
    return tuple(Example(id=str(i), messages=ask(first + i), target=LABELS[i % 2]) for i in range(count))


def preferences(count: int, first: int = 0) -> tuple[Example, ...]:
    return tuple(
        Example(id=str(i), messages=ask(first + i), target=LABELS[0], rejected=LABELS[1]) for i in range(count)
    )


def texts(count: int) -> tuple[Example, ...]:
    chance = random.Random(count)
    return tuple(
        Example(id=str(i), messages=(), target=" ".join(chance.choices(["red", "blue", "green"], k=9)))
        for i in range(count)
    )


def train(
    folder: Path, declared: Train, learned: tuple[Example, ...], held: tuple[Example, ...]
) -> tuple[LoadedModel, TrainingHistory]:
    base = load_tiny(folder / "model")
    before = {name: tensor.clone() for name, tensor in base.model.state_dict().items()}
    rows = TrainingRows(train=learned, mix=(), validation=held, system=SYSTEM)
    job = Job(seed=3, target=folder / "out")
    history = train_candidate(base, rows, declared, job, meter=Meter(), progress=SilentProgress())
    after = base.model.state_dict()
    assert after.keys() == before.keys() and all(torch.equal(after[name], before[name]) for name in before)
    assert "forward" not in vars(base.model), "the base model answers as it did"
    return base, history


def losses(history: TrainingHistory) -> list[float]:
    return [point.validation_loss for point in history.points if point.validation_loss is not None]


def requests(base: LoadedModel, rows: tuple[Example, ...]) -> list[tuple[list[int], list[int]]]:
    return [training_ids(base.tokenizer, with_system(row.messages, SYSTEM), row.target or "") for row in rows]


def attached(folder: Path) -> ModelSession:
    session = ModelSession(load("tiny", folder / "model"), Meter())
    attach_as_it_is(session, "it", folder / "out")
    return session


@pytest.mark.parametrize("method", METHODS)
def test_what_is_saved_scores_as_it_did_in_training(method: str, tmp_path: Path) -> None:
    held = labelled(8, 100)
    base, history = train(tmp_path, METHODS[method], labelled(24), held)
    assert min(losses(history)) < losses(history)[0]
    assert history.method == method
    session = attached(tmp_path)
    asked = requests(base, held)
    tuned = session.score(asked, adapter="it")
    assert -sum(s.logprob for s in tuned) / history.validation_tokens == pytest.approx(min(losses(history)), abs=1e-4)
    plain = session.score(asked, adapter=None)
    assert -sum(s.logprob for s in plain) / history.validation_tokens == pytest.approx(
        -sum(s.logprob for s in ModelSession(base, Meter()).score(asked, adapter=None)) / history.validation_tokens
    ), "without it the base model scores as ever"
    assert all(path.suffix in {".json", ".safetensors"} for path in (tmp_path / "out").iterdir())
    assert str(tmp_path) not in "".join(p.read_text() for p in (tmp_path / "out").glob("*.json"))


@pytest.mark.parametrize("method", METHODS)
def test_answers_are_those_of_the_library_that_loads_what_was_saved(method: str, tmp_path: Path) -> None:
    base, _ = train(tmp_path, METHODS[method], labelled(24), labelled(8, 100))
    if method == "full":
        other = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    else:
        plain = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
        other = PeftModel.from_pretrained(plain, tmp_path / "out")
    session = attached(tmp_path)
    prompts = [prompt_ids(base.tokenizer, with_system(ask(number), SYSTEM)) for number in (7, 100, 12345)]
    logits = session.next_token_logits(prompts, adapter="it")
    settings = GenerationSettings(max_new_tokens=6, batch_size=8)
    answers = {a.index: a for a in session.generate(prompts, settings, adapter="it")}
    for place, ids in enumerate(prompts):
        with torch.inference_mode():
            tokens = torch.tensor([ids])
            expected = other.eval()(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[0, -1]
            assert torch.allclose(logits[place], expected, atol=2e-4)
            logprob, written = 0.0, list(ids)
            for token in answers[place].tokens:
                tokens = torch.tensor([written])
                step = other(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[0, -1]
                assert int(step.argmax()) == token or answers[place].near_tie
                logprob += float(torch.log_softmax(step, dim=-1)[token])
                written.append(token)
            if not answers[place].ended:
                assert answers[place].logprob == pytest.approx(logprob, abs=1e-3)


def test_several_methods_share_one_base_model_and_leave_each_other_alone(tmp_path: Path) -> None:
    for method in METHODS:
        train(tmp_path / method, METHODS[method], labelled(24), labelled(8, 100))
    alone = {}
    prompts = None
    for method in METHODS:
        session = attached(tmp_path / method)
        prompts = prompts or [prompt_ids(session.tokenizer, with_system(ask(number), SYSTEM)) for number in (1, 2)]
        alone[method] = session.next_token_logits(prompts, adapter="it")
    together = ModelSession(load("tiny", tmp_path / "lora" / "model"), Meter())
    base = together.next_token_logits(prompts, adapter=None)
    for method in METHODS:
        attach_as_it_is(together, method, tmp_path / method / "out")
    for method in reversed(METHODS):
        assert torch.allclose(together.next_token_logits(prompts, adapter=method), alone[method], atol=1e-5)
    assert torch.equal(together.next_token_logits(prompts, adapter=None), base)


def test_preferences_raise_the_chosen_answer_above_the_rejected_one(tmp_path: Path) -> None:
    declared = METHODS["lora"].model_copy(update={"objective": "dpo", "beta": 0.5})
    held = preferences(8, 100)
    base, history = train(tmp_path, declared, preferences(24), held)
    assert losses(history)[0] == pytest.approx(0.693147, abs=1e-4), "log 2, where nothing is preferred yet"
    assert min(losses(history)) < 0.6
    assert history.method == "lora dpo"
    session = attached(tmp_path)
    rejected = tuple(Example(id=row.id, messages=row.messages, target=row.rejected) for row in held)
    margins = {}
    for adapter in (None, "it"):
        chosen = session.score(requests(base, held), adapter=adapter)
        others = session.score(requests(base, rejected), adapter=adapter)
        margins[adapter] = [c.logprob - r.logprob for c, r in zip(chosen, others, strict=True)]
    gains = torch.tensor(margins["it"]) - torch.tensor(margins[None])
    expected = torch.nn.functional.softplus(-0.5 * gains).mean()
    assert float(expected) == pytest.approx(min(losses(history)), abs=1e-4), "the DPO loss by its definition"


@pytest.mark.parametrize("method", ["lora", "prompt_tuning", "full"])
def test_continued_pretraining_learns_every_token_of_raw_text(method: str, tmp_path: Path) -> None:
    declared = METHODS[method].model_copy(update={"objective": "continued_pretraining", "max_length": 64})
    base, history = train(tmp_path, declared, texts(20), texts(6))
    assert min(losses(history)) < losses(history)[0]
    tokens = sum(len(base.tokenizer(row.target)["input_ids"]) + 1 for row in texts(6))
    blocks = -(-tokens // 64)
    assert history.validation_tokens == tokens - blocks, "all but the first of each block"


def test_a_classifier_answers_with_its_most_likely_class(tmp_path: Path) -> None:
    declared = METHODS["lora"].model_copy(update={"objective": "classification"})
    held = labelled(8, 100)
    base, history = train(tmp_path, declared, labelled(24), held)
    assert min(losses(history)) < losses(history)[0]
    session = attached(tmp_path)
    assert session.labels("it") == tuple(sorted(LABELS))
    prompts = [prompt_ids(base.tokenizer, with_system(row.messages, SYSTEM)) for row in held]
    found = dict(session.classify(prompts, adapter="it"))
    total = -sum(found[i][session.labels("it").index(str(row.target))] for i, row in enumerate(held))
    assert total / len(held) == pytest.approx(min(losses(history)), abs=1e-4)
    plain = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "model", num_labels=2, dtype=torch.float32, pad_token_id=base.tokenizer.pad_token_id
    )
    other = PeftModel.from_pretrained(plain, tmp_path / "out").eval()
    for place, ids in enumerate(prompts):
        with torch.inference_mode():
            expected = torch.log_softmax(other(input_ids=torch.tensor([ids])).logits[0], dim=-1)
        assert torch.allclose(torch.tensor(found[place]), expected, atol=1e-4)


def test_a_class_that_is_not_trained_is_refused_where_it_stands(tmp_path: Path) -> None:
    declared = METHODS["lora"].model_copy(update={"objective": "classification"})
    odd = (*labelled(7, 100), Example(id="odd", messages=ask(9), target="green", source="validation.jsonl:8"))
    with pytest.raises(InvalidInputError, match=r"validation.jsonl:8: the answer 'green' is not that of any training"):
        train(tmp_path, declared, labelled(24), odd)


@pytest.mark.parametrize("target", ["foo_proj", "self_attn"])
def test_a_target_that_is_no_linear_layer_is_refused_in_words(target: str, tmp_path: Path) -> None:
    declared = METHODS["lora"].model_copy(update={"targets": [target]})
    layers = "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"
    message = rf"^train\.targets: {target}: no LoRA can be added there; linear layers of the base model: {layers} \("
    with pytest.raises(InvalidInputError, match=message):
        train(tmp_path, declared, labelled(24), labelled(8, 100))


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_an_adapter_trained_on_a_quantised_base_is_judged_on_the_base_itself(bits: str, tmp_path: Path) -> None:
    declared = METHODS["lora"].model_copy(update={"quantize": bits})
    base = load_tiny(tmp_path / "model", hidden=64)
    held = labelled(8, 100)
    rows = TrainingRows(train=labelled(24), mix=(), validation=held, system=SYSTEM)
    meter = Meter()
    job = Job(seed=3, target=tmp_path / "out")
    history = train_candidate(base, rows, declared, job, meter=meter, progress=SilentProgress())
    assert meter.model_loads == 1, "the quantised copy"
    assert min(losses(history)) < losses(history)[0]
    scored = attached(tmp_path).score(requests(base, held), adapter="it")
    loss = -sum(item.logprob for item in scored) / history.validation_tokens
    assert loss < (losses(history)[0] + min(losses(history))) / 2, "what was learned holds on the base itself"
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"


def with_biases(folder: Path) -> LoadedModel:
    """A tiny model of an architecture whose attention has biases of its own."""
    make_tiny_model(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=258, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return load("biased", folder)


@pytest.mark.parametrize("bias", ["all", "lora_only"])
def test_biases_of_the_base_model_are_never_replaced(bias: str, tmp_path: Path) -> None:
    base = with_biases(tmp_path / "model")
    before = {name: tensor.clone() for name, tensor in base.model.state_dict().items()}
    other = with_biases(tmp_path / "other").model
    model = get_peft_model(other, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"], bias=bias))
    for name, weight in model.named_parameters():
        if name.endswith("q_proj.base_layer.bias"):
            torch.nn.init.ones_(weight)
    model.save_pretrained(tmp_path / "elsewhere")
    session = ModelSession(base, Meter())
    with pytest.raises(InvalidInputError, match=r"replaces [0-9]+ of the base model's own biases"):
        attach_as_it_is(session, "it", tmp_path / "elsewhere")
    after = base.model.state_dict()
    kept = {name.replace(".base_layer", ""): tensor for name, tensor in after.items() if "lora_" not in name}
    assert kept.keys() == before.keys() and all(torch.equal(kept[name], before[name]) for name in before)
