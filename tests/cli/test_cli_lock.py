"""`harness lock` writes down what is asked, `run --locked` refuses what is not that, and the verdict tells of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from adapter_files import write_adapter
from click.testing import CliRunner, Result
from evidence_factory import Fixture, history_of
from plain_suite import SUITE, write_plain_suite
from stored_verdict import own_part

from harness.cli.main import main
from harness.earlier import inputs_digest
from harness.errors import EvidenceRefusedError
from harness.judge import judge_run
from harness.locking import hold_to_lock, lock_suite
from harness.prepare import Inputs, read_inputs
from harness.suite.load import load_suite
from harness.trust.digests import digest_file

EVERY_FILE = SUITE.replace(
    "checks:",
    """\
  better: {kind: prompt, system: engineered.txt}
  looked-up: {kind: retrieval, documents: handbook, template: template.txt}
  held: {kind: constrained, over: better, lark: answer.lark}
  theirs: {kind: adapter, from: theirs}
benchmarks:
  quiz: {task: mmlu, mmlu_dir: quiz}
judges:
  short: {base_url: 'https://host/v1', model: m, rubric: rubric.txt}
checks:
  - {kind: preferred, judge: short, baselines: [bare]}
  - {kind: benchmark_drop, benchmark: quiz}
""",
)
QUIZ = Path(__file__).parents[1] / "fixtures" / "mmlu"


def harness(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A suite that names a file of every sort."""
    folder = write_plain_suite(tmp_path, text=EVERY_FILE)
    shutil.copytree(QUIZ, folder / "quiz")
    write_adapter(folder / "theirs")
    return folder


def inputs_of(suite: Path, **overrides: str) -> Inputs:
    return read_inputs(load_suite(suite, overrides), registry=suite.parents[1] / "baselines")


def lock_of(suite: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((suite / "suite.lock").read_text())
    return value


def test_everything_that_a_suite_names_is_locked_by_its_bytes(suite: Path) -> None:
    result = harness("lock", suite)
    assert result.exit_code == 0, result.output
    assert "commit it" in result.stdout
    lock = lock_of(suite)
    assert set(lock["files"]) == {
        "suite.yaml", "train.jsonl", "test.jsonl", "schema.json", "bare.txt", "engineered.txt", "rubric.txt",
        "answer.lark", "template.txt", "handbook", "quiz", "theirs",
    }  # fmt: skip
    for name in ("suite.yaml", "train.jsonl", "schema.json", "rubric.txt"):
        assert lock["files"][name] == digest_file(suite / name)


def test_the_bars_are_readable_with_every_default_written_out(suite: Path) -> None:
    harness("lock", suite)
    bars = lock_of(suite)["bars"]
    assert [check["kind"] for check in bars["checks"]] == ["preferred", "benchmark_drop", "better_than", "valid_output"]
    assert bars["checks"][1]["margin"] == 0.05 and bars["checks"][1]["blocking"] is True
    assert bars["checks"][3]["bar"] == 0.9
    assert bars["statistics"]["alpha"] == 0.05


def test_locking_again_keeps_the_lock_and_its_time_when_nothing_changed(suite: Path) -> None:
    first = json.loads(harness("lock", suite, "--json").stdout)
    content = (suite / "suite.lock").read_bytes()
    again = json.loads(harness("lock", suite, "--json").stdout)
    assert (suite / "suite.lock").read_bytes() == content
    assert (first["new"], again["new"]) == (True, False)
    assert again["digest"] == first["digest"] == lock_of(suite)["digest"]
    assert "still holds" in harness("lock", suite).stdout


def test_locking_again_tells_what_changed(suite: Path) -> None:
    harness("lock", suite)
    before = lock_of(suite)
    (suite / "bare.txt").write_text("Answer, please.")
    result = harness("lock", suite)
    assert "changed since the lock before: bare.txt: changed (SHA-256 " in result.stdout
    assert lock_of(suite)["digest"] != before["digest"] and lock_of(suite)["locked"] > before["locked"]


def test_what_cannot_run_is_not_locked(suite: Path) -> None:
    (suite / "test.jsonl").write_text("")
    assert harness("lock", suite).exit_code == 2
    assert not (suite / "suite.lock").exists()


def edit(name: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda suite: (suite / name).write_text((suite / name).read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (edit("suite.yaml", "bar: 90%", "bar: 80%"), ["suite.yaml: changed", "checks.3.bar: 0.8, locked 0.9"]),
        (edit("suite.yaml", "seed: 1", "seed: 1 # one"), ["suite.yaml: changed"]),
        (edit("test.jsonl", "x0", "x1"), ["test.jsonl: changed"]),
        (edit("train.jsonl", "x0", "x1"), ["train.jsonl: changed"]),
        (edit("engineered.txt", "one", "a single"), ["engineered.txt: changed"]),
        (edit("template.txt", "\n\n", "\n"), ["template.txt: changed"]),
        (edit("answer.lark", " | ", "|"), ["answer.lark: changed"]),
        (edit("schema.json", "string", "object"), ["schema.json: changed"]),
        (edit("rubric.txt", "Shorter", "Longer"), ["rubric.txt: changed"]),
        (edit("handbook/refunds.md", "week", "month"), ["handbook: changed"]),
        (edit("theirs/adapter_config.json", '"lora_alpha": 8', '"lora_alpha": 16'), ["theirs: changed"]),
        (lambda suite: next((suite / "quiz").rglob("*.csv")).write_text("a,b,c,d,e,A\n"), ["quiz: changed"]),
    ],
)
def test_a_locked_run_refuses_a_change_and_names_it(
    change: Callable[[Path], object], named: list[str], suite: Path
) -> None:
    harness("lock", suite)
    files = dict(lock_of(suite)["files"])
    change(suite)
    result = harness("run", suite, "--locked")
    assert result.exit_code == 5, result.output
    assert all(text in result.output for text in named)
    file = named[0].split(":")[0]
    assert f"locked {files[file][:16]})" in result.output
    assert not (suite.parents[1] / "reports").exists(), "nothing was begun"


def test_a_locked_run_refuses_settings_that_the_lock_does_not_know(suite: Path) -> None:
    harness("lock", suite)
    result = harness("run", suite, "--locked", "--set", "statistics.alpha=0.2")
    assert result.exit_code == 5
    assert "--set statistics.alpha=0.2: given for this run" in result.output
    assert "statistics.alpha: 0.2, locked 0.05" in result.output


def test_a_locked_run_needs_a_lock_that_is_whole(suite: Path) -> None:
    result = harness("run", suite, "--locked")
    assert result.exit_code == 5 and "`harness lock` locks it" in result.output
    harness("lock", suite)
    edit("suite.lock", "0.9", "0.1")(suite)
    for command in (("run", suite, "--locked"), ("run", suite), ("lock", suite)):
        result = harness(*command)
        assert result.exit_code == 5 and "changed since it was written" in result.output


def test_inputs_that_agree_with_the_lock_carry_it_whether_or_not_it_is_required(suite: Path) -> None:
    unlocked = inputs_of(suite)
    assert hold_to_lock(unlocked, required=False) is unlocked
    made = lock_suite(unlocked, lambda: datetime(2026, 1, 1, tzinfo=UTC))
    for required in (True, False):
        held = hold_to_lock(inputs_of(suite), required=required)
        assert held.lock == made.lock and held.warnings == unlocked.warnings
    digests = {inputs_digest(item, ground="", numerics={}) for item in (unlocked, held)}
    assert len(digests) == 2, "a run that was held to no lock does not stand for one that is"


def test_a_change_is_a_warning_and_the_lock_is_not_carried_where_none_is_required(suite: Path) -> None:
    lock_suite(inputs_of(suite), lambda: datetime(2026, 1, 1, tzinfo=UTC))
    (suite / "bare.txt").write_text("Answer!")
    held = hold_to_lock(inputs_of(suite), required=False)
    assert held.lock is None
    assert held.warnings[-1].startswith("not what was locked in suite.lock, so this run is held to no lock: bare.txt")
    with pytest.raises(EvidenceRefusedError):
        hold_to_lock(inputs_of(suite), required=True)


LOCKED = "2026-01-01T12:00:00+00:00"


@pytest.mark.parametrize(
    ("begun", "said"),
    [
        ("2026-01-01T12:00:01+00:00", "before the training of the candidate began (2026-01-01T12:00:01+00:00)"),
        ("2026-01-01T14:00:00+03:00", "after the training of the candidate began (2026-01-01T14:00:00+03:00)"),
        ("2026-01-01T12:00:00+00:00", "after the training of the candidate began"),
        (None, "cannot be told, since its training was not recorded"),
    ],
)
def test_the_verdict_says_whether_the_lock_is_older_than_the_candidate(
    begun: str | None, said: str, tmp_path: Path
) -> None:
    history = history_of((2.0, 1.0, 0.5, 0.6), best=2, begun=begun)
    folder = locked_run(small(history=history), tmp_path / "run")
    judge_run(folder, lambda: datetime(2026, 1, 2, tzinfo=UTC))
    verdict = own_part(folder)
    (note,) = [note for note in verdict["notes"] if "locked" in note]
    assert note.startswith("the suite was locked at 2026-01-01T12:00:00+00:00") and said in note
    assert verdict["digests"]["lock"] == "d" * 64


def test_of_an_adapter_made_elsewhere_it_cannot_be_told(tmp_path: Path) -> None:
    folder = locked_run(small(history=None), tmp_path / "run")
    judge_run(folder, lambda: datetime(2026, 1, 2, tzinfo=UTC))
    notes = own_part(folder)["notes"]
    assert any("cannot be told" in note for note in notes)


def test_nothing_is_said_of_a_lock_where_there_is_none(tmp_path: Path) -> None:
    folder = small().write(tmp_path / "run")
    judge_run(folder, lambda: datetime(2026, 1, 2, tzinfo=UTC))
    assert not any("locked" in note for note in own_part(folder)["notes"])


def small(**changes: Any) -> Fixture:
    return Fixture(n_test=20, n_probe=5, questions=8, **changes)


def locked_run(fixture: Fixture, folder: Path) -> Path:
    path = fixture.write(folder) / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["locked"] = LOCKED
    manifest["digests"]["lock"] = "d" * 64
    path.write_text(json.dumps(manifest))
    return folder
