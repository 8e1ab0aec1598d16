"""Real processes, killed: at random moments of real runs, and at each of their system calls by strace.

`HARNESS_KILLS` says how many kills of real runs (100), and `HARNESS_STRIDE` that only each n-th call is tried (1).
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import BATCHES, batch, key_of
from fork_server import Ended, ForkServer
from project import ACCEPT, make_project, promoted_before, reports_of, run_of, state_of, while_judging, while_promoting

from harness.clock import utc_now
from harness.store.answers import AnswerStore

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("HARNESS_KILLS", "100"))
STRIDE = int(os.environ.get("HARNESS_STRIDE", "1"))
RUN_STRIDE = 20 * STRIDE  # of a whole run, each point of which takes two
HARNESS = "fork_server:command_line"


# Real runs, killed at random moments


@pytest.fixture(scope="module")
def runner() -> Iterator[ForkServer]:
    server = ForkServer(
        "torch", "tiny_model", "harness.cli.main", "harness.running", "harness.train.recipe", "children"
    )
    yield server
    server.close()


@pytest.fixture(scope="module")
def suite(runner: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a suite and its model, never run."""
    project = tmp_path_factory.mktemp("suite") / "project"
    (project / "baselines").mkdir(parents=True)
    ended = runner.run("children:write_suite", str(project / "suites" / "tiny"), log=project / "log")
    assert ended.code == 0, ended.said
    return project


def run_suite(runner: ForkServer, project: Path, *, kill_after: float | None = None) -> Ended:
    """`harness run` in a project with a cache of its own, killed after so many seconds if it still runs then."""
    arguments, cache = ("run", str(project / "suites" / "tiny"), "--json"), str(project / "cache")
    return runner.run(HARNESS, *arguments, log=project / "log", kill_after=kill_after, HARNESS_CACHE=cache)


def scores_of(project: Path) -> dict[str, object]:
    """Everything of the one judged run that is a number or an answer, but for times."""
    (run,) = [path.parent for path in (project / "reports" / "tiny").glob("*/verdict.json")]
    answers = [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]
    training = json.loads((run / "training.json").read_text())
    return {
        **{name: (run / name).read_bytes() for name in ("scores.jsonl", "benchmarks.jsonl", "liveness.json")},
        **{path.name: path.read_bytes() for path in (run / "adapter").iterdir()},
        "answers": [{key: value for key, value in answer.items() if key != "seconds"} for answer in answers],
        "training": {key: value for key, value in training.items() if key not in {"seconds", "begun"}},
        "checks": re.findall(r'"status":"\w+"', (run / "verdict.json").read_text()),
    }


def test_a_run_that_was_killed_ends_with_the_same_scores_when_it_is_started_again(
    runner: ForkServer, suite: Path, tmp_path: Path
) -> None:
    whole = shutil.copytree(suite, tmp_path / "whole")
    run_suite(runner, shutil.copytree(suite, tmp_path / "warm"))  # what a first run in the server's children takes
    started = time.monotonic()
    code = run_suite(runner, whole).code
    seconds, expected = time.monotonic() - started, scores_of(whole)
    assert code in {0, 3, 4}
    chance, met = random.Random("kills"), Counter[str]()
    while met["killed"] < KILLS:
        number = met["killed"]
        project = shutil.copytree(suite, tmp_path / str(number))
        killed = run_suite(runner, project, kill_after=chance.uniform(0.0, seconds))
        assert killed.code in {-signal.SIGKILL, code}, killed.said
        if killed.code == code:  # a run takes now this long, now that, and this one ended before its moment came
            seconds *= 0.9
            shutil.rmtree(project)
            continue
        met["killed"] += 1
        finished = list(project.glob("reports/tiny/*/manifest.json"))
        left = len(list(project.glob("reports/tiny/*/status.json"))) - len(finished)
        again = run_suite(runner, project)
        assert again.code == code, f"kill {number}: {again.said}"
        assert scores_of(project) == expected, f"kill {number}"
        assert left == 0 or "did not finish and is not judged" in again.said
        met["abandoned"] += left
        met["training taken up"] += "going on from step" in again.said
        met["training read back"] += "the same training was made before" in again.said
        met["answers read back"] += "were read from the store" in again.said
        met["judged only"] += "nothing changed since run" in again.said
        shutil.rmtree(project)
    print(f"\n{dict(met)}, each within the first {seconds:.1f} s of a run")


SIZES = (3_000, 5_000, 10_000, 15_000, 20_000, 30_000, 50_000, 80_000)  # what is said takes less, a report more


def test_a_run_says_what_it_could_not_write_and_ends_with_the_same_scores_when_there_is_room_again(
    runner: ForkServer, suite: Path, tmp_path: Path
) -> None:
    whole = shutil.copytree(suite, tmp_path / "whole")
    code, met = run_suite(runner, whole).code, Counter[str]()
    for size in SIZES:
        project = shutil.copytree(suite, tmp_path / str(size))
        arguments, cache = ("run", str(project / "suites" / "tiny"), "--json"), str(project / "cache")
        limited = ("children:harness_within", str(size), *arguments)
        ended = runner.run(*limited, log=project.with_suffix(".log"), HARNESS_CACHE=cache)
        assert ended.code == 1 and "error: " in ended.said and "Traceback" not in ended.said, f"{size}: {ended.said}"
        (failed,) = [line for line in ended.said.splitlines() if line.startswith("error: ")]
        assert str(project) in failed
        met[Path(failed.removeprefix("error: ").split(":")[0]).name] += 1
        assert run_suite(runner, project).code == code
        assert scores_of(project) == scores_of(whole), size
    print(f"\nfull at: {dict(met)}")


# Every system call, by strace

CALLS = ("openat", "write", "rename", "fsync", "mkdir", "unlink", "rmdir")
FAULTS = {"SIGKILL": "signal=SIGKILL", "ENOSPC": "error=ENOSPC", "EIO": "error=EIO"}
traced = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture(scope="module")
def forker() -> Iterator[ForkServer]:
    server = ForkServer("harness.cli.main", "harness.judge", "harness.promotion", "harness.store.answers", "children")
    yield server
    server.close()


def run_traced(server: ForkServer, folder: Path, trace: str, target: str, *arguments: str) -> tuple[Ended, str]:
    """A command under strace from its first step, and what strace wrote of it."""
    log, go, written = folder / "log", folder / "go", folder / "strace"
    for path in (go, written):
        path.unlink(missing_ok=True)
    child = server.start(target, *arguments, log=log, go=go, **cache_of(folder))
    command = ["strace", "-f", "-p", str(child), "-o", str(written), *trace.split()]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    assert "attached" in said, said
    go.touch()
    ended = server.wait(log)
    tracer.communicate()
    return ended, written.read_text()


def cache_of(folder: Path) -> dict[str, str]:
    return {"HARNESS_CACHE": str(folder / "cache")}


def points(server: ForkServer, folder: Path, calls: tuple[str, ...], target: str, *arguments: str) -> list[str]:
    """Where a call of a command touches a file in the folder, as strace counts: "fsync 3" is its third fsync."""
    _, written = run_traced(server, folder, f"-y -e trace={','.join(calls)}", target, *arguments)
    counted, found = Counter[str](), []
    for line in written.splitlines():
        if made := re.match(r"(?:\d+ +)?(\w+)\((.*)", line):
            counted[made[1]] += 1
            if str(folder) in made[2]:
                found.append(f"{made[1]} {counted[made[1]]}")
    return found


def each_fault(found: list[str], stride: int = STRIDE) -> Iterator[tuple[str, str]]:
    """(fault, strace's options) for each point."""
    for call, when in map(str.split, found[::stride]):
        for fault, action in FAULTS.items():
            yield fault, f"-e trace={call} -e inject={call}:{action}:when={when}"


COMMANDS = {
    "gate": ("gate", *ACCEPT),
    "report": ("report",),
    "promote": ("promote",),
}


@traced
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_leaves_the_old_or_the_new_when_a_system_call_fails(
    name: str, forker: ForkServer, tmp_path: Path
) -> None:
    template, folder = tmp_path / "template", tmp_path / "work"
    {"gate": make_project, "report": promoted_before, "promote": promoted_before}[name](template)
    folder.mkdir()
    project = folder / "project"
    command, *options = COMMANDS[name]
    arguments = (HARNESS, command, str(run_of(project)), *options)
    between = {"gate": while_judging, "promote": while_promoting}.get(name, lambda now, before, after: False)

    before = state_of(shutil.copytree(template, project))
    found = points(forker, folder, CALLS, *arguments)
    after, reports, tried = state_of(project), sorted(reports_of(run_of(project))), Counter[str]()
    harmless: list[str] = []
    for fault, trace in each_fault(found):
        shutil.rmtree(project)
        shutil.copytree(template, project)
        ended, _ = run_traced(forker, folder, trace, *arguments)
        now = state_of(project)
        where = f"{name} {trace}: {ended}"
        assert now in (before, after) or between(now, before, after), where
        if fault == "SIGKILL":
            assert ended.code in {-signal.SIGKILL, 0}, where
        if ended.code == 0:  # what failed was done without, such as a file that is only looked for
            assert now == after and sorted(reports_of(run_of(project))) == reports, where
        else:
            again = forker.run(*arguments, log=folder / "log")
            assert again.code == 0 or (now == after and "exists already" in again.said), f"{where}\n{again.said}"
            assert state_of(project) == after, where
        tried[fault] += 1
        if ended.code == 0:
            harmless.append(trace)
    print(f"\n{name}: {dict(tried)}; done without: {harmless}")
    assert set(tried) == set(FAULTS)


@traced
def test_a_run_ends_with_the_same_scores_when_a_system_call_failed(
    runner: ForkServer, suite: Path, tmp_path: Path
) -> None:
    folder, calls = tmp_path / "work", (*CALLS, "pwrite64", "fdatasync", "ftruncate")
    folder.mkdir()
    project = shutil.copytree(suite, folder / "project")
    arguments = (HARNESS, "run", str(project / "suites" / "tiny"), "--json")
    found = points(runner, folder, calls, *arguments)
    expected, tried = scores_of(project), Counter[str]()
    for fault, trace in each_fault(found, RUN_STRIDE):
        shutil.rmtree(folder)
        folder.mkdir()
        shutil.copytree(suite, project)
        ended, _ = run_traced(runner, folder, trace, *arguments)
        where = f"{trace}: {ended}"
        assert ended.code in {-signal.SIGKILL, 1, 4} if fault == "SIGKILL" else ended.code in {1, 2, 4, 5, 120}, where
        again = ended if ended.code == 4 else runner.run(*arguments, log=folder / "log", **cache_of(folder))
        assert again.code == 4, f"{where}\n{again.said}"
        assert scores_of(project) == expected, where
        tried[fault] += 1
        tried[f"{fault}, and it went on"] += ended.code == 4
    print(f"\nrun: {dict(tried)} of {len(found)} points")
    assert set(FAULTS) <= set(tried)


@traced
def test_a_store_serves_what_was_acknowledged_when_a_system_call_fails(forker: ForkServer, tmp_path: Path) -> None:
    calls = ("openat", "pwrite64", "write", "fsync", "fdatasync", "ftruncate", "unlink", "mkdir")
    folder = tmp_path / "work"
    (folder / "store").mkdir(parents=True)
    arguments = ("children:put_batches", str(folder / "store"))
    found, tried = points(forker, folder, calls, *arguments), Counter[str]()
    for fault, trace in each_fault(found):
        shutil.rmtree(folder / "store")
        (folder / "store").mkdir()
        ended, _ = run_traced(forker, folder, trace, *arguments)
        acknowledged = {int(path.name.rpartition("-")[2]) for path in (folder / "store").glob("acknowledged-*")}
        with AnswerStore(folder / "store" / "answers.sqlite", clock=utc_now) as store:
            for number in range(BATCHES):
                rows = store.answers(key_of(number))
                assert rows == batch(number) or (rows is None and number not in acknowledged), f"{trace}: {ended}"
        assert ended.code != 0 or acknowledged == set(range(BATCHES)), f"{trace}: {ended}"
        tried[fault] += 1
    print(f"\nstore: {dict(tried)}")
    assert set(tried) == set(FAULTS)
