"""Answers, the chat template, and adapters around one base model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file
from tiny_model import attach_as_it_is, load_tiny, make_tiny_adapter, make_tiny_model

from harness.data.local_tokenizer import LocalTokenizer
from harness.engine.catalogue import locate
from harness.engine.chat import prompt_ids, stop_ids, training_ids, with_system
from harness.engine.ends import end_tokens
from harness.engine.loading import LoadedModel, load
from harness.engine.meter import Meter
from harness.engine.session import ModelSession
from harness.errors import InvalidInputError
from harness.records import Message
from harness.suite.declaration import LocalModel

ASK = (Message(role="user", content="hello there"),)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_tiny(tmp_path_factory.mktemp("model"))


def test_training_continues_exactly_where_answering_begins(tiny: LoadedModel) -> None:
    prompt, answer = training_ids(tiny.tokenizer, ASK, "fine")
    assert prompt == prompt_ids(tiny.tokenizer, ASK)
    assert tiny.tokenizer.decode(answer) == "fine<|im_end|>"


TURNS = (
    "{% for m in messages %}{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}assistant\n{% else %}<|im_start|>{% endif %}"
)


@pytest.mark.parametrize("ends", [0, [0, 1], [1]])
def test_training_ends_with_the_end_of_a_turn_that_only_the_base_model_names(
    ends: int | list[int], tmp_path: Path
) -> None:
    folder = make_tiny_model(tmp_path / "model", template=TURNS, ends=ends)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "eos_token": "<|im_start|>"}))
    for tokenizer in (load("tiny", folder).tokenizer, LocalTokenizer(folder)):
        named = {ends} if isinstance(ends, int) else set(ends)
        assert stop_ids(tokenizer) == {0, *named}, "the end of a text, and of a turn"
        _, answer = training_ids(tokenizer, ASK, "fine<|im_end|>er")
        end = "<|im_end|>" if 1 in named else "<|im_end|>\n<|im_start|>"
        assert tokenizer.decode(answer) == f"fine<|im_end|>er{end}"


def test_what_ends_an_answer_is_read_of_the_model_where_no_file_says_how_it_writes(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"text_config": {"eos_token_id": [7, 106]}}')
    assert end_tokens(tmp_path, 1) == {1, 7, 106}
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": null}')
    assert end_tokens(tmp_path, 1) == {1}


@pytest.mark.parametrize(
    "named", ['{"eos_token_id": "</s>"}', '{"eos_token_id": [true]}', '{"eos_token_id": -1}', "[]"]
)
def test_a_model_whose_end_tokens_cannot_be_read_is_refused(named: str, tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path / "model")
    (folder / "generation_config.json").write_text(named)
    for read in (lambda: load("tiny", folder), lambda: LocalTokenizer(folder)):
        with pytest.raises(InvalidInputError, match=r"generation_config.json: (eos_token_id is|must be a JSON object)"):
            read()


def test_a_template_that_puts_something_between_prompt_and_answer_is_refused(tmp_path: Path) -> None:
    template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}{% if m['role'] == 'assistant' %} thinks{% endif %}\n"
        "{{ m['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    model = load("odd", make_tiny_model(tmp_path / "odd", template=template))
    with pytest.raises(InvalidInputError, match="training and answering would differ"):
        training_ids(model.tokenizer, ASK, "fine")


def test_the_system_message_replaces_the_rows_own() -> None:
    own = (Message(role="system", content="old"), *ASK)
    assert [m.content for m in with_system(own, "new")] == ["new", "hello there"]
    assert with_system(own, None) == own


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    base = make_tiny_model(tmp_path / "model")
    return {
        "base": base,
        "one": make_tiny_adapter(base, tmp_path / "one", seed=1),
        "two": make_tiny_adapter(base, tmp_path / "two", seed=2),
    }


def test_adapters_are_switched_and_the_base_stays_what_it_was(folders: dict[str, Path]) -> None:
    session = ModelSession(load("tiny", folders["base"]), Meter())
    prompts = session.encode([ASK])
    before = session.next_token_logits(prompts, adapter=None)
    attach_as_it_is(session, "one", folders["one"])
    attach_as_it_is(session, "two", folders["two"])
    one, two = (session.next_token_logits(prompts, adapter=name) for name in ("one", "two"))
    assert not torch.allclose(one, before) and not torch.allclose(two, before) and not torch.allclose(one, two)
    assert torch.equal(session.next_token_logits(prompts, adapter="one"), one)
    assert torch.equal(session.next_token_logits(prompts, adapter=None), before)
    assert session.meter.model_loads == 0  # the session never loads a base model
    pristine = load_file(folders["base"] / "model.safetensors")
    for name, tensor in session.base.model.state_dict().items():
        plain = name.replace(".base_layer", "")
        if plain in pristine:
            assert torch.equal(tensor, pristine[plain])


def damage_missing(tensors: dict[str, torch.Tensor]) -> None:
    tensors.pop(sorted(tensors)[0])


def damage_extra(tensors: dict[str, torch.Tensor]) -> None:
    tensors["base_model.model.model.embed_tokens.weight"] = torch.zeros(258, 32)


def damage_nan(tensors: dict[str, torch.Tensor]) -> None:
    tensors[sorted(tensors)[0]].view(-1)[0] = float("nan")


def damage_shape(tensors: dict[str, torch.Tensor]) -> None:
    tensors[sorted(tensors)[0]] = torch.zeros(5, 5)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_missing, "1 tensors are missing"),
        (damage_extra, "not part of this adapter"),
        (damage_nan, "not finite"),
        (damage_shape, "of another shape"),
    ],
)
def test_a_damaged_adapter_is_refused(damage: object, message: str, folders: dict[str, Path]) -> None:
    weights = folders["one"] / "adapter_model.safetensors"
    tensors = load_file(weights)
    damage(tensors)  # type: ignore[operator]
    save_file(tensors, weights)
    session = ModelSession(load("tiny", folders["base"]), Meter())
    embedding = session.base.model.get_input_embeddings().weight.clone()
    with pytest.raises(InvalidInputError, match=message):
        attach_as_it_is(session, "one", folders["one"])
    assert torch.equal(session.base.model.get_input_embeddings().weight, embedding)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    session = ModelSession(load_tiny(tmp_path / "model"), Meter())
    with pytest.raises(InvalidInputError, match="neither an adapter folder"):
        attach_as_it_is(session, "one", tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.safetensors.index.json", '{"weight_map": {"a": "../other/model.safetensors"}}', "files of this folder"),
        ("model.safetensors.index.json", '{"weight_map": {"a": ".model.safetensors"}}', "files of this folder"),
        ("adapter_config.json", '{"base_model_name_or_path": "../other"}', "loads the model that the adapter names"),
    ],
)
def test_a_model_whose_weights_would_be_read_from_elsewhere_is_refused(
    file: str, content: str, message: str, tmp_path: Path
) -> None:
    folder = make_tiny_model(tmp_path / "model")
    (folder / file).write_text(content)
    with pytest.raises(InvalidInputError, match=message):
        load("tiny", folder)


def test_models_that_cannot_be_found_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="not in the catalogue"):
        locate("gpt-9", suite_folder=tmp_path, cache=tmp_path)
    with pytest.raises(InvalidInputError, match="not a model folder"):
        locate(LocalModel(path="nowhere"), suite_folder=tmp_path, cache=tmp_path)


def test_divergence_is_that_of_the_full_distributions(folders: dict[str, Path]) -> None:
    session = ModelSession(load("tiny", folders["base"]), Meter())
    attach_as_it_is(session, "one", folders["one"])
    prompt, answer = training_ids(session.tokenizer, ASK, "fine")
    ids = torch.tensor([prompt + answer])
    logprobs = []
    for adapter in (None, "one"):
        with session.using(adapter) as ready, torch.inference_mode():
            logprobs.append(torch.log_softmax(ready.model(ids).logits[0, len(prompt) - 1 : -1].double(), dim=-1))
    expected = torch.nn.functional.kl_div(logprobs[1], logprobs[0], reduction="none", log_target=True).sum(-1).mean()
    assert session.divergence(prompt, answer, adapter="one") == pytest.approx(float(expected), rel=1e-5)
    assert session.divergence(prompt, answer, adapter="one") > 0.01


@pytest.mark.parametrize(
    ("settings", "switched"),
    [({}, True), ({"use_rslora": True, "lora_alpha": 7}, True), ({"use_dora": True}, False), ({"bias": "all"}, False)],
    ids=["LoRA", "rsLoRA", "DoRA", "biases"],
)
def test_an_adapter_adds_what_peft_adds(settings: dict[str, object], switched: bool, tmp_path: Path) -> None:
    base = make_tiny_model(tmp_path / "model")
    adapter = make_tiny_adapter(base, tmp_path / "adapter", seed=1, **settings)
    session = ModelSession(load("tiny", base), Meter())
    prompts = session.encode([ASK])
    before = session.next_token_logits(prompts, adapter=None)
    attach_as_it_is(session, "one", adapter)
    layers = [module for module in session.base.model.modules() if isinstance(module, LoraLayer)]
    assert {"forward" in vars(layer) for layer in layers} == {switched}
    reference = PeftModel.from_pretrained(load("tiny", base).model, adapter).eval()
    with torch.inference_mode():
        expected = reference(input_ids=torch.tensor(prompts)).logits[:, -1]
    torch.testing.assert_close(session.next_token_logits(prompts, adapter="one"), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(session.next_token_logits(prompts, adapter=None), before)
    assert not torch.allclose(expected, before)
