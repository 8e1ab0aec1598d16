"""Train a candidate: the recipe, top to bottom, for every method and every objective."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from transformers import PrinterCallback

from harness.engine.artefacts import CLASSES
from harness.engine.loading import LoadedModel, load_quantised
from harness.engine.meter import Meter
from harness.engine.seeding import seed_everything
from harness.errors import InvalidInputError
from harness.files import write_json
from harness.progress import Progress
from harness.records import TrainingHistory
from harness.suite.training import VIRTUAL, Train
from harness.train.adapters import Trainable
from harness.train.checkpoints import Checkpoints
from harness.train.classify import Classes
from harness.train.preference import Preferences
from harness.train.processes import ALONE, Processes
from harness.train.rows import TrainingRows
from harness.train.sft import Completions
from harness.train.shares import UpdateShare, share_updates
from harness.train.watch import ValidationWatch


class Objective(Protocol):
    """What is learned from the rows, and how well: one file per objective."""

    task_type: str  # as PEFT calls it
    truncated: int  # rows that were cut at `max_length`
    validation_tokens: int  # tokens, or rows, that one measurement of the validation loss is a mean over
    labels: tuple[str, ...]  # the classes of a classifier

    @property
    def epoch_rows(self) -> int:
        """How many rows an epoch has."""

    def model(self, base: LoadedModel) -> Any:
        """The model that learns, around the base model's own weights."""

    def trainer(
        self, learning: Trainable, seed: int, arguments: dict[str, Any], callbacks: Sequence[Any], share: UpdateShare
    ) -> Any:
        """Transformers' or TRL's Trainer with these rows."""

    def validation_loss(self, learning: Trainable, meter: Meter) -> float:
        """The mean loss of the validation rows, in nats, without any effect of batch sizes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training: its seed, the folder for its result, and where it leaves checkpoints."""

    seed: int
    target: Path
    checkpoints: Checkpoints | None = None
    processes: Processes = ALONE  # those that train it together; the main one writes


def train_candidate(
    base: LoadedModel, rows: TrainingRows, train: Train, job: Job, *, meter: Meter, progress: Progress
) -> TrainingHistory:
    """Train on `base`, write the best weights to the folder `job.target`, and return what happened.

    The base model is left as it was found. The weights with the lowest validation loss are the candidate; the loss
    is measured before training and `checks_per_epoch` times an epoch. With `checkpoints`, a training that was
    interrupted goes on from the last measurement and ends with the same weights. Several processes call it alike; each
    trains on its share of every update, and the history is the same in all.

    Raises:
        InvalidInputError: rows that would be cut off, more than `max_truncated` of them, or that the objective
            cannot learn from.
    """
    refuse_processes(train, job.processes)
    processes = job.processes
    share = share_updates(
        processes.index, processes.count, batch_size=train.batch_size, accumulation=train.gradient_accumulation
    )
    if train.quantize is not None:
        base = load_quantised(base, train.quantize)
        meter.model_loads += 1
    objective = _objective(base, rows, train, meter)
    seed_everything(job.seed)  # before the adapter is made: its weights are random
    base.model.config.use_cache = False
    learning = Trainable(objective.model(base), train, base_name=base.name, task_type=objective.task_type)
    learned, total = learning.counts
    progress.say(f"training {learned:,} of {total:,} weights ({learned / total:.2%}){_together(processes)}")
    steps = math.ceil(objective.epoch_rows / share.rows)

    def measure() -> float:
        if processes.count == 1:
            return objective.validation_loss(learning, meter)
        loss, tokens = trainer.shared_loss(objective.validation_tokens, processes)
        meter.forwarded_tokens += tokens
        return float(loss)

    # A checkpoint of weights that are shared out is accelerate's own, in parts that this one does not know.
    checkpoints = None if processes.sharded else job.checkpoints
    watch = ValidationWatch(
        learning,
        measure,
        train.early_stopping,
        steps_per_epoch=steps,
        checkpoints=checkpoints,
        progress=progress,
        processes=processes,
    )
    with tempfile.TemporaryDirectory() as scratch:  # for a Trainer that keeps nothing
        folder = str(checkpoints.folder if checkpoints else scratch)
        arguments = training_arguments(train, job.seed, folder, base, share)
        trainer = watch.trainer = objective.trainer(learning, job.seed, arguments, [watch], share)
        trainer.remove_callback(PrinterCallback)
        if processes.count > 1:
            seed_everything(job.seed + processes.index)  # other dropout for other rows
        earlier = processes.decide(checkpoints.newest) if checkpoints is not None else None
        done = 0
        if earlier is not None:
            watch.resume(earlier)
            done = watch.points[-1].step
            progress.say(f"going on from step {done}, where the training was interrupted")
        progress.start("train", steps * train.epochs - done)
        with processes.together():
            trainer.train(resume_from_checkpoint=str(earlier) if earlier else None)
        trained_tokens = processes.total(trainer.trained_tokens)
        meter.trained_tokens += trained_tokens
    finite = watch.restore_best()
    if processes.is_main:
        learning.save(job.target, watch.best if processes.sharded else None)
        if objective.labels:
            write_json(job.target / CLASSES, list(objective.labels))
    if not processes.sharded:
        learning.release()
    base.model.config.use_cache = True
    return TrainingHistory(
        method=train.method if train.objective == "sft" else f"{train.method} {train.objective}",
        points=tuple(watch.points),
        best_step=watch.best_step,
        last_step=trainer.state.global_step,
        stop_reason=watch.reason or f"all {train.epochs} epochs are done",
        diverged=watch.diverged,
        stopped_early=bool(watch.reason),
        weights_finite=finite,
        trainable_parameters=learned,
        total_parameters=total,
        trained_tokens=trained_tokens,
        validation_tokens=objective.validation_tokens,
        train_rows=len(rows.train),
        mixed_rows=len(rows.mix),
        validation_rows=len(rows.validation),
        truncated_rows=objective.truncated,
        seconds=watch.seconds,
        world_size=processes.count,
    )


def refuse_processes(train: Train, processes: Processes) -> None:
    """Refuse what several processes cannot train together, which needs no model to be known.

    Raises:
        InvalidInputError: with what to do.
    """
    share_updates(0, processes.count, batch_size=train.batch_size, accumulation=train.gradient_accumulation)
    if processes.count > 1 and train.objective == "dpo":  # TRL takes the mean over one process's pairs
        raise InvalidInputError("train.objective: dpo is trained by one process; start it without `accelerate launch`")
    if processes.sharded and train.method in VIRTUAL:  # PEFT writes them from the model, not from gathered weights
        raise InvalidInputError(
            f"train.method: {train.method} learns too little to be sharded; start without FSDP or DeepSpeed"
        )


def _together(processes: Processes) -> str:
    return f" in {processes.count} processes" if processes.count > 1 else ""


def _objective(base: LoadedModel, rows: TrainingRows, train: Train, meter: Meter) -> Objective:
    match train.objective:
        case "dpo":
            return Preferences(base, rows, train, meter)
        case "classification":
            return Classes(base, rows, train)
        case _:
            return Completions(base, rows, train)


def training_arguments(train: Train, seed: int, folder: str, base: LoadedModel, share: UpdateShare) -> dict[str, Any]:
    """The suite's declaration in transformers' words; what else matters is set and not left to its default."""
    on_cpu = base.device.type == "cpu"
    return {
        "output_dir": folder,
        "per_device_train_batch_size": share.batch,
        "gradient_accumulation_steps": share.accumulation,
        "num_train_epochs": train.epochs,
        "learning_rate": train.learning_rate,
        "lr_scheduler_type": train.schedule,
        "warmup_steps": train.warmup,  # a share below 1
        "weight_decay": train.weight_decay,
        "seed": seed,
        "data_seed": seed,
        "remove_unused_columns": False,
        "gradient_checkpointing": False,
        "bf16": False,
        "fp16": False,
        "use_cpu": on_cpu,
        "dataloader_pin_memory": not on_cpu,
        "ddp_find_unused_parameters": False,  # every weight that learns is in every loss
        # The default hides NaN: it logs 0.0 and goes on.
        "logging_nan_inf_filter": False,
        "logging_steps": 1,
        "eval_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
