"""`harness verify` says yes only to a fresh ship verdict for exactly these files."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from evidence_factory import Fixture

from harness.cli.main import main
from harness.errors import EvidenceRefusedError
from harness.judge import judge_run
from harness.trust.verdicts import seal, verify_adapter

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def shipped(folder: Path, **changes: object) -> Path:
    """A judged run; `changes` go into its verdict, whose digest is made anew, as a forger would."""
    judge_run(Fixture().write(folder), lambda: NOW)
    if changes:
        value = json.loads((folder / "verdict.json").read_text())
        value.pop("digest")
        (folder / "verdict.json").write_text(json.dumps(seal({**value, **changes})))
    return folder


def refusal(folder: Path, *, now: datetime = NOW, suite_digest: str | None = None) -> str:
    with pytest.raises(EvidenceRefusedError) as caught:
        verify_adapter(folder / "adapter", folder / "verdict.json", now=now, suite_digest=suite_digest)
    return str(caught.value)


def test_a_shipped_adapter_is_verified(tmp_path: Path) -> None:
    folder = shipped(tmp_path / "run")
    found = verify_adapter(folder / "adapter", folder / "verdict.json", now=NOW + timedelta(days=29))
    assert found.run_id == "run"
    verify_adapter(folder / "adapter", folder / "verdict.json", now=NOW, suite_digest=found.suite_digest)


@pytest.mark.parametrize("decision", ["hold", "undecided", "SHIP", ""])
def test_any_other_decision_is_refused(decision: str, tmp_path: Path) -> None:
    assert "not ship" in refusal(shipped(tmp_path / "run", decision=decision))


def test_a_held_run_is_refused(tmp_path: Path) -> None:
    folder = Fixture(candidate_right=lambda i: False).write(tmp_path / "run")
    judge_run(folder, lambda: NOW)
    assert "the decision is hold" in refusal(folder)


def test_time_is_checked_on_both_sides(tmp_path: Path) -> None:
    folder = shipped(tmp_path / "run")
    assert "expired" in refusal(folder, now=NOW + timedelta(days=30))
    assert "future" in refusal(folder, now=NOW - timedelta(minutes=6))
    longer = shipped(tmp_path / "longer", expires=(NOW + timedelta(days=400)).isoformat())
    assert "expired" in refusal(longer)


def test_another_suite_is_refused(tmp_path: Path) -> None:
    assert "another suite" in refusal(shipped(tmp_path / "run"), suite_digest="0" * 64)


def test_any_change_of_the_adapter_is_refused(tmp_path: Path) -> None:
    folder = shipped(tmp_path / "run")
    weights = folder / "adapter" / "adapter_model.safetensors"
    original = weights.read_bytes()
    weights.write_bytes(original + b"x")
    assert "not the file that was judged" in refusal(folder)
    weights.unlink()
    assert "missing" in refusal(folder)
    weights.write_bytes(original)
    (folder / "adapter" / "extra.json").write_text("{}")
    assert "does not speak of this file" in refusal(folder)
    (folder / "adapter" / "extra.json").unlink()
    (folder / "adapter" / "link.json").symlink_to(weights)
    assert "links are not accepted" in refusal(folder)


def test_no_prefix_of_a_verdict_is_a_verdict(tmp_path: Path) -> None:
    folder = shipped(tmp_path / "run")
    whole = (folder / "verdict.json").read_bytes().rstrip()
    for length in range(0, len(whole), 97):
        (folder / "verdict.json").write_bytes(whole[:length])
        refusal(folder)


def test_no_edited_field_passes_without_a_new_digest(tmp_path: Path) -> None:
    folder = shipped(tmp_path / "run")
    value = json.loads((folder / "verdict.json").read_text())
    for key in value:
        edited = {**value, key: "edited"}
        (folder / "verdict.json").write_text(json.dumps(edited))
        refusal(folder)
        (folder / "verdict.json").write_text(json.dumps({k: v for k, v in value.items() if k != key}))
        refusal(folder)


def test_the_command_exits_5_and_0(tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "run")
    assert CliRunner().invoke(main, ["verify", str(folder / "adapter")]).exit_code == 5
    assert CliRunner().invoke(main, ["gate", str(folder)]).exit_code == 0
    result = CliRunner().invoke(main, ["verify", str(folder / "adapter")])
    assert result.exit_code == 0
    assert "unsigned" in result.output


def test_promotion_needs_a_ship_verdict_and_fills_the_registry(tmp_path: Path) -> None:
    registry = tmp_path / "baselines"
    held = Fixture(candidate_right=lambda i: False).write(tmp_path / "held")
    assert CliRunner().invoke(main, ["gate", str(held)]).exit_code == 3
    refused = CliRunner().invoke(main, ["promote", str(held), "--baselines", str(registry)])
    assert refused.exit_code == 2 and "only what ships" in refused.output
    folder = Fixture().write(tmp_path / "run")
    unjudged = CliRunner().invoke(main, ["promote", str(folder), "--baselines", str(registry)])
    assert unjudged.exit_code == 2 and "not judged yet" in unjudged.output
    assert CliRunner().invoke(main, ["gate", str(folder)]).exit_code == 0
    done = CliRunner().invoke(main, ["promote", str(folder), "--name", "first", "--baselines", str(registry)])
    assert done.exit_code == 0, done.output
    place = registry / "fixture" / "first"
    assert (place / "adapter" / "adapter_model.safetensors").read_bytes() == b"weights"
    outcomes = [json.loads(line) for line in (place / "outcomes.jsonl").read_text().splitlines()]
    assert sum(row["kind"] == "question" for row in outcomes) == 1000
    assert {row["dataset"] for row in outcomes if row["kind"] == "score"} == {"test", "probe"}
    again = CliRunner().invoke(main, ["promote", str(folder), "--name", "first", "--baselines", str(registry)])
    assert again.exit_code == 2 and "exists already" in again.output
    listed = CliRunner().invoke(main, ["baselines", str(registry), "--json"])
    assert json.loads(listed.output)["baselines"] == [
        {"suite": "fixture", "name": "first", "promoted": listed_time(place), "in_force": True}
    ]


def listed_time(place: Path) -> str:
    return str(json.loads((place / "record.json").read_text())["promoted"])
