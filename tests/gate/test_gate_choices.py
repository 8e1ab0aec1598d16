"""What a person may decide, what a used test set costs, slices, and the honest sentence about fine-tuning."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from evidence_factory import INVALID, SUITE, Fixture
from evidence_in_memory import GAIN, evidence_of, suite_of
from stored_verdict import own_part

from harness.cli.main import main
from harness.gate.verdict import decide
from harness.records import Prediction, RunManifest
from harness.store.facts import from_plain
from harness.store.ledger import Look, look_number, read_looks, record_look
from harness.store.runs import evidence_digests, finish_run

UNDECIDED = Fixture(candidate_right=lambda i: i < 103, baseline_right=lambda i: i < 100)
CHECK = "better_than/exact_match/bare"


def gate(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["gate", str(folder), *arguments])


def verdict_of(folder: Path) -> dict[str, object]:
    found: dict[str, object] = own_part(folder)
    return found


def test_an_undecided_check_may_be_accepted_with_a_reason_that_is_recorded(tmp_path: Path) -> None:
    folder = UNDECIDED.write(tmp_path / "run")
    assert gate(folder).exit_code == 4
    result = gate(folder, "--accept-undecided", CHECK, "--reason", "shadow test was fine")
    assert result.exit_code == 0, result.output
    assert verdict_of(folder)["accepted"] == {CHECK: "shadow test was fine"}
    assert "shadow test was fine" in (folder / "report.html").read_text()
    assert "beats" not in str(verdict_of(folder)["sentence"])
    assert gate(folder).exit_code == 4, "the acceptance belongs to one judgement, not to the evidence"


def test_accepting_never_overrides_a_fail(tmp_path: Path) -> None:
    folder = Fixture(candidate_right=lambda i: i % 5 == 0).write(tmp_path / "run")
    assert gate(folder, "--accept-undecided", CHECK, "--reason", "please").exit_code == 3
    assert verdict_of(folder)["accepted"] == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--accept-undecided", CHECK), "needs a --reason"),
        (("--reason", "why"), "needs a --reason"),
        (("--accept-undecided", CHECK, "--reason", " "), "needs a --reason"),
        (("--accept-undecided", "nothing", "--reason", "why"), "there is no such check"),
    ],
)
def test_accepting_needs_a_check_and_a_reason(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    folder = UNDECIDED.write(tmp_path / "run")
    result = gate(folder, *arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert not (folder / "verdict.json").exists()


def as_candidate(folder: Path, name: str) -> Path:
    """The same evidence for another adapter: other bytes, other digest."""
    (folder / "adapter" / "adapter_model.safetensors").write_text(name)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["digests"]["adapter:candidate"] = name * 8
    manifest["evidence"] = evidence_digests(folder)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_each_new_candidate_is_a_look_and_repeats_are_free(tmp_path: Path) -> None:
    first, second = (as_candidate(Fixture().write(tmp_path / name), name) for name in ("one", "two"))
    assert gate(first).exit_code == gate(first).exit_code == 0
    looks = read_looks(tmp_path / "baselines" / "fixture" / "looks.jsonl")
    assert len(looks) == 1 and looks[0].decision == "ship"
    assert gate(second).exit_code == 0
    assert len(read_looks(tmp_path / "baselines" / "fixture" / "looks.jsonl")) == 2
    assert any("look 2 at this test set" in note and "up to 10%" in note for note in json_notes(second, again=False))


def json_notes(folder: Path, *, again: bool) -> list[str]:
    if again:
        gate(folder)
    notes = verdict_of(folder)["notes"]
    assert isinstance(notes, list)
    return notes


def test_the_first_look_says_that_there_was_no_ledger(tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "run")
    gate(folder)
    assert any("there was no ledger" in note for note in json_notes(folder, again=False))
    assert not any("there was no ledger" in note for note in json_notes(folder, again=True))


def test_a_budget_divides_alpha_and_once_spent_nothing_passes(tmp_path: Path) -> None:
    budgeted = SUITE.replace("checks:", "statistics: {holdout_budget: 2}\nchecks:")
    # Five wins to none: p = .031 passes at .05 and not at .025.
    close = Fixture(candidate_right=lambda i: i < 105, baseline_right=lambda i: i < 100)
    assert gate(close.write(tmp_path / "first" / "whole")).exit_code == 0
    assert gate(replace(close, suite_text=budgeted).write(tmp_path / "elsewhere" / "halved")).exit_code == 4
    folders = [
        as_candidate(Fixture(suite_text=budgeted).write(tmp_path / "spent" / name), name) for name in ("a", "b", "c")
    ]
    assert [gate(folder).exit_code for folder in folders] == [0, 0, 4]
    assert "which has 2" in gate(folders[2]).output
    assert gate(folders[0]).exit_code == 0, "a candidate that was judged within the budget keeps its place"


def test_another_suite_is_another_look_and_the_same_judgement_again_is_free(tmp_path: Path) -> None:
    budgeted = SUITE.replace("checks:", "statistics: {holdout_budget: 2}\nchecks:")
    texts = [budgeted.replace("99.5%", bar) for bar in ("99.5%", "99.4%", "99.3%")]
    folders = [Fixture(suite_text=text).write(tmp_path / f"run{i}") for i, text in enumerate(texts)]
    assert [gate(folder).exit_code for folder in (*folders, *folders)] == [0, 0, 4, 0, 0, 4]
    assert "which has 2" in gate(folders[2]).output
    assert gate(replace(Fixture(), suite_text=texts[1]).write(tmp_path / "repeat")).exit_code == 0


def test_a_look_keeps_its_place_and_another_test_set_counts_anew(tmp_path: Path) -> None:
    ledger = tmp_path / "looks.jsonl"
    for test, candidate, suite in (
        ("t1", "a", "s"), ("t1", "b", "s"), ("t1", "a", "s"), ("t2", "c", "s"), ("t1", "a", "other"),
    ):  # fmt: skip
        record_look(
            ledger,
            Look(
                test_digest=test,
                candidate_digest=candidate,
                suite_digest=suite,
                run_id="r",
                judged="2026-01-01",
                decision="hold",
            ),
        )
    looks = read_looks(ledger)
    assert len(looks) == 4
    numbers = [
        look_number(looks, test_digest=test, candidate_digest=candidate, suite_digest=suite)
        for test, candidate, suite in (
            ("t1", "a", "s"), ("t1", "b", "s"), ("t1", "a", "other"), ("t1", "b", "other"), ("t1", "new", "s"),
            ("t2", "c", "s"), ("t3", "a", "s"),
        )
    ]  # fmt: skip
    assert numbers == [1, 2, 3, 4, 4, 1, 1]


def test_a_check_may_be_of_one_slice(tmp_path: Path) -> None:
    # Right on all even examples and wrong on all odd ones, which carry the tag.
    sliced = SUITE.replace("baselines: all}", "baselines: all}\n  - {kind: better_than, tag: odd, name: slice}")
    fixture = Fixture(suite_text=sliced, candidate_right=lambda i: i % 2 == 0, baseline_right=lambda i: i % 8 == 1)
    result = gate(fixture.write(tmp_path / "run"), "--json")
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert result.exit_code == 3
    assert checks["better_than/exact_match/bare"]["status"] == "pass"
    assert checks["slice/exact_match/bare[odd]"]["status"] == "fail"
    assert "over 100 examples" in checks["slice/exact_match/bare[odd]"]["reason"]


def test_the_slice_that_drives_a_loss_is_named(tmp_path: Path) -> None:
    fixture = Fixture(candidate_right=lambda i: i % 2 == 0, baseline_right=lambda i: True)
    result = gate(fixture.write(tmp_path / "run"), "--json")
    reason = json.loads(result.stdout)["checks"][0]["reason"]
    assert "it loses most on 'odd', 100 more worse than better of 100" in reason


def test_a_prompt_that_is_as_good_is_said_to_be_enough(tmp_path: Path) -> None:
    def note(fixture: Fixture, name: str) -> list[str]:
        folder = fixture.write(tmp_path / name)
        gate(folder)
        return [line for line in json_notes(folder, again=False) if line.startswith("You did not need to fine-tune")]

    # 1,000 examples, 12 better and 1 worse: shown to be better, and shown to be less than 5 points better.
    tiny_gain = Fixture(n_test=1000, candidate_right=lambda i: i < 812 and i != 5, baseline_right=lambda i: i < 800)
    (line,) = note(tiny_gain, "tiny")
    assert "bare is within 5.0 points" in line
    assert gate(tmp_path / "tiny").exit_code == 0, "it is said, and it does not decide"
    assert note(Fixture(), "large") == []
    few = Fixture(n_test=20, candidate_right=lambda i: i < 11, baseline_right=lambda i: i < 10)
    assert note(few, "few") == [], "too few examples to show that a prompt is enough"


def test_answers_of_an_unplanned_arm_are_refused(tmp_path: Path) -> None:
    def add_arm(rows: list[Prediction]) -> list[Prediction]:
        return [*rows, *(replace(row, system="extra") for row in rows if row.system == "bare")]

    result = gate(Fixture(edit_predictions=add_arm).write(tmp_path / "run"))
    assert result.exit_code == 1
    assert "not planned" in result.output


def test_beating_any_of_several_pays_for_the_chances(tmp_path: Path) -> None:
    """Two more baselines as good as the first: five wins to none of each, p = .031, adjusted .094."""
    text = SUITE.replace(
        "  bare: {kind: prompt, role: baseline}",
        "  bare: {kind: prompt, role: baseline}\n  b2: {kind: prompt}\n  b3: {kind: prompt}",
    ).replace(
        "baselines: all}",
        "baselines: [bare]}\n  - {kind: better_than, name: some, baselines: [bare, b2, b3], require: any}",
    )

    def with_twins(rows: list[Prediction]) -> list[Prediction]:
        bare = [row for row in rows if row.system == "bare"]
        return [*rows, *(replace(row, system=name) for name in ("b2", "b3") for row in bare)]

    def checks(wins: int, name: str) -> dict[str, dict[str, object]]:
        fixture = Fixture(
            suite_text=text,
            candidate_right=lambda i: i < 100 + wins,
            baseline_right=lambda i: i < 100,
            edit_predictions=with_twins,
        )
        folder = fixture.write(tmp_path / name)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["planned"] |= {"b2/test": 200, "b3/test": 200}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        found = gate(folder, "--json")
        return {check["name"]: check for check in json.loads(found.stdout)["checks"]}

    five, seven = checks(5, "five"), checks(7, "seven")
    assert five["better_than/exact_match/bare"]["status"] == "pass"
    assert five["some/exact_match/b2"]["status"] == "pass"
    assert five["some/exact_match/any"]["status"] == "undecided"
    assert seven["some/exact_match/any"]["status"] == "pass"


SAMPLED = SUITE.replace("systems:", "decoding: {temperature: 0.7, samples: 2}\nsystems:")


def twice(rows: list[Prediction]) -> list[Prediction]:
    """Each test example answered twice by the candidate, the second time wrong for one example in four."""
    second = [
        replace(row, sample=1, text=INVALID if number % 4 == 0 else row.text)
        for number, row in enumerate(rows)
        if row.dataset == "test"
    ]
    return rows + second


def test_several_answers_to_an_example_are_one_score(tmp_path: Path) -> None:
    folder = Fixture(suite_text=SAMPLED, edit_predictions=twice).write(tmp_path / "run")
    again = plan_twice(folder)
    assert again.exit_code == 0, again.output
    scores = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    matched = [row["result"]["value"] for row in scores if row["scorer"] == "exact_match"]
    assert set(matched) == {0.0, 0.5, 1.0} and len(matched) == 2 * 200
    gain = next(check for check in json.loads(again.stdout)["checks"] if check["name"] == CHECK)
    assert "over 200 examples" in gain["reason"]


def test_a_missing_draw_breaks_the_run(tmp_path: Path) -> None:
    folder = Fixture(suite_text=SAMPLED, edit_predictions=lambda rows: twice(rows)[:-1]).write(tmp_path / "run")
    again = plan_twice(folder)
    assert again.exit_code == 1 and "has 1 answers and needs 2" in again.output


def plan_twice(folder: Path) -> Result:
    """Bind the run anew as one that planned two answers to each test example."""
    manifest = from_plain(RunManifest, json.loads((folder / "manifest.json").read_text()), "manifest")
    planned = {name: count * (2 if name.endswith("/test") else 1) for name, count in manifest.planned.items()}
    finish_run(folder, replace(manifest, planned=planned))
    return CliRunner().invoke(main, ["gate", str(folder), "--json"])


def test_a_sentence_about_any_of_several_says_which_was_beaten_and_names_no_none() -> None:
    right, wrong = [1.0] * 20 + [0.0] * 20, [0.0] * 40
    any_of = suite_of({**GAIN, "require": "any"}, baselines=2)
    won = decide(any_of, evidence_of(right, wrong, right))
    assert (won.decision, won.sentence) == (
        "ship",
        "Better than bare (p = 1.9e-06, adjusted for 2 baselines).",
    )
    lost = decide(any_of, evidence_of(wrong, right, right))
    assert (lost.decision, lost.sentence) == ("hold", "Worse than each of bare, second.")
