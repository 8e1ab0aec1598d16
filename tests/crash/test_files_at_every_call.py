"""What `harness.files` promises, and the trainings that are kept with it, at every call that can fail."""

from __future__ import annotations

import errno
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from evidence_factory import history_of
from faulty_os import Fault, FaultyOs, Killed

from harness.files import append_line, hold, make_folder, new_folder, remove_tree, write_bytes
from harness.store.trainings import TrainingStore
from harness.train.checkpoints import Checkpoints

OLD, NEW = {"file": b"old", "folder/a": b"a"}, {"file": b"new", "folder/a": b"a"}
KEY, HISTORY = "ab" * 32, history_of((2.0, 1.0), best=1)
NOW = datetime(2026, 1, 5, 12, 40, tzinfo=UTC)


def replace_file(folder: Path) -> None:
    write_bytes(folder / "file", b"new")


def append_to_file(folder: Path) -> None:
    append_line(folder / "file", "line")


def build_folder(folder: Path) -> None:
    with new_folder(folder / "built") as building:
        (building / "by a library").write_bytes(b"1")  # which leaves it to us to make it durable
        write_bytes(building / "inner" / "file", b"2")


def remove_folder(folder: Path) -> None:
    remove_tree(folder / "folder")


def make_folders(folder: Path) -> None:
    make_folder(folder / "x" / "y")
    write_bytes(folder / "x" / "y" / "file", b"")


ACTS: dict[str, tuple[Callable[[Path], None], dict[str, bytes]]] = {
    "a file is replaced": (replace_file, NEW),
    "a line is appended": (append_to_file, {**OLD, "file": b"old\nline\n"}),
    "a folder is built": (build_folder, {**OLD, "built/by a library": b"1", "built/inner/file": b"2"}),
    "a folder is removed": (remove_folder, {"file": b"old"}),
    "folders are made for a file": (make_folders, {**OLD, "x/y/file": b""}),
}


def fill(folder: Path) -> Path:
    for name, content in OLD.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def files_in(folder: Path, *, unfinished: bool = False) -> dict[str, bytes]:
    """The files by their path; those that were left unfinished only when asked for."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if unfinished or ".part" not in name}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("fault", Fault)
def test_the_old_or_the_new_is_there_when_any_call_fails(
    act: str, fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do, after = ACTS[act]
    system = FaultyOs()
    monkeypatch.setattr("harness.files.os", system)
    do(fill(tmp_path / "whole"))
    assert files_in(tmp_path / "whole", unfinished=True) == after
    for at in range(1, system.calls + 1):
        folder = fill(tmp_path / str(at))
        monkeypatch.setattr("harness.files.os", FaultyOs(fault, at))
        with pytest.raises((Killed, OSError, KeyboardInterrupt)) as raised:
            do(folder)
        if isinstance(raised.value, OSError):
            assert str(folder) in str(raised.value), "the message names the file"
        assert files_in(folder) in (OLD, after), at
        monkeypatch.setattr("harness.files.os", FaultyOs())
        for held in [folder, *(path for path in folder.rglob("*") if path.is_dir() and ".part" not in str(path))]:
            with hold(held):
                pass
        assert files_in(folder, unfinished=True) in (OLD, after), "what was left unfinished goes"


def test_one_folder_of_a_name_is_put_in_place_when_two_are_built(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="exists already"), new_folder(tmp_path / "one") as building:
        (building / "second").write_text("")
        with new_folder(tmp_path / "one") as faster:
            (faster / "first").write_text("")
    assert files_in(tmp_path, unfinished=True) == {"one/first": b""}


def test_only_whole_lines_are_left_when_a_line_is_added_to_a_file_without_an_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("by hand")
    append_line(tmp_path / "file", "line")
    assert (tmp_path / "file").read_text() == "by hand\nline\n"


def test_a_folder_that_a_link_leads_to_stays_when_the_link_is_removed(tmp_path: Path) -> None:
    fill(tmp_path / "kept")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "link").symlink_to(tmp_path / "kept")
    remove_tree(tmp_path / "gone")
    assert files_in(tmp_path / "kept") == OLD and not (tmp_path / "gone").exists()


STEPS = (2, 4)
WEIGHTS = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights"}


def train(store: TrainingStore, target: Path) -> None:
    """A training as the recipe keeps it, with made-up files in the place of what torch writes."""
    with store.working(KEY) as folder:
        assert folder is not None
        store.begun(KEY, NOW)
        checkpoints = Checkpoints(folder, KEY)
        found = checkpoints.newest()
        for step in STEPS:
            if found is None or int(found.name.rpartition("-")[2]) < step:
                checkpoints.at(step).mkdir(exist_ok=True)
                for name in ("learned", "optimizer"):
                    (checkpoints.at(step) / name).write_bytes(f"{name} at {step}".encode())
                checkpoints.seal(checkpoints.at(step))
        for name, content in WEIGHTS.items():
            target.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(content)
        store.keep(KEY, target, HISTORY)


@pytest.mark.parametrize("fault", Fault)
def test_a_training_goes_on_from_what_is_whole_when_any_call_fails(
    fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = FaultyOs()
    monkeypatch.setattr("harness.files.os", system)
    train(TrainingStore(tmp_path / "whole"), tmp_path / "adapter")
    assert system.calls > 60
    for at in range(1, system.calls + 1):
        store, target = TrainingStore(tmp_path / str(at) / "kept"), tmp_path / str(at) / "adapter"
        monkeypatch.setattr("harness.files.os", FaultyOs(fault, at))
        with pytest.raises((Killed, OSError, KeyboardInterrupt)):
            train(store, target)
        monkeypatch.setattr("harness.files.os", FaultyOs())
        checkpoint = Checkpoints(store.folder / KEY, KEY).newest()
        if checkpoint is not None:
            step = int(checkpoint.name.rpartition("-")[2])
            assert (checkpoint / "learned").read_bytes() == f"learned at {step}".encode(), at
        assert_kept_or_not(store, tmp_path / str(at) / "first")
        if store.fetch(KEY, tmp_path / str(at) / "second") is None:
            train(store, target)
        assert store.fetch(KEY, tmp_path / str(at) / "third") == HISTORY
        assert files_in(tmp_path / str(at) / "third") == WEIGHTS


def assert_kept_or_not(store: TrainingStore, target: Path) -> None:
    assert store.fetch(KEY, target) in (None, HISTORY)
    assert not target.exists() or files_in(target) == WEIGHTS


@pytest.mark.parametrize("fault", Fault)
def test_a_kept_training_is_given_back_whole_or_not_when_any_call_fails(
    fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, system = TrainingStore(tmp_path / "kept"), FaultyOs()
    train(store, tmp_path / "adapter")
    monkeypatch.setattr("harness.files.os", system)
    store.fetch(KEY, tmp_path / "whole")
    for at in range(1, system.calls + 1):
        monkeypatch.setattr("harness.files.os", FaultyOs(fault, at))
        with pytest.raises((Killed, OSError, KeyboardInterrupt)):
            store.fetch(KEY, tmp_path / str(at))
        monkeypatch.setattr("harness.files.os", FaultyOs())
        assert store.fetch(KEY, tmp_path / str(at)) == HISTORY
        assert files_in(tmp_path / str(at)) == WEIGHTS


def test_a_full_disk_is_named_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.files.os", FaultyOs(Fault.FULL, 3))
    with pytest.raises(OSError, match="No space left") as raised:
        write_bytes(tmp_path / "report.html", b"page")
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(tmp_path / "report.html"))
