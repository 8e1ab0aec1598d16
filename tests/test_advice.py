"""Advice before a run is a table; advice after one is what the run measured."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from evidence_factory import SUITE as RUN_SUITE
from evidence_factory import Fixture
from plain_suite import SUITE, write_plain_suite
from stored_verdict import own_part

from harness.advice import ARMS, LADDER, PATHS, Advice, advise
from harness.findings import CheckResult
from harness.gate.verdict import not_needed
from harness.judge import judge_run
from harness.prepare import Inputs, read_inputs
from harness.store.runs import StoredRun, read_run
from harness.suite.load import load_suite, parse_suite
from harness.suite.schema import Goal

ALL_ARMS = SUITE.replace(
    "  bare: {kind: prompt, system: bare.txt}\n",
    "  bare: {kind: prompt, system: bare.txt}\n"
    "  better: {kind: prompt, system: engineered.txt}\n"
    "  shots: {kind: few_shot}\n"
    "  looked-up: {kind: retrieval, documents: handbook}\n"
    "  held: {kind: constrained, over: better}\n"
    "  small: {kind: prompt, system: bare.txt, model: {path: model}}\n",
)


def inputs_of(project: Path, text: str = SUITE, **sizes: int) -> Inputs:
    model = project / "suites" / "plain" / "model"  # of one arm
    model.mkdir(parents=True, exist_ok=True)
    (model / "config.json").write_text("{}")
    return read_inputs(load_suite(write_plain_suite(project, text=text, **sizes)), registry=project / "baselines")


def with_goal(goal: str, text: str = SUITE) -> str:
    return text.replace("seed: 1\n", f"goal: {goal}\nseed: 1\n")


def small(**changes: Any) -> Fixture:
    """A run that is judged in a moment: what is tried here are gains on the test set."""
    return Fixture(**{"n_test": 100, "n_probe": 20, "questions": 20, **changes})


def judged_run(project: Path, fixture: Fixture) -> StoredRun:
    folder = fixture.write(project / "20260101-000000-abcdef")
    judge_run(folder, lambda: datetime(2026, 1, 2, tzinfo=UTC))
    return read_run(folder)


@pytest.fixture(scope="module")
def clear_gain(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    """A judged run whose candidate is far better than the bare prompt."""
    return judged_run(tmp_path_factory.mktemp("clear"), small())


def advice_after(project: Path, run: StoredRun) -> Advice:
    folder = write_plain_suite(project, text=run.suite_text)
    (folder / "probe.jsonl").write_text("".join(json.dumps({"prompt": f"probe {i}"}) + "\n" for i in range(5)))
    return advise(read_inputs(load_suite(folder), registry=project / "baselines"), run)


@pytest.mark.parametrize(
    ("goal", "first"),
    [
        ("facts", "retrieval"),
        ("tone", "engineered"),
        ("format", "constrained"),
        ("vocabulary", "engineered"),
        ("latency", "other_model"),
        ("refusal", "engineered"),
    ],
)
def test_a_goal_is_tried_for_without_training_first(goal: str, first: str, tmp_path: Path) -> None:
    (path,) = advise(inputs_of(tmp_path, with_goal(goal)), None).paths.values()
    assert path[0].arm == first
    assert path[0].systems == ()
    assert {"sft", "continued_pretraining"} & {step.arm for step in path[1:]} or goal == "facts"


def test_every_goal_has_its_path_and_no_path_names_an_effect_that_was_not_measured() -> None:
    assert set(PATHS) == set(get_args(Goal))
    steps = [*LADDER, *(step for path in PATHS.values() for step in path)]
    assert all(step.source for step in steps)
    assert not [step.why for step in steps if re.search(r"\d|percent|times|half", step.why)]


@pytest.mark.parametrize("arm", list(ARMS))
def test_what_is_advised_can_be_declared_as_it_says(arm: str) -> None:
    kind = ARMS[arm]  # type: ignore[index]
    declared = kind.declared_as.replace("ARM", "bare")
    if declared.startswith("train:"):
        text = SUITE.replace("train: {learning_rate: 2e-4}", declared)
    else:
        text = SUITE.replace("checks:", f"  added: {declared}\nchecks:")
    found = kind.of(parse_suite(text, Path("suite.yaml"), {}, files=False).suite)
    assert list(found) == (["candidate"] if declared.startswith("train:") else ["added"])


def test_without_a_goal_the_ladder_is_shown_and_the_goal_is_missing(tmp_path: Path) -> None:
    advice = advise(inputs_of(tmp_path), None)
    assert [step.arm for step in advice.paths["any goal"]] == ["engineered", "few_shot", "retrieval", "sft"]
    assert advice.lacks[0].startswith("no goal: ")
    assert advice.found is None and advice.unread == ""


def test_a_missing_arm_is_named_once_with_the_goals_it_is_for(tmp_path: Path) -> None:
    lacks = advise(inputs_of(tmp_path, with_goal("[facts, tone, facts]")), None).lacks
    assert "no arm with retrieval over your documents for facts: `{kind: retrieval, documents: FOLDER}`" in lacks
    engineered = [line for line in lacks if "an engineered prompt" in line]
    assert engineered == [
        "no arm with an engineered prompt for facts, tone: `{kind: prompt, system: prompts/engineered.txt}`"
    ]


def test_an_arm_that_the_suite_has_is_named_and_not_missing(tmp_path: Path) -> None:
    goals = "[facts, tone, format, vocabulary, latency, refusal]"
    advice = advise(inputs_of(tmp_path, with_goal(goals, ALL_ARMS)), None)
    systems = {step.arm: step.systems for path in advice.paths.values() for step in path}
    assert systems["engineered"] == ("better",), "the candidate's own prompt is not engineered"
    assert systems["few_shot"] == ("shots",) and systems["retrieval"] == ("looked-up",)
    assert systems["constrained"] == ("held",) and systems["other_model"] == ("small",)
    assert systems["sft"] == ("candidate",) and systems["continued_pretraining"] == ()
    assert not [line for line in advice.lacks if line.startswith("no arm")]


@pytest.mark.parametrize(
    ("goal", "lack"),
    [
        ("refusal", "nothing asks whether the right questions are refused"),
        ("tone", "nothing that reads tone judges it"),
        ("latency", "no `prices`"),
    ],
)
def test_a_goal_that_no_check_would_see_is_said_to_be_unmeasured(goal: str, lack: str, tmp_path: Path) -> None:
    assert any(line.startswith(lack) for line in advise(inputs_of(tmp_path, with_goal(goal)), None).lacks)
    others = advise(inputs_of(tmp_path, with_goal("facts")), None).lacks
    assert not any(line.startswith(lack) for line in others)


def test_validity_is_missing_only_where_nothing_asks_for_it(tmp_path: Path) -> None:
    lack = "nothing asks whether answers are valid"
    unasked = SUITE.replace("  - {kind: valid_output, on: test, bar: 90%}\n", "")
    assert any(line.startswith(lack) for line in advise(inputs_of(tmp_path, with_goal("format", unasked)), None).lacks)
    assert not any(line.startswith(lack) for line in advise(inputs_of(tmp_path, with_goal("format")), None).lacks)


def test_few_rows_and_a_missing_mix_are_what_the_suite_lacks(tmp_path: Path) -> None:
    lacks = "\n".join(advise(inputs_of(tmp_path, train=60), None).lacks)
    assert "60 rows to train on in train; below 100" in lacks
    assert "40 test rows; below 100" in lacks
    assert "no general rows are mixed" in lacks


def test_an_arm_that_was_shown_to_be_enough_is_named_by_the_verdicts_own_sentence(tmp_path: Path) -> None:
    text = RUN_SUITE + "statistics: {min_effect: 40%}\n"
    run = judged_run(tmp_path, small(suite_text=text, candidate_right=lambda i: i % 2 == 0 or i < 30))
    found = advice_after(tmp_path, run).found
    assert found is not None
    (sentence,) = found.enough.values()
    assert sentence in own_part(run.folder)["notes"]
    assert sentence.startswith("You did not need to fine-tune: bare is within 40.0 points")
    assert [check.baseline for check in found.gains] == ["bare"]
    assert found.expires.startswith("2026-02-01")


def test_an_arm_that_was_not_shown_to_be_enough_is_not_said_to_be(clear_gain: StoredRun, tmp_path: Path) -> None:
    found = advice_after(tmp_path, clear_gain).found
    assert found is not None and found.enough == {} and len(found.gains) == 1


@pytest.mark.parametrize(
    ("kind", "enough"),
    [
        ("{kind: few_shot}", True),
        ("{kind: retrieval, documents: handbook}", True),
        ("{kind: constrained, over: bare}", True),
        ("{kind: prompt, model: {path: larger}}", False),
        ("{kind: adapter, from: folder}", False),
        ("{kind: endpoint, base_url: 'https://host/v1', model: m}", False),
    ],
)
def test_only_an_arm_that_nothing_is_trained_for_can_be_enough(kind: str, enough: bool) -> None:
    text = SUITE.replace("checks:", f"  other: {kind}\nchecks:")
    suite = parse_suite(text, Path("suite.yaml"), {}, files=False).suite
    check = CheckResult(
        name="c", kind="better_than", status="pass", blocking=True, reason="r", baseline="other", high=0.049
    )
    assert not_needed(suite, check).startswith("You did not need to fine-tune: other") == enough
    assert not_needed(suite, replace(check, high=0.05)) == ""
    assert not_needed(suite, replace(check, kind="preferred")) == ""


def test_numbers_of_an_earlier_state_are_said_to_be_so(clear_gain: StoredRun, tmp_path: Path) -> None:
    found = advice_after(tmp_path, clear_gain).found
    assert found is not None
    assert "test.jsonl" in found.differs and "suite" not in found.differs


def test_a_run_without_a_verdict_tells_nothing_and_is_said_to(tmp_path: Path) -> None:
    run = read_run(small().write(tmp_path / "20260101-000000-abcdef"))
    advice = advice_after(tmp_path, run)
    assert advice.found is None and "not judged yet" in advice.unread


def test_a_verdict_that_was_edited_is_not_believed(tmp_path: Path) -> None:
    run = judged_run(tmp_path, small())
    path = run.folder / "verdict.json"
    path.write_text(path.read_text().replace('"pass"', '"fail"'))
    advice = advice_after(tmp_path, run)
    assert advice.found is None and "changed since it was written" in advice.unread


def test_the_break_even_volume_is_the_runs_own(tmp_path: Path) -> None:
    hosted = "  hosted: {kind: endpoint, base_url: 'https://host/v1', model: m, price_input: 10, price_output: 10}\n"
    text = RUN_SUITE.replace("benchmarks:", f"{hosted}benchmarks:") + "prices: {machine_hour: 36}\n"
    fixture = small(
        suite_text=text,
        edit_predictions=lambda rows: [*rows, *(replace(r, system="hosted") for r in rows if r.system == "bare")],
    )
    folder = fixture.write(tmp_path / "20260101-000000-abcdef")
    change_manifest(folder, planned={"hosted/test": 100}, systems=[("hosted", "endpoint")])
    judge_run(folder, lambda: datetime(2026, 1, 2, tzinfo=UTC))
    found = advice_after(tmp_path, read_run(folder)).found
    assert found is not None and found.currency == "USD"
    (item,) = found.break_even
    # 18 tokens at 10 a million against 0.01 s at 36 an hour: 0.00018 and 0.0001; the training took 12 s, or 0.12.
    assert item.endpoint == "hosted" and item.requests == 1500


def change_manifest(folder: Path, *, planned: dict[str, int], systems: list[tuple[str, str]]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["planned"] |= planned
    manifest["systems"] += [
        {"name": name, "kind": kind, "role": "baseline", "signature": "s", "note": ""} for name, kind in systems
    ]
    (folder / "manifest.json").write_text(json.dumps(manifest))
