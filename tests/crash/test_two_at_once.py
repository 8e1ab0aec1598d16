"""Two processes that start at the same moment: one wins, the other is told so, and a dead one holds nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from project import ACCEPT, NOW, harness, make_shipped, run_of, state_of

from harness.files import append_line, claim_folder, hold, in_use
from harness.store.runs import abandoned_runs, begin_run
from harness.store.trainings import TrainingStore

STARTS = 100
processes = multiprocessing.get_context("fork")


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """What each act returned in a process of its own, all let go at the same moment; errors by their class."""
    start, results = processes.Barrier(len(acts)), processes.SimpleQueue()

    def run(number: int) -> None:
        start.wait()
        try:
            results.put((number, acts[number]()))
        except Exception as error:  # noqa: BLE001 - which one it was is what is asked
            results.put((number, type(error).__name__))

    started = [processes.Process(target=run, args=(number,), daemon=True) for number in range(len(acts))]
    for process in started:
        process.start()
    found = dict(results.get() for _ in acts)
    for process in started:
        process.join()
    return [found[number] for number in range(len(acts))]


def test_each_of_two_runs_gets_a_folder_of_its_own_when_they_begin_in_the_same_second(tmp_path: Path) -> None:
    for start in range(STARTS):
        wanted = tmp_path / str(start) / "reports" / "run"
        found = at_once(*[lambda wanted=wanted: str(begin_run(wanted, {}))] * 2)
        assert sorted(found) == [str(wanted), f"{wanted}-2"]
        assert all(json.loads((Path(folder) / "status.json").read_text())["status"] == "started" for folder in found)


def test_one_of_two_makes_a_folder_when_both_claim_it(tmp_path: Path) -> None:
    for start in range(STARTS):
        folder = tmp_path / str(start)
        assert sorted(map(str, at_once(*[lambda folder=folder: claim_folder(folder)] * 2))) == [
            "FileExistsError",
            "None",
        ]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two runs that ship."""
    return make_shipped(tmp_path_factory.mktemp("two") / "project")


@pytest.mark.parametrize("names", [("run", "other"), ("run", "run")], ids=["two runs", "one run"])
def test_one_of_two_is_promoted_when_both_ask_for_the_same_name(
    names: tuple[str, str], shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.clock.utc_now", lambda: NOW)
    wins: Counter[str] = Counter()
    for start in range(STARTS // 2):
        project = shutil.copytree(shipped, tmp_path / str(start))
        runs = [run_of(project).with_name(name) for name in names]
        found = at_once(*[lambda run=run: harness("promote", run, "--name", "best") for run in runs])
        assert sorted(code for code, _ in found) == [0, 2], found
        (refused,) = (said for code, said in found if code == 2)
        assert refused.startswith("error: ") and "exists already" in refused
        state = state_of(project)
        assert (state["promoted"], state["baselines"]) == ("best", {"best": True})
        record = json.loads((project / "baselines" / "fixture" / "best" / "record.json").read_text())
        winner = names[[code for code, _ in found].index(0)]
        assert record["run_id"] == winner
        wins[winner] += 1
    assert sum(wins.values()) == STARTS // 2


def test_one_after_the_other_judges_when_two_judge_the_same_run(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.clock.utc_now", lambda: NOW)
    for start in range(STARTS // 10):
        project = shutil.copytree(shipped, tmp_path / str(start))
        found = at_once(*[lambda project=project: harness("gate", run_of(project), *ACCEPT)[0]] * 2)
        assert (found, state_of(project)["shipping"]) == ([0, 0], ["other", "run"])
        log = (project / "baselines" / "fixture" / "verdicts.jsonl").read_text().splitlines()
        events = [(entry["sequence"], entry["event"]) for entry in map(json.loads, log)][-4:]
        assert [event for _, event in events] == ["started", "ship"] * 2
        assert len({number for number, _ in events}) == 4


def test_no_line_is_lost_when_two_append_at_once(tmp_path: Path) -> None:
    def append(name: str) -> None:
        for number in range(STARTS // 4):
            append_line(tmp_path / "looks.jsonl", f"{name} {number}")

    assert at_once(lambda: append("a"), lambda: append("b")) == [None, None]
    lines = (tmp_path / "looks.jsonl").read_text().splitlines()
    assert sorted(lines) == sorted(f"{name} {number}" for name in "ab" for number in range(STARTS // 4))


class Holder:
    """A process that holds a folder until it is killed."""

    def __init__(self, folder: Path) -> None:
        held = processes.Event()

        def run() -> None:
            with hold(folder):
                held.set()
                signal.pause()

        self._process = processes.Process(target=run, daemon=True)  # a test that fails does not wait for it
        self._process.start()
        assert held.wait(60)

    def kill(self) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()


def test_a_folder_is_free_at_once_when_its_holder_was_killed(tmp_path: Path) -> None:
    holder = Holder(tmp_path)
    assert in_use(tmp_path)
    with pytest.raises(BlockingIOError, match="in use by another process") as refused, hold(tmp_path, seconds=0):
        pass
    assert refused.value.filename == str(tmp_path)
    holder.kill()
    assert not in_use(tmp_path)
    with hold(tmp_path, seconds=0), hold(tmp_path, seconds=0):
        assert not in_use(tmp_path), "what this process holds is its own"


def test_a_run_that_goes_on_is_not_taken_for_one_that_was_killed(tmp_path: Path) -> None:
    folder = begin_run(tmp_path / "reports" / "run", {})
    holder = Holder(folder)
    assert abandoned_runs(folder.parent) == ()
    code, said = harness("gate", folder)
    assert (code, said) == (1, f"error: {folder}: this run is still going on; judge it when it has finished\n")
    holder.kill()
    assert abandoned_runs(folder.parent) == (folder,)
    code, said = harness("gate", folder)
    assert code == 1 and "did not finish" in said


def test_a_training_is_left_to_the_process_that_is_at_it(tmp_path: Path) -> None:
    store = TrainingStore(tmp_path / "trainings")
    with store.working("ab") as folder:
        assert folder is not None
    holder = Holder(folder)
    with store.working("ab") as none:
        assert none is None
    assert store.prune(unused_since=None, keep_bytes=None) == () and folder.exists()
    holder.kill()
    with store.working("ab") as again:
        assert again == folder
    assert [one.key for one in store.prune(unused_since=None, keep_bytes=None)] == ["ab"] and not folder.exists()
