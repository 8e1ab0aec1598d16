"""Declared scorers and those with more than a text to go by decide a stored run like any other scorer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from math import log
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from evidence_factory import INVALID, SUITE, Fixture
from evidence_in_memory import GAIN, evidence_of, suite_of
from stored_verdict import own_part

from harness.cli.main import main
from harness.errors import InvalidInputError
from harness.findings import CalibrationBin, RunRecord
from harness.gate.comparing import compare_systems
from harness.judge import judge_run
from harness.prepare import read_inputs
from harness.records import Example, Prediction
from harness.selftest import run_selftest
from harness.store.runs import read_run
from harness.suite.load import parse_suite

DECLARED = SUITE.replace(
    "checks:\n",
    "scorers:\n  - {name: signed, kind: regex, pattern: 'T-\\d', match: anywhere}\n  - chrf\n"
    "checks:\n  - {kind: better_than, scorer: signed, baselines: all}\n",
)


def sign(system: str) -> object:
    def edit(rows: list[Prediction]) -> list[Prediction]:
        return [replace(r, text=f"{r.text} T-1") if (r.system, r.dataset) == (system, "test") else r for r in rows]

    return edit


@pytest.mark.parametrize(("system", "code", "status"), [("candidate", 0, "pass"), ("bare", 3, "fail")])
def test_a_declared_scorer_decides_when_a_check_names_it(system: str, code: int, status: str, tmp_path: Path) -> None:
    folder = Fixture(suite_text=DECLARED, edit_predictions=sign(system)).write(tmp_path / "run")  # type: ignore[arg-type]
    assert CliRunner().invoke(main, ["gate", str(folder)]).exit_code == code
    verdict = own_part(folder)
    statuses = {check["name"]: check["status"] for check in verdict["checks"]}
    assert statuses["better_than/signed/bare"] == status
    assert "signed" in (folder / "summary.md").read_text()


def test_rows_that_a_scorer_cannot_judge_are_refused_when_a_suite_is_validated(tmp_path: Path) -> None:
    rows = [{"prompt": f"how many is {i}?", "completion": f"{i}"} for i in range(12)]
    train = [{"prompt": f"how much is {i}?", "completion": f"{i}"} for i in range(40)]
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, [*rows, {"prompt": "?", "completion": "many"}])))
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, train)))
    text = (
        "suite: small\nseed: 1\nmodel: smollm2-135m-instruct\ndata: {train: train.jsonl, test: test.jsonl}\n"
        "train: {method: lora}\nsystems:\n  candidate: {kind: adapter, role: candidate}\n  bare: {kind: prompt}\n"
        "checks:\n  - {kind: better_than, scorer: number}\n"
    )
    loaded = parse_suite(text, tmp_path / "suite.yaml", {}, files=True)
    with pytest.raises(InvalidInputError, match=r"test\.jsonl:13: 'number' cannot judge it: the target has no number"):
        read_inputs(loaded, registry=tmp_path / "baselines")


Edit = Callable[[list[Prediction]], list[Prediction]]


def written(tmp_path: Path, scorers: str, check: str, **changes: Any) -> Path:
    """A run that one `better_than` check decides; 90 % of the candidate's answers are right, 50 % of the baseline's."""
    text = SUITE.replace("checks:\n", f"scorers: {scorers}\nchecks:\n").replace("exact_match", check)
    text = "".join(f"{line}\n" for line in text.splitlines() if "_output" not in line and "_drop" not in line)
    text += "statistics: {min_effect: 50%}\n"  # it is cheap to say how many examples so large a gain takes
    return Fixture(suite_text=text, n_probe=0, questions=100, **changes).write(tmp_path / "run")


def judged(folder: Path) -> RunRecord:
    return judge_run(folder, lambda: datetime(2026, 1, 2, tzinfo=UTC)).record


def on_test(system: str, **changes: Any) -> Edit:
    """The test answers of one system, changed; a function makes the change from the answer."""

    def edit(rows: list[Prediction]) -> list[Prediction]:
        return [
            replace(row, **{key: value(row) if callable(value) else value for key, value in changes.items()})
            if (row.system, row.dataset) == (system, "test")
            else row
            for row in rows
        ]

    return edit


def both(first: Edit, second: Edit) -> Edit:
    return lambda rows: second(first(rows))


def no_class_when_wrong(rows: list[Prediction]) -> list[Prediction]:
    """The candidate says nothing of use where it would have named the other class."""
    return [
        replace(row, text=INVALID) if row.system == "candidate" and int(row.example_id.split("-")[1]) % 10 == 0 else row
        for row in rows
    ]


def test_macro_f1_decides_by_the_score_of_all_answers_when_a_check_names_it(tmp_path: Path) -> None:
    record = judged(written(tmp_path, "[]", "macro_f1", edit_predictions=no_class_when_wrong))
    (overall,) = [item for item in record.comparisons if item.tag is None]
    # 90 of 100 of each class are hit without a false alarm; the baseline names either class half of the time.
    assert overall.delta.value == pytest.approx(18 / 19 - 1 / 2)
    assert (overall.wins, overall.losses) == (100, 20)
    assert "paired bootstrap and exchange of rows" in overall.method
    assert record.verdict.decision == "ship"
    estimates = {
        item.system: item.estimate for item in record.summaries if (item.scorer, item.tag) == ("macro_f1", None)
    }
    assert estimates["candidate"].value == pytest.approx(18 / 19)
    assert estimates["bare"].low < estimates["bare"].value < estimates["bare"].high
    assert "macro_f1" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize("system", ["candidate", "bare"])
def test_a_missing_answer_misses_its_class_for_the_candidate_and_hits_it_for_the_baseline(
    system: str, tmp_path: Path
) -> None:
    """All answers are right but three, which failed."""
    failed = {"test-0", "test-1", "test-2"}

    def fail(rows: list[Prediction]) -> list[Prediction]:
        return [
            replace(row, text="", stop="error", error="timed out")
            if row.system == system and row.dataset == "test" and row.example_id in failed
            else row
            for row in rows
        ]

    all_right = {"candidate_right": lambda i: True, "baseline_right": lambda i: True}
    record = judged(written(tmp_path, "[]", "macro_f1", edit_predictions=fail, **all_right))
    (overall,) = [item for item in record.comparisons if item.tag is None]
    # Two misses of one class and one of the other: F1 of 98 of 100 and of 99 of 100 hits without a false alarm.
    missed = 1 - (2 * 98 / (2 * 98 + 2) + 2 * 99 / (2 * 99 + 1)) / 2
    assert overall.delta.value == pytest.approx(-missed if system == "candidate" else 0)
    assert overall.imputed == 3
    assert record.verdict.decision == "undecided"


def answered(system: str, examples: tuple[Example, ...], right: Callable[[int], bool]) -> dict[str, Prediction]:
    return {
        row.id: Prediction(
            example_id=row.id,
            system=system,
            dataset="test",
            text=row.target or "" if right(i) else "wrong",
            stop="end",
            prompt_tokens=1,
            output_tokens=1,
            seconds=0.0,
        )
        for i, row in enumerate(examples)
    }


@pytest.mark.parametrize(("clusters", "ships"), [([None] * 60, True), (["one"] * 10 + [None] * 50, False)])
def test_rows_of_one_cluster_are_one_observation_when_a_corpus_score_is_compared(
    clusters: list[str | None], ships: bool
) -> None:
    """The candidate wins ten examples, which may all be of one document."""
    found = evidence_of([1] * 60, [1] * 60, scorer="macro_f1", clusters=clusters)
    rows = tuple(replace(row, target="ab"[i % 2]) for i, row in enumerate(found.examples["test"]))
    answers = {
        ("candidate", "test"): answered("candidate", rows, lambda i: True),
        ("bare", "test"): answered("bare", rows, lambda i: i >= 10),
    }
    evidence = replace(found, examples={"test": rows}, answers=answers)
    statistics = suite_of({**GAIN, "scorer": "macro_f1"}).statistics
    comparison = compare_systems(evidence, scorer="macro_f1", baseline="bare", statistics=statistics)
    assert bool(comparison.p_value <= 0.05) is ships
    assert (comparison.wins, comparison.losses) == (10, 0)


SURE = "[{name: sure, kind: brier, confidence: logprob}]"


def test_a_brier_by_log_probability_decides_when_both_arms_tell_theirs(tmp_path: Path) -> None:
    tell = both(on_test("candidate", logprob=log(0.9)), on_test("bare", logprob=log(0.6)))
    record = judged(written(tmp_path, SURE, "sure", edit_predictions=tell))
    (overall,) = [item for item in record.comparisons if item.tag is None]
    assert overall.delta.value == pytest.approx((0.9 * 0.99 + 0.1 * 0.19) - (0.5 * 0.84 + 0.5 * 0.64))
    assert record.verdict.decision == "ship"


def test_a_brier_by_log_probability_is_undecided_when_one_arm_does_not_tell_its(tmp_path: Path) -> None:
    record = judged(written(tmp_path, SURE, "sure", edit_predictions=on_test("candidate", logprob=log(0.9))))
    (check,) = [item for item in record.verdict.checks if item.kind == "better_than"]
    assert check.status == "undecided"
    assert "200 of 200 pairs lack a score" in check.reason
    assert {item.system for item in record.calibrations} == {"candidate"}


def test_calibration_is_of_each_arm_and_brier_when_a_suite_has_one(tmp_path: Path) -> None:
    state = on_test("bare", text=lambda row: row.text.replace("}", ',"confidence":0.75}'))
    tell = on_test("candidate", logprob=lambda row: log(0.9) if row.example_id != "test-1" else None)
    lost = on_test("bare", error=lambda row: "timed out" if row.example_id == "test-0" else None)
    edits = both(both(state, tell), lost)
    record = judged(written(tmp_path, SURE.replace("[", "[brier, "), "exact_match", edit_predictions=edits))
    found = {(item.system, item.scorer): item for item in record.calibrations}
    assert found.keys() == {("candidate", "sure"), ("bare", "brier")}
    told, stated = found["candidate", "sure"], found["bare", "brier"]
    # Of the candidate's 200 answers 180 are right, test-1 among them, which has no probability.
    assert (told.n, told.missing) == (199, 1)
    assert told.ece == pytest.approx(abs(0.9 - 179 / 199))
    assert told.bins == (CalibrationBin(low=0.8, high=0.9, n=199, confidence=pytest.approx(0.9), accuracy=179 / 199),)
    # Of the baseline's 100 are right, test-0 among them, which failed.
    assert (stated.n, stated.missing) == (199, 1)
    assert stated.ece == pytest.approx(0.75 - 99 / 199)


def test_there_is_no_calibration_when_a_suite_has_no_brier(tmp_path: Path) -> None:
    assert judged(written(tmp_path, "[rouge_l]", "exact_match")).calibrations == ()


def measured(folder: Path) -> dict[str, float]:
    run = read_run(folder)
    suite = parse_suite(run.suite_text, folder / "suite.yaml", {}, files=False).suite
    return {trial.name: trial.rate.value for trial in run_selftest(run, suite, replicates=20, seed=0)}


def test_the_selftest_moves_the_answers_when_a_corpus_score_decides(tmp_path: Path) -> None:
    found = measured(written(tmp_path, "[]", "macro_f1", n_test=60))
    assert found["as it is"] >= 0.9
    assert found["base as candidate"] == 1.0
    for name in ("equal systems", "shuffled answers"):
        assert found[name] >= 0.75, name  # 5 % may ship; 6 of 20 would be past chance


def test_the_selftest_scores_shuffled_answers_by_their_log_probability_when_a_brier_decides(tmp_path: Path) -> None:
    """A candidate that always says one half beats an overconfident baseline whatever it answers, shuffled or not."""
    tell = both(on_test("candidate", logprob=log(0.5)), on_test("bare", logprob=log(0.9)))
    found = measured(written(tmp_path, SURE, "sure", n_test=60, edit_predictions=tell))
    assert found["as it is"] >= 0.8
    assert found["shuffled answers"] <= 0.2
    assert found["base as candidate"] == 1.0


@pytest.mark.parametrize("scorer", ["macro_f1", "bleu"])
def test_runs_are_not_compared_by_the_mean_of_single_answers_when_the_score_is_of_a_corpus(
    scorer: str, tmp_path: Path
) -> None:
    folder = written(tmp_path, f"[{scorer}]", "exact_match")
    judged(folder)
    found = CliRunner().invoke(main, ["compare", str(folder), str(folder), "--scorer", scorer])
    assert found.exit_code == 2
    assert f"{scorer} is a corpus metric" in found.output


def test_another_tools_score_is_compared_when_it_has_the_name_of_a_corpus_metric(tmp_path: Path) -> None:
    file = tmp_path / "scores.jsonl"
    file.write_text("\n".join(json.dumps({"id": f"e{i}", "scores": {"bleu": 0.5}}) for i in range(9)))
    assert CliRunner().invoke(main, ["compare", str(file), str(file)]).exit_code == 4
