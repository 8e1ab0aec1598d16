"""An adapter that a server could not serve as it was judged is refused from its configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import InvalidInputError
from harness.trust.servable import MOST_RANK, base_named_by, is_servable, refuse_unservable

LORA = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "r": 16,
    "lora_alpha": 32,
    "bias": "none",
    "target_modules": ["q_proj", "v_proj"],
    "modules_to_save": None,
    "rank_pattern": {},
    "use_rslora": True,
    "base_model_name_or_path": "some/model",
}


def adapter(folder: Path, **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({**LORA, **changes}))
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def test_plain_lora_is_servable_up_to_the_servers_rank(tmp_path: Path) -> None:
    refuse_unservable(adapter(tmp_path), max_lora_rank=16)
    assert base_named_by(tmp_path) == "some/model"


def test_the_adapters_of_peft_itself_are_servable(tmp_path: Path) -> None:
    promoted = Path(__file__).parents[2] / "baselines" / "ticket-triage" / "brief" / "adapter"
    refuse_unservable(promoted, max_lora_rank=16)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"r": 17}, "`r` is 17, and the server's `max_lora_rank` 16"),
        ({"r": None}, "`r` is no rank"),
        ({"r": True}, "`r` is no rank"),
        ({"modules_to_save": ["lm_head"]}, "`modules_to_save`"),
        ({"use_dora": True}, "`use_dora`"),
        ({"bias": "lora_only"}, "`bias`"),
        ({"lora_bias": True}, "`lora_bias`"),
        ({"rank_pattern": {"q_proj": 4}}, "`rank_pattern`"),
        ({"alpha_pattern": {"q_proj": 4}}, "`alpha_pattern`"),
        ({"layer_replication": [[0, 4]]}, "`layer_replication`"),
        ({"peft_type": "PREFIX_TUNING"}, "`peft_type` 'PREFIX_TUNING'"),
        ({"peft_type": "PROMPT_TUNING"}, "`peft_type` 'PROMPT_TUNING'"),
        ({"task_type": "SEQ_CLS"}, "`task_type` 'SEQ_CLS'"),
        ({"target_modules": ["q_proj", "model.embed_tokens"]}, "`target_modules` has model.embed_tokens"),
        ({"target_modules": ["lm_head"]}, "`target_modules` has lm_head"),
        ({"target_modules": "lm_head"}, "`target_modules` has lm_head"),
        ({"target_modules": ["model.language.lm_head"]}, "`target_modules` has model.language.lm_head"),
        ({"r": 0}, "`r` is no rank"),
    ],
)
def test_what_no_server_serves_is_named(changes: dict[str, object], named: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"adapter_config\.json: ") as caught:
        refuse_unservable(adapter(tmp_path, **changes), max_lora_rank=16)
    assert named in str(caught.value)


def test_a_classifier_and_a_whole_model_are_refused(tmp_path: Path) -> None:
    (adapter(tmp_path / "classifier") / "classes.json").write_text('["a", "b"]')
    with pytest.raises(InvalidInputError, match="a classifier"):
        refuse_unservable(tmp_path / "classifier", max_lora_rank=16)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(InvalidInputError, match="a whole model"):
        refuse_unservable(tmp_path / "model", max_lora_rank=16)


@pytest.mark.parametrize("changes", [{"r": 1}, {"task_type": None}, {"target_modules": "all-linear"}])
def test_an_adapter_is_servable_when_it_is_as_plain_as_can_be(changes: dict[str, object], tmp_path: Path) -> None:
    folder = adapter(tmp_path, **changes)
    refuse_unservable(folder, max_lora_rank=16)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({key: config[key] for key in config if key != "bias"}))
    refuse_unservable(folder, max_lora_rank=16)


def test_a_configuration_is_refused_and_names_no_base_when_it_is_no_object(tmp_path: Path) -> None:
    folder = adapter(tmp_path)
    (folder / "adapter_config.json").write_text("[]")
    with pytest.raises(InvalidInputError, match=r"adapter_config\.json: must be a JSON object"):
        refuse_unservable(folder, max_lora_rank=16)
    assert base_named_by(folder) == ""


@pytest.mark.parametrize("name", [None, 7, ["some/model"]])
def test_no_base_is_named_when_the_name_is_no_text(name: object, tmp_path: Path) -> None:
    assert base_named_by(adapter(tmp_path, base_model_name_or_path=name)) == ""


def test_an_adapter_is_servable_when_its_rank_is_the_largest_that_an_engine_makes_room_for(tmp_path: Path) -> None:
    assert is_servable(adapter(tmp_path, r=MOST_RANK)) is True
    assert is_servable(adapter(tmp_path, r=MOST_RANK + 1)) is False
