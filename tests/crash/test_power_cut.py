"""A power cut at any call that changes a file leaves the old state or the new one, and the next command goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from power_cut import PowerCutOs, choices, write_tree
from project import NOW, leftovers, reports_of, run_of, state_of
from test_every_file_call import SCENARIOS, make_empty, write_run
from test_files_at_every_call import ACTS, KEY, OLD, WEIGHTS, assert_kept_or_not, files_in, fill, train

from harness.files import hold, point_link
from harness.store.trainings import TrainingStore
from harness.train.checkpoints import Checkpoints

AGAIN = 5  # of so many states of a command one is gone on from
seen = 0


def cut(act: Callable[[Path], object], folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Path], list[Path]]:
    """The folder, beside it, as every power cut during the act could leave it, and as one after it could."""
    global seen
    system = PowerCutOs(folder)
    monkeypatch.setattr("harness.files.os", system)
    act(folder)
    done = system.possible()
    system.release()
    monkeypatch.setattr("harness.files.os", os)
    seen += len(system.states)
    found: list[list[Path]] = []
    for name, trees in (("during", system.states), ("after", done)):
        target = folder.with_name(f"{folder.name} {name}")
        target.mkdir()
        found.append([write_tree(tree, target / str(number)) for number, tree in enumerate(trees.values())])
    return found[0], found[1]


@pytest.mark.parametrize("act", ACTS)
def test_the_old_or_the_new_is_there_after_a_power_cut(
    act: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    do, after = ACTS[act]
    during, done = cut(do, fill(tmp_path / "folder"), monkeypatch)
    for folder in during:
        assert files_in(folder) in (OLD, after), files_in(folder, unfinished=True)
        for held in [folder, *(path for path in folder.rglob("*") if path.is_dir() and ".part" not in str(path))]:
            with hold(held):
                pass
        assert files_in(folder, unfinished=True) in (OLD, after)
    assert len(during) >= 2
    if act != "a folder is removed":  # whose absence nothing rests on
        assert [files_in(folder, unfinished=True) for folder in done] == [after]


def test_a_link_leads_to_the_old_place_or_the_new_after_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to("old")
    during, done = cut(lambda folder: point_link(folder / "link", Path("new")), tmp_path / "folder", monkeypatch)
    assert {os.readlink(folder / "link") for folder in during} == {"old", "new"}
    assert [os.readlink(folder / "link") for folder in done] == ["new"]


def unsafe(folder: Path) -> None:
    """What most programs do."""
    from harness import files

    descriptor = files.os.open(folder / "new", os.O_WRONLY | os.O_CREAT)
    files.os.write(descriptor, b"new")
    files.os.close(descriptor)
    files.os.replace(folder / "new", folder / "file")


def test_a_file_that_is_not_made_durable_before_its_rename_is_found_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, done = cut(unsafe, fill(tmp_path / "folder"), monkeypatch)
    assert {(folder / "file").read_bytes() for folder in done} == {b"old", b"", b"new"}


def test_every_choice_of_few_parts_is_tried() -> None:
    assert len(set(choices([1, 2, 3]))) == 8 and len(set(choices(range(9)))) == 11


def test_a_training_goes_on_from_what_is_whole_after_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()

    def act(folder: Path) -> None:
        train(TrainingStore(folder / "kept"), folder / "adapter")

    for number, folder in enumerate(cut(act, tmp_path / "folder", monkeypatch)[0]):
        store = TrainingStore(folder / "kept")
        checkpoint = Checkpoints(store.folder / KEY, KEY).newest() if (store.folder / KEY).is_dir() else None
        if checkpoint is not None:
            step = int(checkpoint.name.rpartition("-")[2])
            assert (checkpoint / "learned").read_bytes() == f"learned at {step}".encode(), folder
        assert_kept_or_not(store, folder / "first")
        if number % AGAIN == 0:
            shutil.rmtree(folder / "adapter", ignore_errors=True)
            if store.fetch(KEY, folder / "second") is None:
                train(store, folder / "adapter")
            assert store.fetch(KEY, folder / "third") is not None
            assert files_in(folder / "third") == WEIGHTS


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_command_leaves_the_old_or_the_new_after_a_power_cut(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.clock.utc_now", lambda: NOW)
    scenario, project = SCENARIOS[name], tmp_path / "project"
    scenario.prepare(project)
    before, earlier = state_of(project), reports_of(run_of(project))
    codes: list[int] = []
    during, done = cut(lambda folder: codes.append(scenario.act(folder)[0]), project, monkeypatch)
    after, reports = state_of(project), reports_of(run_of(project))
    for folder in done:
        shutil.rmtree(project)
        folder.rename(project)  # whose place stands in what it holds
        assert (state_of(project), reports_of(run_of(project))) == (after, reports), "what was said to be done is"
    for number, folder in enumerate(during):
        shutil.rmtree(project)
        folder.rename(project)
        now = state_of(project)
        assert now in (before, after) or scenario.between(now, before, after), f"{name}, state {number}: {now}"
        for report, content in reports_of(run_of(project)).items():
            assert content in (earlier.get(report), reports.get(report)), f"{name}, state {number}: {report}"
        if number % AGAIN == 0:
            again, said = scenario.act(project)
            assert again == codes[0] or (now == after and "exists already" in said), f"state {number}: {said}"
            assert (state_of(project), reports_of(run_of(project))) == (after, reports), number
            assert not (scenario.sweeps and leftovers(project)), number


def test_a_run_is_whole_or_does_not_load_after_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(make_empty(tmp_path / "whole"))
    whole = state_of(tmp_path / "whole")["runs"]["run"]
    for project in cut(write_run, make_empty(tmp_path / "project"), monkeypatch)[0]:
        if run_of(project).exists():
            assert state_of(project)["runs"].get("run", whole) == whole, project


def test_enough_states_were_tried() -> None:
    """Counted over all of the above, so this says nothing when it runs alone."""
    assert seen == 0 or seen >= 300, seen
