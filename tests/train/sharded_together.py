"""Trainings whose weights are shared out by FSDP, on processors that accelerate takes for GPUs.

accelerate shares weights out on GPUs only, while torch does so over gloo too; nothing else is changed here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import trained_together
from accelerate import PartialState
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor

from harness.train.processes import Processes
from harness.train.trainer import Recipe

KINDS = ("uneven shares", "classification", "dora", "full")
shared: list[int] = []  # how many of the weights were parts, each time that they were gathered


def as_on_gpus(*_: Any, **__: Any) -> tuple[str, DistributedType]:
    return "gloo", DistributedType.MULTI_GPU


def on_the_processor(state: PartialState) -> None:
    state.device = torch.device("cpu")


def noted(recipe: Any) -> dict[str, torch.Tensor]:
    shared.append(sum(isinstance(weight, DTensor) for weight in recipe.model.parameters()))
    return gather(recipe)


gather = Recipe.whole_state


if __name__ == "__main__":
    PartialState._prepare_backend, PartialState.set_device = as_on_gpus, on_the_processor
    Recipe.whole_state = noted  # type: ignore[method-assign]
    state, place = PartialState(), Path(sys.argv[1])
    trained_together.KINDS = {kind: trained_together.KINDS[kind] for kind in KINDS}
    joined = Processes(index=state.process_index, count=state.num_processes, sharded=True)
    histories = trained_together.train_kinds(place, joined)
    if joined.is_main:
        (place / "sharded.json").write_text(json.dumps({"histories": histories, "shared": shared}))
