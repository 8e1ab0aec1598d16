"""One table: stored evidence and the exit code of `harness gate` on it."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from evidence_factory import SUITE, Fixture, history_of
from stored_verdict import own_part

from harness.cli.main import main
from harness.records import Liveness, Prediction
from harness.strict_json import parse


def shuffle_candidate(rows: list[Prediction]) -> list[Prediction]:
    """Right answers under wrong ids: half the test set asks for one label, half for the other."""
    ours = [row for row in rows if row.system == "candidate" and row.dataset == "test"]
    texts = [row.text for row in ours]
    random.Random(1).shuffle(texts)
    moved = {row.example_id: text for row, text in zip(ours, texts, strict=True)}
    return [replace(r, text=moved[r.example_id]) if r in ours else r for r in rows]


def drop_arm(rows: list[Prediction]) -> list[Prediction]:
    return [row for row in rows if row.system != "bare"]


def rename_id(rows: list[Prediction]) -> list[Prediction]:
    return [replace(rows[0], example_id="elsewhere"), *rows[1:]]


def drop_row(rows: list[Prediction]) -> list[Prediction]:
    return rows[1:]


def repeat_row(rows: list[Prediction]) -> list[Prediction]:
    return [rows[0], *rows]


def fail_candidate(count: int) -> object:
    def edit(rows: list[Prediction]) -> list[Prediction]:
        return [replace(r, text="", stop="error", error="timeout") if i < count else r for i, r in enumerate(rows)]

    return edit


NO_EFFECT = Liveness(prompts=200, differing_answers=0, max_logit_difference=0.0, logits_finite=True)
NOT_FINITE = Liveness(prompts=200, differing_answers=200, max_logit_difference=0.0, logits_finite=False)

POINT = SUITE.replace("bar: 99.5%", "bar: 99.5%, rule: point")
MID_P = SUITE.replace("baselines: all", "baselines: all, mid_p: true")

TABLE = [
    ("a clear gain ships", Fixture(), 0),
    ("0 invalid of 1,000 ships", Fixture(invalid_probes=0), 0),
    ("1 invalid of 1,000 ships", Fixture(invalid_probes=1), 0),
    ("2 invalid of 1,000 is undecided", Fixture(invalid_probes=2), 4),
    ("9 invalid of 1,000 is undecided", Fixture(invalid_probes=9), 4),
    ("10 invalid of 1,000 is held", Fixture(invalid_probes=10), 3),
    (
        "3 wins to 0 of 200 is undecided",
        Fixture(candidate_right=lambda i: i < 103, baseline_right=lambda i: i < 100),
        4,
    ),
    ("5 wins to 0 of 200 ships", Fixture(candidate_right=lambda i: i < 105, baseline_right=lambda i: i < 100), 0),
    (
        "4 wins to 0 of 200 is undecided",
        Fixture(candidate_right=lambda i: i < 104, baseline_right=lambda i: i < 100),
        4,
    ),
    ("equal answers are undecided", Fixture(candidate_right=lambda i: i % 2 == 0), 4),
    ("a worse candidate is held", Fixture(candidate_right=lambda i: i % 5 == 0), 3),
    (
        "shuffled answers are held",
        Fixture(
            candidate_right=lambda i: True,
            baseline_right=lambda i: i % 20 != 0,
            edit_predictions=shuffle_candidate,
        ),
        3,
    ),
    ("a missing arm is broken", Fixture(edit_predictions=drop_arm), 1),
    ("unequal ids are broken", Fixture(edit_predictions=rename_id), 1),
    ("a missing row is broken", Fixture(edit_predictions=drop_row), 1),
    ("an id answered twice is broken", Fixture(edit_predictions=repeat_row), 1),
    ("a missing benchmark arm is broken", Fixture(edit_benchmarks=lambda rows: rows[:1]), 1),
    (
        "another version of the benchmark is broken",
        Fixture(edit_benchmarks=lambda rows: [rows[0], replace(rows[1], task_digest="u" * 64)]),
        1,
    ),
    ("2 failed answers of 200 count as worst and ship", Fixture(edit_predictions=fail_candidate(2)), 0),
    ("3 failed answers of 200 are undecided", Fixture(edit_predictions=fail_candidate(3)), 4),
    ("an adapter without effect is held", Fixture(liveness=NO_EFFECT), 3),
    ("logits that are not finite are held", Fixture(liveness=NOT_FINITE), 3),
    ("no comparison with the base model is undecided", Fixture(liveness=None), 4),
    (
        "a benchmark at chance is undecided",
        Fixture(base_correct=lambda i: i % 4 == 0, tuned_correct=lambda i: i % 4 == 0),
        4,
    ),
    ("a benchmark drop is held", Fixture(tuned_correct=lambda i: i % 10 < 6), 3),
    ("a drop inside the interval is undecided", Fixture(tuned_correct=lambda i: i % 10 < 7 and i % 30 != 1), 4),
    ("a smaller drop ships", Fixture(tuned_correct=lambda i: i % 10 < 7 and i % 200 != 1), 0),
    (
        "5 questions without a discordant pair are undecided",
        Fixture(questions=10, base_correct=lambda i: True, tuned_correct=lambda i: True),
        4,
    ),
    ("diverged training is held", Fixture(history=history_of((2.0, 1.0), best=1, diverged=True)), 3),
    ("training that never improved is held", Fixture(history=history_of((2.0, 2.5, 3.0), best=0)), 3),
    ("weights that are not finite are held", Fixture(history=history_of((2.0, 1.0), best=1, weights_finite=False)), 3),
    ("an adapter trained elsewhere ships", Fixture(history=None), 0),
    ("a history that went missing breaks the run", Fixture(history=None, trained_tokens=9), 1),
    (
        "a check that does not block does not hold",
        Fixture(suite_text=SUITE.replace("bar: 99.5%", "bar: 99.5%, blocking: false"), invalid_probes=500),
        0,
    ),
    ("5 of 1,000 reach the bar by the share itself", Fixture(suite_text=POINT, invalid_probes=5), 0),
    ("6 of 1,000 miss the bar by the share itself", Fixture(suite_text=POINT, invalid_probes=6), 3),
    (
        "4 wins to 0 pass by mid-p",
        Fixture(suite_text=MID_P, candidate_right=lambda i: i < 104, baseline_right=lambda i: i < 100),
        0,
    ),
    (
        "3 wins to 0 do not pass by mid-p",
        Fixture(suite_text=MID_P, candidate_right=lambda i: i < 103, baseline_right=lambda i: i < 100),
        4,
    ),
]


@pytest.mark.parametrize(("fixture", "code"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_gate_exits_with_the_code_of_the_verdict(fixture: Fixture, code: int, tmp_path: Path) -> None:
    folder = fixture.write(tmp_path / "run")
    result = CliRunner().invoke(main, ["gate", str(folder), "--json"])
    assert result.exit_code == code, result.output + str(result.exception)
    if code in {0, 3, 4}:
        verdict = own_part(folder)
        assert verdict["exit_code"] == code
        assert verdict["decision"] == {0: "ship", 3: "hold", 4: "undecided"}[code]
        assert (folder / "report.html").is_file()
    else:
        assert not (folder / "verdict.json").exists()


@pytest.mark.parametrize(
    "name",
    [
        "predictions.jsonl",
        "benchmarks.jsonl",
        "examples.jsonl",
        "suite.yaml",
        "schema.json",
        "training.json",
        "liveness.json",
        "adapter/adapter_model.safetensors",
    ],
)
def test_gate_refuses_evidence_when_a_file_changed(name: str, tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "run")
    file = folder / name
    file.write_bytes(file.read_bytes().replace(b'"', b"'", 1) + b" ")
    result = CliRunner().invoke(main, ["gate", str(folder)])
    assert result.exit_code == 5, result.output
    assert name in result.output


@pytest.mark.parametrize(("field", "said"), [("suite", "../../evil"), ("suite", "other"), ("seed", 4)])
@pytest.mark.parametrize("command", ["gate", "report"])
def test_nothing_is_written_elsewhere_when_the_manifest_names_another_suite_than_its_own(
    command: str, field: str, said: object, tmp_path: Path
) -> None:
    folder = Fixture().write(tmp_path / "reports" / "fixture" / "run")
    (tmp_path / "baselines").mkdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, field: said}))
    before = sorted(tmp_path.parent.rglob("*"))
    result = CliRunner().invoke(main, [command, str(folder)])
    assert result.exit_code == 5
    assert f"manifest.json: {field}: {said!r}, and the suite that it binds says" in result.output
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_gate_refuses_evidence_when_a_file_is_missing_or_added(tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "run")
    (folder / "adapter" / "extra.bin").write_bytes(b"x")
    assert CliRunner().invoke(main, ["gate", str(folder)]).exit_code == 5
    (folder / "adapter" / "extra.bin").unlink()
    (folder / "liveness.json").unlink()
    assert CliRunner().invoke(main, ["gate", str(folder)]).exit_code == 5


def test_an_old_verdict_is_gone_when_the_evidence_turns_out_broken(tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "run")
    assert CliRunner().invoke(main, ["gate", str(folder)]).exit_code == 0
    (folder / "predictions.jsonl").write_text("")
    assert CliRunner().invoke(main, ["gate", str(folder)]).exit_code == 5
    assert not (folder / "verdict.json").exists()


def test_gate_says_that_a_run_did_not_finish(tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "run")
    (folder / "manifest.json").unlink()
    result = CliRunner().invoke(main, ["gate", str(folder)])
    assert result.exit_code == 1
    assert "did not finish" in result.output


def test_swapping_candidate_and_baseline_never_ships_both(tmp_path: Path) -> None:
    def swap(rows: list[Prediction]) -> list[Prediction]:
        other = {"candidate": "bare", "bare": "candidate"}
        return [replace(r, system=other[r.system]) if r.dataset == "test" else r for r in rows]

    codes = [
        CliRunner().invoke(main, ["gate", str(fixture.write(tmp_path / str(i)))]).exit_code
        for i, fixture in enumerate((Fixture(), Fixture(edit_predictions=swap)))
    ]
    assert codes == [0, 3]


def test_the_same_evidence_gives_the_same_verdict_and_scores(tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "run")
    outputs = []
    for _ in range(2):
        CliRunner().invoke(main, ["gate", str(folder)])
        outputs.append([(folder / name).read_bytes() for name in ("scores.jsonl", "comparison.csv", "metrics.json")])
    assert outputs[0] == outputs[1]


def edit_manifest(folder: Path, **changes: object) -> Path:
    value = parse((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**value, **changes}))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"absent_systems": {"bare": "no reason"}}, "only a promoted adapter can be"),
        ({"planned": {"candidate/test": 200, "candidate/probe": 1000}}, "bare/test"),
        ({"planned": {"candidate/test": 200, "bare/test": 200}}, "candidate/probe"),
        ({"planned": {"candidate/test": 200, "bare/test": 0, "candidate/probe": 1000}}, "bare/test"),
        ({"format_version": 99}, "format 99"),
        ({"seed": "x"}, "seed"),
    ],
)
def test_a_manifest_that_leaves_an_arm_out_is_broken(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    folder = edit_manifest(Fixture().write(tmp_path / "run"), **changes)
    result = CliRunner().invoke(main, ["gate", str(folder)])
    assert result.exit_code == 1, result.output
    assert message in result.output
