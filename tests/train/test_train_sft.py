"""The recipe on a tiny model: what is trained, what is kept, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_model import LABELS, attach_as_it_is, load_tiny

from harness.engine.chat import training_ids, with_system
from harness.engine.loading import load
from harness.engine.meter import Meter
from harness.engine.session import ModelSession
from harness.errors import InvalidInputError
from harness.progress import SilentProgress
from harness.records import Example, Message, TrainingHistory
from harness.suite.training import EarlyStopping, Train
from harness.train.recipe import Job, train_candidate
from harness.train.rows import TrainingRows

TRAIN = Train(rank=4, alpha=8.0, learning_rate=5e-3, epochs=3, batch_size=4, warmup=0.0)


def rows(count: int, first: int = 0) -> tuple[Example, ...]:
    return tuple(
        Example(id=str(i), messages=(Message(role="user", content=f"item {first + i}"),), target=LABELS[i % 2])
        for i in range(count)
    )


ROWS = TrainingRows(train=rows(24), mix=rows(4, 500), validation=rows(8, 100), system="Colour?")


def train(folder: Path, declared: Train = TRAIN, data: TrainingRows = ROWS, seed: int = 3) -> TrainingHistory:
    base = load_tiny(folder / "model")
    before = {name: tensor.clone() for name, tensor in base.model.state_dict().items()}
    job = Job(seed=seed, target=folder / "out")
    history = train_candidate(base, data, declared, job, meter=Meter(), progress=SilentProgress())
    after = base.model.state_dict()
    assert after.keys() == before.keys(), "the base model is given back without adapters"
    assert all(torch.equal(after[name], before[name]) for name in before)
    return history


def test_training_lowers_the_validation_loss_and_keeps_the_best_step(tmp_path: Path) -> None:
    history = train(tmp_path)
    losses = {p.step: p.validation_loss for p in history.points if p.validation_loss is not None}
    assert history.last_step == 3 * 7  # 28 rows in batches of 4
    assert len(losses) >= 1 + 4 * 3, "before training, and at least four times an epoch"
    assert min(losses, key=lambda step: (losses[step], step)) == history.best_step
    assert losses[history.best_step] < losses[0]
    assert (history.train_rows, history.mixed_rows, history.validation_rows) == (24, 4, 8)
    assert history.validation_tokens == sum(len(LABELS[i % 2]) + 1 for i in range(8))
    assert history.weights_finite and not history.diverged
    assert 0 < history.trainable_parameters < history.total_parameters
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert str(tmp_path) not in (tmp_path / "out" / "adapter_config.json").read_text()


def test_the_same_seed_gives_the_same_adapter_and_another_seed_another(tmp_path: Path) -> None:
    weights = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(tmp_path / name, replace_epochs(1), seed=seed)
        weights.append((tmp_path / name / "out" / "adapter_model.safetensors").read_bytes())
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]


def replace_epochs(epochs: int) -> Train:
    return TRAIN.model_copy(update={"epochs": epochs})


def test_the_saved_adapter_is_the_best_checkpoint_not_the_last(tmp_path: Path) -> None:
    # A rate that learns at first and then overshoots, with patience for all of it.
    stopping = EarlyStopping(patience=50)
    declared = TRAIN.model_copy(update={"learning_rate": 0.05, "schedule": "constant", "early_stopping": stopping})
    history = train(tmp_path, declared)
    assert 0 < history.best_step < history.last_step
    losses = {point.step: point.validation_loss for point in history.points}
    session = ModelSession(load("tiny", tmp_path / "model"), Meter())
    attach_as_it_is(session, "saved", tmp_path / "out")
    requests = [
        training_ids(session.tokenizer, with_system(row.messages, ROWS.system), row.target or "")
        for row in ROWS.validation
    ]
    total = -sum(item.logprob for item in session.score(requests, adapter="saved"))
    assert total / history.validation_tokens == pytest.approx(losses[history.best_step], abs=1e-5)


def test_patience_ends_the_training_and_says_why(tmp_path: Path) -> None:
    stopping = EarlyStopping(patience=1)
    declared = TRAIN.model_copy(update={"learning_rate": 0.05, "schedule": "constant", "early_stopping": stopping})
    history = train(tmp_path, declared)
    assert history.stopped_early and history.last_step < 3 * 7
    assert "has not improved by more than 0 in 1 measurements" in history.stop_reason


def test_training_that_becomes_infinite_is_said_to_diverge(tmp_path: Path) -> None:
    history = train(tmp_path, TRAIN.model_copy(update={"learning_rate": 1e30, "schedule": "constant"}))
    assert history.diverged
    assert "became" in history.stop_reason
    assert history.weights_finite, "the best checkpoint is kept, and it is finite"


def test_rows_that_would_be_cut_are_refused_and_counted_when_allowed(tmp_path: Path) -> None:
    long = (*rows(23), replace(rows(1)[0], id="long", messages=(Message(role="user", content="x" * 300),)))
    data = TrainingRows(train=long, mix=(), validation=rows(4, 100), system=None)
    short = TRAIN.model_copy(update={"max_length": 128, "epochs": 1})
    with pytest.raises(InvalidInputError, match="1 of 28 rows have more than 128 tokens"):
        train(tmp_path / "refused", short, data)
    history = train(tmp_path / "allowed", short.model_copy(update={"max_truncated": 0.05}), data)
    assert history.truncated_rows == 1
