"""Training speed against the defaults of TRL's SFTTrainer and of transformers' Trainer: same rows and updates.

python -m tests.performance.training --rows 64 --batch 8
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from datasets import Dataset
from transformers import DataCollatorForSeq2Seq, PrinterCallback, ProgressCallback, Trainer, TrainingArguments
from trl import SFTConfig, SFTTrainer

from harness.engine.loading import LoadedModel
from harness.suite.training import Train
from harness.train.adapters import Trainable
from harness.train.recipe import training_arguments
from harness.train.rows import IGNORED
from harness.train.shares import share_updates
from harness.train.trainer import CompletionTrainer
from tests.performance.measure import alternate, arguments, real_model, report

ANSWER = 24  # trained tokens a row


def main() -> None:
    """One epoch of rows of 32 to 512 tokens, completion only, r=16 on all linear layers, in float32."""
    asked = arguments(__doc__ or "", rows=64, batch=8, repeats=1, trl=1)
    base = real_model()
    chance = random.Random(0)
    rows = []
    for _ in range(asked.rows):
        ids = [chance.randrange(5, 40_000) for _ in range(chance.randint(32, 512))]
        rows.append({"input_ids": ids, "labels": [IGNORED] * (len(ids) - ANSWER) + ids[-ANSWER:]})
    tokens = sum(len(row["input_ids"]) for row in rows)

    def harness(learning: Trainable, scratch: str) -> Any:
        train = Train(epochs=1, batch_size=asked.batch)
        share = share_updates(0, 1, batch_size=asked.batch, accumulation=1)
        settings = TrainingArguments(**training_arguments(train, 0, scratch, base, share))
        return CompletionTrainer(learning, seed=0, rows=rows, validation=[], share=share, args=settings)

    def trl(learning: Trainable, scratch: str) -> Any:
        settings = SFTConfig(bf16=False, **_same(scratch, asked.batch))
        return SFTTrainer(
            model=learning.model, args=settings, train_dataset=Dataset.from_list(rows), processing_class=base.tokenizer
        )

    def trainer(learning: Trainable, scratch: str) -> Any:
        return Trainer(
            model=learning.model,
            args=TrainingArguments(**_same(scratch, asked.batch)),
            train_dataset=Dataset.from_list(rows),
            data_collator=DataCollatorForSeq2Seq(base.tokenizer),
        )

    makers = {"harness": harness, **({"TRL": trl} if asked.trl else {}), "Trainer": trainer}
    sides = {name: (lambda make=make: _train(base, make)) for name, make in makers.items()}
    report("training", alternate(sides, repeats=asked.repeats), ours="harness", tokens=tokens, rows=asked.rows)


def _same(scratch: str, batch: int) -> dict[str, Any]:
    """What is not a default, so that the same updates are made on the same machine."""
    return {
        "output_dir": scratch,
        "per_device_train_batch_size": batch,
        "num_train_epochs": 1,
        "learning_rate": 2e-4,
        "seed": 0,
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def _train(base: LoadedModel, make: Callable[[Trainable, str], Any]) -> dict[str, int]:
    torch.manual_seed(0)
    base.model.config.use_cache = False
    learning = Trainable(base.model, Train(), base_name=base.name)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = make(learning, scratch)
        for callback in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(callback)
        trainer.train()
        steps = trainer.state.global_step
    learning.release()
    base.model.gradient_checkpointing_disable()
    return {"updates": steps}


if __name__ == "__main__":
    main()
