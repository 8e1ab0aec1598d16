"""Killed, or out of disk, at every single call that changes a file: the old state or the new one, and never exit 0.

SQLite's anomaly testing: let the first call fail, then the second, and so on, until nothing fails any more.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from faulty_os import Fault, FaultyOs, Killed
from project import (
    ACCEPT,
    NOW,
    State,
    harness,
    leftovers,
    make_project,
    promoted_before,
    reports_of,
    run_of,
    small_evidence,
    state_of,
    while_judging,
    while_promoting,
)

from harness.store.ledger import Look, record_look

DISK = (Fault.KILL, Fault.FULL, Fault.BROKEN)
FEWEST = {Fault.KILL: 300, Fault.FULL: 300, Fault.BROKEN: 300, Fault.INTERRUPT: 80}


@dataclass(frozen=True)
class Scenario:
    """A command on a project: what is there before, and what else may be there when it did not end."""

    prepare: Callable[[Path], object]
    act: Callable[[Path], tuple[int, str]]
    between: Callable[[State, State, State], bool] = lambda now, before, after: False
    faults: tuple[Fault, ...] = DISK
    sweeps: bool = True  # whether it holds the folder, and so removes what a killed one left


def looked_at(project: Path) -> None:
    """Another candidate's look at the test set, which a ledger is for."""
    look = Look(
        test_digest="t" * 64,
        candidate_digest="e" * 64,
        suite_digest="s" * 64,
        run_id="earlier",
        judged="",
        decision="hold",
    )
    record_look(project / "baselines" / "fixture" / "looks.jsonl", look)


def judged_before(project: Path, *options: str) -> None:
    """A run with its verdict."""
    looked_at(make_project(project))
    harness("gate", run_of(project), *options)


def write_run(project: Path) -> None:
    """Evidence as a run writes it; one that is written again gets a folder of its own."""
    small_evidence().write(run_of(project))


SCENARIOS = {
    "judge": Scenario(
        prepare=lambda project: looked_at(make_project(project)),
        act=lambda project: harness("gate", run_of(project), "--json", *ACCEPT),
        between=while_judging,
    ),
    "judge a run that was undecided": Scenario(
        prepare=judged_before,
        act=lambda project: harness("gate", run_of(project), "--json", *ACCEPT),
        between=while_judging,
        faults=(Fault.KILL,),
    ),
    "judge a run that shipped": Scenario(
        prepare=lambda project: judged_before(project, *ACCEPT),
        act=lambda project: harness("gate", run_of(project), "--json"),
        between=while_judging,
        faults=(Fault.KILL,),
    ),
    "report": Scenario(
        prepare=lambda project: judged_before(project, *ACCEPT),
        act=lambda project: harness("report", run_of(project)),
    ),
    "card": Scenario(
        prepare=lambda project: judged_before(project, *ACCEPT),
        act=lambda project: harness("card", run_of(project)),
        sweeps=False,
    ),
    "promote": Scenario(
        prepare=promoted_before,
        act=lambda project: harness("promote", run_of(project)),
        between=while_promoting,
        faults=tuple(Fault),
    ),
}
points = dict.fromkeys(Fault, 0)


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name, scenario in SCENARIOS.items() for fault in scenario.faults]
)
def test_a_command_leaves_the_old_or_the_new_when_it_fails_at_any_call(
    name: str, fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.clock.utc_now", lambda: NOW)
    scenario, template, project = SCENARIOS[name], tmp_path / "template", tmp_path / "project"
    system = FaultyOs()
    monkeypatch.setattr("harness.files.os", system)
    scenario.prepare(template)
    before = state_of(shutil.copytree(template, project))
    earlier = reports_of(run_of(project))
    system.calls = 0
    code, _ = scenario.act(project)
    calls, after, reports = system.calls, state_of(project), reports_of(run_of(project))
    seen: set[str] = set()
    for at in range(1, calls + 1):
        where = f"{name}, {fault.value} at call {at} of {calls}"
        shutil.rmtree(project)
        shutil.copytree(template, project)
        monkeypatch.setattr("harness.files.os", FaultyOs(fault, at))
        fail(scenario, project, fault, where)
        monkeypatch.setattr("harness.files.os", FaultyOs())
        now = state_of(project)
        assert now in (before, after) or scenario.between(now, before, after), f"{where}: {now}"
        for report, content in reports_of(run_of(project)).items():
            assert content in (earlier.get(report), reports.get(report)), f"{where}: {report} is a mixture"
        if (found := content_of(project)) not in seen:
            seen.add(found)
            again, said = scenario.act(project)
            # A promotion that was in force before its command failed is there already.
            assert again == code or (now == after and "exists already" in said), f"{where}: {said}"
            assert (state_of(project), reports_of(run_of(project))) == (after, reports), where
            assert not (scenario.sweeps and leftovers(project)), where
    points[fault] += calls


def fail(scenario: Scenario, project: Path, fault: Fault, where: str) -> None:
    """The command must not end well, and must say at which file, without a traceback."""
    if fault is Fault.KILL:
        with pytest.raises(Killed):
            scenario.act(project)
        return
    code, said = scenario.act(project)
    if fault is Fault.INTERRUPT:
        assert code == 130 and "interrupted; to " in said, f"{where}: {said}"
    else:
        assert code == 1 and said.startswith("error: ") and str(project) in said, f"{where}: {said}"


def content_of(project: Path) -> str:
    """A digest of all that is on the disk; what is unfinished has a random name."""
    digest = hashlib.sha256()
    for path in sorted(project.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        name = re.sub(r"[0-9a-f]{16}\.part", "part", str(path.relative_to(project)))
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


@pytest.mark.parametrize("fault", Fault)
def test_a_run_is_whole_or_does_not_load_when_writing_it_fails_at_any_call(
    fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = FaultyOs()
    monkeypatch.setattr("harness.files.os", system)
    write_run(make_empty(tmp_path / "whole"))
    whole = state_of(tmp_path / "whole")["runs"]["run"]
    for at in range(1, system.calls + 1):
        project = make_empty(tmp_path / str(at))
        monkeypatch.setattr("harness.files.os", FaultyOs(fault, at))
        with pytest.raises((Killed, OSError, KeyboardInterrupt)) as raised:
            write_run(project)
        if isinstance(raised.value, OSError):
            assert str(project) in str(raised.value)
        monkeypatch.setattr("harness.files.os", FaultyOs())
        if run_of(project).exists():
            assert state_of(project)["runs"].get("run", whole) == whole, at
        write_run(project)
        assert whole in state_of(project)["runs"].values(), at
    points[fault] += system.calls


def make_empty(project: Path) -> Path:
    (project / "baselines").mkdir(parents=True)
    return project


def test_enough_points_were_tried() -> None:
    """Counted over all of the above, so this says nothing when it runs alone."""
    if any(points.values()):
        assert {fault: count for fault, count in points.items() if count < FEWEST[fault]} == {}
