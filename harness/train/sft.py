"""Supervised fine-tuning with LoRA: the recipe, top to bottom."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import PrinterCallback, TrainerCallback, TrainingArguments

from harness.clock import monotonic_seconds
from harness.engine.chat import training_ids, with_system
from harness.engine.loading import LoadedModel
from harness.engine.loglikelihood import score_continuations
from harness.engine.meter import Meter
from harness.engine.seeding import seed_everything
from harness.engine.session import ADAPTER_FILES
from harness.errors import InvalidInputError
from harness.files import write_json
from harness.progress import Progress
from harness.records import Example, LossPoint, TrainingHistory
from harness.suite.schema import Train
from harness.train.adapters import adapter_config
from harness.train.stopping import StopDecision, decide_stop
from harness.train.trainer import IGNORED, CompletionTrainer


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRows:
    """What a candidate learns from and what decides when it stops. The test set has no place here."""

    train: tuple[Example, ...]
    mix: tuple[Example, ...]
    validation: tuple[Example, ...]
    system: str | None  # the candidate's system message, as it will have when it answers


@dataclass(frozen=True, slots=True)
class _Tokenised:
    """One row as token ids, the answer apart from its prompt."""

    prompt: list[int]
    answer: list[int]

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.answer)


def train_lora(
    base: LoadedModel,
    rows: TrainingRows,
    train: Train,
    *,
    seed: int,
    target: Path,
    meter: Meter,
    progress: Progress,
) -> TrainingHistory:
    """Train a LoRA on `base`, write the best checkpoint to the folder `target`, and return what happened.

    The base model is left as it was found, without adapters. The checkpoint with the lowest validation loss is
    the candidate; the loss is the mean over all answer tokens of the validation rows, measured before training
    and `checks_per_epoch` times an epoch, so it does not depend on any batch size.

    Raises:
        InvalidInputError: rows that would be cut off, more than `max_truncated` of them.
    """
    started = monotonic_seconds()
    task, cut = _tokenise(base, rows.train, rows.system, train.max_length)
    general, cut_general = _tokenise(base, rows.mix, None, train.max_length)
    validation, cut_validation = _tokenise(base, rows.validation, rows.system, train.max_length)
    truncated = cut + cut_general + cut_validation
    _refuse_truncation(truncated, len(rows.train) + len(rows.mix) + len(rows.validation), train)

    seed_everything(seed)  # before the adapter is made: its weights are random
    base.model.config.use_cache = False
    model = get_peft_model(base.model, adapter_config(train))
    trainable, total = model.get_nb_trainable_parameters()
    progress.say(f"training {trainable:,} of {total:,} weights ({trainable / total:.2%})")
    steps = math.ceil(len(task + general) / (train.batch_size * train.gradient_accumulation))
    watch = _ValidationWatch(model, validation, train, steps_per_epoch=steps, meter=meter, progress=progress)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = CompletionTrainer(
            seed=seed,
            model=model,
            args=training_arguments(train, seed, scratch, base.device),
            train_dataset=_labelled(task + general),
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)
        progress.start("train", steps * train.epochs)
        trainer.train()
        last_step = trainer.state.global_step
        meter.trained_tokens += trainer.trained_tokens
    finite = watch.restore_best()
    _save(model, target, base.name)
    model.unload()
    base.model.config.use_cache = True
    base.model.requires_grad_(False).eval()
    return TrainingHistory(
        method=train.method,
        points=tuple(watch.points),
        best_step=watch.best_step,
        last_step=last_step,
        stop_reason=watch.reason or f"all {train.epochs} epochs are done",
        diverged=watch.diverged,
        stopped_early=bool(watch.reason),
        weights_finite=finite,
        trainable_parameters=int(trainable),
        total_parameters=int(total),
        trained_tokens=trainer.trained_tokens,
        validation_tokens=sum(len(row.answer) for row in validation),
        train_rows=len(rows.train),
        mixed_rows=len(rows.mix),
        validation_rows=len(rows.validation),
        truncated_rows=truncated,
        seconds=monotonic_seconds() - started,
    )


class _ValidationWatch(TrainerCallback):
    """Measures the validation loss on a schedule, keeps the best weights in memory, and stops the training."""

    def __init__(
        self,
        model: Any,
        validation: Sequence[_Tokenised],
        train: Train,
        *,
        steps_per_epoch: int,
        meter: Meter,
        progress: Progress,
    ) -> None:
        self.points: list[LossPoint] = []
        self.reason = ""
        self.diverged = False
        self.best_step = 0
        self._model, self._rows, self._train = model, validation, train
        self._every = max(1, steps_per_epoch // train.early_stopping.checks_per_epoch)
        self._per_epoch, self._meter, self._progress = steps_per_epoch, meter, progress
        self._best: dict[str, torch.Tensor] = {}
        self._losses: list[float] = []
        self._measured: list[int] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Measure the untrained model: what training must improve on."""
        self._measure(0, None, control)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Keep the training loss of the step; a non-finite loss or gradient ends the training."""
        if not logs or "loss" not in logs:
            return
        loss, gradient = float(logs["loss"]), float(logs.get("grad_norm", 0.0))
        self._progress.advance(1, note=f"loss {loss:.3f}")
        step = int(state.global_step)
        if math.isfinite(loss) and math.isfinite(gradient):
            due = step % self._every == 0 or step == state.max_steps
            if due:
                self._measure(step, loss, control)
            else:
                self._add(step, loss, None)
            return
        self.diverged = True
        what = "loss" if not math.isfinite(loss) else "gradient"
        self.reason = f"the training {what} became {loss if what == 'loss' else gradient} at step {step}"
        control.should_training_stop = True

    def _measure(self, step: int, train_loss: float | None, control: Any) -> None:
        loss = self._validation_loss()
        self._losses.append(loss)
        self._measured.append(step)
        self._add(step, train_loss, loss if math.isfinite(loss) else None)
        stopping = self._train.early_stopping
        if not math.isfinite(self._losses[0]):
            decision = StopDecision(stop=True, best=0, reason=f"the untrained validation loss is {loss}")
        else:
            decision = decide_stop(self._losses, patience=stopping.patience, min_delta=stopping.min_delta)
        self.best_step = self._measured[decision.best]
        if self.best_step == step:
            # Without "auto" for the embeddings, PEFT does not ask the hub whether they were resized.
            state = get_peft_model_state_dict(self._model, save_embedding_layers=False)
            self._best = {name: tensor.detach().clone() for name, tensor in state.items()}
        self.diverged = self.diverged or not math.isfinite(loss)
        if decision.stop:
            self.reason = f"step {step}: {decision.reason}"
            control.should_training_stop = True

    def _validation_loss(self) -> float:
        was_training = self._model.training
        self._model.eval()
        causal = self._model.get_base_model()
        scored = score_continuations(causal, [(row.prompt, row.answer) for row in self._rows], meter=self._meter)
        self._model.train(was_training)
        return -sum(item.logprob for item in scored) / sum(len(row.answer) for row in self._rows)

    def _add(self, step: int, train_loss: float | None, validation_loss: float | None) -> None:
        epoch = step / self._per_epoch
        point = LossPoint(step=step, epoch=epoch, train_loss=train_loss, validation_loss=validation_loss)
        self.points.append(point)

    def restore_best(self) -> bool:
        """Put the best weights back; returns whether all of them are finite."""
        set_peft_model_state_dict(self._model, self._best)
        return all(bool(torch.isfinite(tensor).all()) for tensor in self._best.values())


def _save(model: Any, target: Path, base_name: str) -> None:
    model.save_pretrained(target, safe_serialization=True, save_embedding_layers=False)
    (target / "README.md").unlink(missing_ok=True)
    # Where the base lies on this machine is no part of the adapter's identity.
    config = json.loads((target / ADAPTER_FILES[0]).read_text(encoding="utf-8"))
    write_json(target / ADAPTER_FILES[0], {**config, "base_model_name_or_path": base_name})


def count_tokens(base: LoadedModel, rows: TrainingRows, max_length: int) -> tuple[int, int]:
    """Tokens of one epoch, and of one measurement of the validation loss."""
    trained = _tokenise(base, rows.train, rows.system, max_length)[0] + _tokenise(base, rows.mix, None, max_length)[0]
    validation, _ = _tokenise(base, rows.validation, rows.system, max_length)
    return sum(row.length for row in trained), sum(row.length for row in validation)


def _tokenise(
    base: LoadedModel, examples: Sequence[Example], system: str | None, max_length: int
) -> tuple[list[_Tokenised], int]:
    """Token ids of each example, and how many are over `max_length` (their prompts lose their beginning)."""
    rows, cut = [], 0
    for example in examples:
        assert example.target is not None
        messages = with_system(example.messages, system)
        row = _Tokenised(*training_ids(base.tokenizer, messages, example.target))
        if row.length > max_length:
            cut += 1
            keep = max(1, max_length - len(row.answer))
            row = replace(row, prompt=row.prompt[-keep:], answer=row.answer[: max_length - 1])
        rows.append(row)
    return rows, cut


def _refuse_truncation(cut: int, rows: int, train: Train) -> None:
    if cut > train.max_truncated * rows:
        raise InvalidInputError(
            f"train.max_length: {cut} of {rows} rows have more than {train.max_length} tokens and would be cut; "
            "raise max_length, shorten the rows, or allow a share with train.max_truncated"
        )


def _labelled(rows: Sequence[_Tokenised]) -> list[dict[str, list[int]]]:
    return [{"input_ids": row.prompt + row.answer, "labels": [IGNORED] * len(row.prompt) + row.answer} for row in rows]


def training_arguments(train: Train, seed: int, scratch: str, device: torch.device) -> TrainingArguments:
    """The suite's declaration in transformers' words; what else matters is set and not left to its default."""
    on_cpu = device.type == "cpu"
    return TrainingArguments(
        output_dir=scratch,
        per_device_train_batch_size=train.batch_size,
        gradient_accumulation_steps=train.gradient_accumulation,
        num_train_epochs=train.epochs,
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.schedule,
        warmup_steps=train.warmup,  # a share below 1
        weight_decay=train.weight_decay,
        seed=seed,
        data_seed=seed,
        remove_unused_columns=False,
        gradient_checkpointing=False,
        bf16=False,
        fp16=False,
        use_cpu=on_cpu,
        dataloader_pin_memory=not on_cpu,
        # The default hides NaN: it logs 0.0 and goes on.
        logging_nan_inf_filter=False,
        logging_steps=1,
        eval_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
