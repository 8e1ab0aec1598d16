"""Two processes with the weights shared out by FSDP learn and save what one process learns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from sharded_together import KINDS
from test_train_distributed import HERE, LOSS_TOLERANCE, WEIGHT_TOLERANCE, differences, launch
from tiny_model import make_tiny_model
from trained_together import train_kinds

from harness.train.processes import Processes

pytestmark = pytest.mark.slow
SHARDED = ("--use_fsdp", "--fsdp_version", "2", "--fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP")
SHARDED += ("--fsdp_transformer_layer_cls_to_wrap", "LlamaDecoderLayer", "--fsdp_state_dict_type", "FULL_STATE_DICT")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Where both were saved, the histories of one process, and those of two with what was shared."""
    folder = tmp_path_factory.mktemp("sharded")
    make_tiny_model(folder / "model")
    alone = train_kinds(folder, Processes())
    done = launch(folder, HERE / "sharded_together.py", folder, kind=SHARDED)
    assert done.returncode == 0, done.stdout
    return folder, alone, json.loads((folder / "sharded.json").read_text())


@pytest.mark.parametrize("kind", KINDS)
def test_shared_weights_learn_what_whole_ones_learn(
    kind: str, trained: tuple[Path, dict[str, Any], dict[str, Any]]
) -> None:
    folder, alone, found = trained
    together = found["histories"][kind]
    for loss in ("train_loss", "validation_loss"):
        assert max(differences(alone[kind], together, loss)) < LOSS_TOLERANCE, loss
    own = {"points", "seconds", "begun", "world_size"}
    one, two = ({k: v for k, v in whole.items() if k not in own} for whole in (alone[kind], together))
    assert one == two
    name = "model" if kind == "full" else "adapter_model"
    ours, theirs = (load_file(folder / f"{kind} {count}" / f"{name}.safetensors") for count in (1, 2))
    assert ours.keys() == theirs.keys()
    assert max(float((ours[weight] - theirs[weight]).abs().max()) for weight in ours) < WEIGHT_TOLERANCE


def test_the_weights_were_shared_out(trained: tuple[Path, dict[str, Any], dict[str, Any]]) -> None:
    shared = trained[2]["shared"]
    assert len(shared) >= len(KINDS) and min(shared) >= 15
