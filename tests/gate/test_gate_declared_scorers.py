"""A scorer that the suite declares decides a stored run like one of the harness's own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from evidence_factory import SUITE, Fixture

from harness.cli.main import main
from harness.errors import InvalidInputError
from harness.prepare import read_inputs
from harness.records import Prediction
from harness.strict_json import parse
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
    verdict = parse((folder / "verdict.json").read_text())
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
