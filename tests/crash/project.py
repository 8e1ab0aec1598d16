"""A project with one run that ships or is undecided, and everything that can be read of it, for comparing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from evidence_factory import Fixture

from harness import clock
from harness.cli.main import main
from harness.errors import BrokenRunError, EvidenceRefusedError, InvalidInputError
from harness.judged import verdict_of
from harness.store.baselines import find_promoted, list_baselines
from harness.store.ledger import read_looks
from harness.store.runs import DERIVED, read_run
from harness.suite.load import parse_suite
from harness.trust.digests import digest_files
from harness.trust.history import read_log
from harness.trust.verify import verify_adapter

SUITE = """\
suite: fixture
seed: 3
model: smollm2-135m-instruct
data: {train: train.jsonl, test: test.jsonl}
train: {method: lora}
systems:
  candidate: {kind: adapter, role: candidate}
  bare: {kind: prompt, role: baseline}
checks:
  - {kind: better_than, scorer: exact_match, baselines: all}
"""
SUITE_DIGEST = parse_suite(SUITE, Path("suite.yaml"), {}, files=False).digest
State = dict[str, Any]
NOW = datetime(2026, 1, 5, 12, 40, tzinfo=UTC)
ACCEPT = ("--accept-undecided", "better_than/exact_match/bare", "--reason", "too few examples, looked at by hand")
VERDICTS = ("verdict.json", "verdict.dsse.json")


def make_project(project: Path, *names: str) -> Path:
    """A project with the evidence of small runs: equal answers but for two, which settles nothing."""
    (project / "baselines").mkdir(parents=True)
    for name in names or ("run",):
        small_evidence().write(project / "reports" / "fixture" / name)
    return project


def small_evidence() -> Fixture:
    """Evidence without a benchmark that settles nothing."""
    return Fixture(
        suite_text=SUITE,
        schema=None,
        n_test=10,
        n_probe=0,
        questions=1,
        candidate_right=lambda i: True,
        baseline_right=lambda i: i > 1,
        edit_benchmarks=lambda rows: [],
    )


def run_of(project: Path) -> Path:
    return project / "reports" / "fixture" / "run"


def harness(*arguments: object) -> tuple[int, str]:
    """The exit code of a command and all that it printed; an exception that is no exit would be a traceback."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def make_shipped(project: Path) -> Path:
    """A project with two runs that ship, called run and other."""
    make_project(project, "run", "other")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.clock.utc_now", lambda: NOW)
        for name in ("run", "other"):
            assert harness("gate", run_of(project).with_name(name), *ACCEPT)[0] == 0
    return project


def state_of(project: Path) -> State:
    """All that can be read of a project; whatever is torn raises, or is not what it was before or should be after."""
    found: State = {"runs": {}, "verdicts": {}, "shipping": []}
    for run in sorted((project / "reports" / "fixture").iterdir()):
        try:
            stored = read_run(run)
        except (BrokenRunError, InvalidInputError):
            assert not any((run / name).exists() for name in VERDICTS)
            continue
        found["runs"][run.name] = stored.manifest.evidence
        found["verdicts"][run.name] = decision_on(run)
        log = project / "baselines" / "fixture" / "verdicts.jsonl"
        if verifies(run / "adapter", run / "verdict.json", log):
            found["shipping"].append(run.name)
    found["looks"] = [look.run_id for look in read_looks(project / "baselines" / "fixture" / "looks.jsonl")]
    read_log(project / "baselines" / "fixture" / "verdicts.jsonl")
    found["baselines"] = {}
    for record, in_force in list_baselines(project / "baselines"):
        folder = project / "baselines" / "fixture" / record.name
        assert digest_files(folder / "adapter") == dict(record.adapter_files)
        assert verifies(folder / "adapter", folder / "verdict.json", None)
        assert (folder / "outcomes.jsonl").is_file()
        found["baselines"][record.name] = in_force
    promoted = find_promoted(project / "baselines", "fixture")
    found["promoted"] = promoted.record.name if promoted else None
    return found


def decision_on(run: Path) -> list[str] | None:
    """What the verdict on a run says; None where there is none."""
    if not (run / "verdict.json").exists():
        return None
    verdict = verdict_of(read_run(run))
    return [verdict.decision, *(f"{check.name} {check.status} {check.accepted}" for check in verdict.checks)]


def verifies(adapter: Path, verdict: Path, history: Path | None) -> bool:
    """Whether `harness verify` would let the adapter out."""
    try:
        verify_adapter(adapter, verdict, now=clock.utc_now(), suite_digest=SUITE_DIGEST, history=history)
    except EvidenceRefusedError:
        return False
    return True


def reports_of(run: Path) -> dict[str, bytes]:
    """What a judgement writes but the verdict, which is numbered."""
    return {name: (run / name).read_bytes() for name in DERIVED if name not in VERDICTS and (run / name).exists()}


def leftovers(project: Path) -> list[str]:
    return [str(path.relative_to(project)) for path in project.rglob(".*.part")]


def promoted_before(project: Path) -> None:
    """A run that ships, and another one that is in force."""
    make_project(project, "first", "run")
    for name in ("first", "run"):
        harness("gate", project / "reports" / "fixture" / name, *ACCEPT)
    harness("promote", project / "reports" / "fixture" / "first")


def without(state: State, *keys: str) -> State:
    return {key: value for key, value in state.items() if key not in keys}


def while_judging(now: State, before: State, after: State) -> bool:
    """No verdict, and nothing that ships; the look is counted or not yet. Or the log ended what the verdict said."""
    verdict = now["verdicts"]["run"]
    return (
        without(now, "verdicts", "shipping", "looks") == without(before, "verdicts", "shipping", "looks")
        and now["looks"] in (before["looks"], after["looks"])
        and ((verdict is None and not now["shipping"]) or verdict == after["verdicts"]["run"])
        and now["shipping"] in ([], after["shipping"])
    )


def while_promoting(now: State, before: State, after: State) -> bool:
    """The new baseline is there, whole, and the one before is still in force."""
    listed = {**before["baselines"], "run": False}
    return now["baselines"] == listed and without(now, "baselines") == without(before, "baselines")
