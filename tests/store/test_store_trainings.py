"""A training that is kept is given back as it was, or not at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.records import TrainingHistory
from harness.store.trainings import TrainingStore

KEY = "ab" * 32
HISTORY = TrainingHistory(
    method="lora",
    points=(),
    best_step=3,
    last_step=4,
    stop_reason="all 1 epochs are done",
    diverged=False,
    stopped_early=False,
    weights_finite=True,
    trainable_parameters=10,
    total_parameters=100,
    trained_tokens=1000,
    validation_tokens=50,
    train_rows=20,
    mixed_rows=0,
    validation_rows=2,
    truncated_rows=0,
    seconds=1.5,
)


@pytest.fixture
def store(tmp_path: Path) -> TrainingStore:
    return TrainingStore(tmp_path / "trainings")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def test_what_was_kept_is_given_back(store: TrainingStore, adapter: Path, tmp_path: Path) -> None:
    assert store.fetch(KEY, tmp_path / "before") is None
    (store.folder / KEY / "checkpoint-3").mkdir(parents=True)
    store.keep(KEY, adapter, HISTORY)
    assert store.fetch(KEY, tmp_path / "again") == HISTORY
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == {
        path.name: path.read_bytes() for path in adapter.iterdir()
    }
    assert store.fetch("cd" * 32, tmp_path / "other") is None
    assert not (store.folder / KEY / "checkpoint-3").exists(), "what led to it is not needed any more"
    (one,) = store.summary()
    assert (one.key, one.finished) == (KEY, True)


DAMAGES = {
    "a changed byte": lambda result: (result / "adapter_model.safetensors").write_bytes(b"Weights"),
    "another file": lambda result: (result / "more.json").write_text("{}"),
    "a missing file": lambda result: (result / "adapter_config.json").unlink(),
    "another history": lambda result: (result / "history.json").write_text(
        (result / "history.json").read_text().replace("1000", "1001")
    ),
    "no seal": lambda result: (result / "seal.json").unlink(),
    "a broken seal": lambda result: (result / "seal.json").write_text("{"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_damaged_is_not_given_back_and_can_be_kept_anew(
    damage: str, store: TrainingStore, adapter: Path, tmp_path: Path
) -> None:
    store.keep(KEY, adapter, HISTORY)
    DAMAGES[damage](store.folder / KEY / "result")
    assert store.fetch(KEY, tmp_path / "again") is None
    assert not (tmp_path / "again").exists()
    store.keep(KEY, adapter, replace(HISTORY, best_step=2))
    assert store.fetch(KEY, tmp_path / "again") == replace(HISTORY, best_step=2)


def test_the_history_of_an_adapter_is_known_by_its_bytes(store: TrainingStore, adapter: Path) -> None:
    store.keep(KEY, adapter, replace(HISTORY, world_size=2))
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in adapter.iterdir()}
    assert store.history_of(files) == replace(HISTORY, world_size=2)
    assert store.history_of({**files, "adapter_config.json": "00" * 32}) is None
    (store.folder / KEY / "result" / "history.json").write_text("{}")
    assert store.history_of(files) is None, "it is not as it was kept"


def test_the_seal_names_every_file(store: TrainingStore, adapter: Path) -> None:
    store.keep(KEY, adapter, HISTORY)
    seal = json.loads((store.folder / KEY / "result" / "seal.json").read_text())
    assert sorted(seal) == ["adapter_config.json", "adapter_model.safetensors", "history.json"]


def test_a_training_began_when_it_was_begun_first(store: TrainingStore, adapter: Path) -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    with store.working(KEY):
        assert store.begun(KEY, first) == first.isoformat()
    store.keep(KEY, adapter, HISTORY)
    with store.working(KEY):
        assert store.begun(KEY, first + timedelta(days=1)) == first.isoformat(), "resumed, or trained again"
    (store.folder / KEY / "begun").write_text("damaged")
    assert store.begun(KEY, first) is None
