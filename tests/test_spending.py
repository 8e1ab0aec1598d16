"""What a run will cost is read from the last one; what that does not tell is said to be unknown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from evidence_factory import Fixture
from plain_suite import SUITE, write_plain_suite

from harness.cli.main import main
from harness.prepare import read_inputs
from harness.records import Prediction
from harness.spending import Spending, plan_spending
from harness.store.runs import StoredRun, read_run
from harness.suite.load import load_suite

HOSTED = "  hosted: {kind: endpoint, base_url: 'https://host/v1', model: big, price_input: 10, price_output: 20}\n"
JUDGED = """\
judges:
  short: {base_url: 'https://host/v1', model: wise, rubric: rubric.txt}
checks:
  - {kind: preferred, judge: short, baselines: [bare, hosted]}
"""
PRICED = SUITE.replace("checks:\n", HOSTED + JUDGED) + "prices: {currency: EUR, machine_hour: 36}\n"
UNPRICED = PRICED.replace(", price_input: 10, price_output: 20", "").replace(
    "prices: {currency: EUR, machine_hour: 36}\n", ""
)


def spending(project: Path, text: str, earlier: StoredRun | None) -> Spending:
    loaded = load_suite(write_plain_suite(project, text=text, test=40))
    return plan_spending(read_inputs(loaded, registry=project / "baselines"), earlier)


def finished_run(folder: Path, *, uncounted: bool = False, **facts: Any) -> StoredRun:
    """A run in which "hosted" answered 20 questions with 12 tokens read and 6 written each."""

    def add_arm(rows: list[Prediction]) -> list[Prediction]:
        ours = [replace(row, system="hosted") for row in rows if row.system == "bare"]
        return [*rows, *(replace(row, prompt_tokens=0) if uncounted else row for row in ours)]

    Fixture(n_test=20, n_probe=5, questions=8, edit_predictions=add_arm).write(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["systems"].append({"name": "hosted", "kind": "endpoint", "role": "baseline", "signature": "s", "note": ""})
    (folder / "manifest.json").write_text(json.dumps(manifest | facts))
    return read_run(folder)


def test_the_machine_costs_what_the_last_run_took_at_todays_price(tmp_path: Path) -> None:
    took = {"load": 10.0, "train": 80.0, "answer": 10.0}
    run = finished_run(tmp_path / "run", seconds=took, peak_bytes=3 << 30)
    last = spending(tmp_path, PRICED, run).last
    assert last is not None and last.run_id == "run"
    assert last.seconds == took and last.peak_bytes == 3 << 30
    assert last.cost == pytest.approx(1.0)  # 100 s at 36 an hour
    assert spending(tmp_path, UNPRICED, run).last == replace(last, cost=None)


def test_an_endpoint_costs_the_tokens_of_the_last_run_for_every_request_of_this_one(tmp_path: Path) -> None:
    found = spending(tmp_path, PRICED, finished_run(tmp_path / "run"))
    (hosted, judge) = found.servers
    assert (hosted.name, hosted.model, hosted.requests, hosted.tokens) == ("hosted", "big", 40, 40 * 18)
    assert hosted.cost == pytest.approx(40 * (12 * 10 + 6 * 20) / 1e6)
    assert hosted.unknown == "" and found.currency == "EUR"
    assert (judge.name, judge.requests, judge.cost) == ("judge short", 2 * 40 * 2, None)
    assert "does not keep it" in judge.unknown


@pytest.mark.parametrize(
    ("text", "uncounted", "tokens", "unknown"),
    [
        (PRICED, None, None, "not known before a first run"),
        (PRICED, True, None, "did not tell the last run"),
        (UNPRICED, False, 720, "no `price_input`"),
    ],
)
def test_what_is_not_known_of_an_endpoint_is_said_and_not_guessed(
    text: str, uncounted: bool | None, tokens: int | None, unknown: str, tmp_path: Path
) -> None:
    run = None if uncounted is None else finished_run(tmp_path / "run", uncounted=uncounted)
    hosted = spending(tmp_path, text, run).servers[0]
    assert (hosted.tokens, hosted.cost) == (tokens, None)
    assert unknown in hosted.unknown


def test_several_samples_are_several_requests(tmp_path: Path) -> None:
    text = PRICED.replace(JUDGED, "checks:\n") + "decoding: {temperature: 0.5, samples: 3}\n"
    text = text.replace("  - {kind: valid_output, on: test, bar: 90%}\n", "")
    assert spending(tmp_path, text, None).servers[0].requests == 120


def test_plan_says_what_the_last_run_took_and_what_servers_will_ask(tmp_path: Path) -> None:
    suite = write_plain_suite(tmp_path, text=PRICED)
    before = CliRunner().invoke(main, ["plan", str(suite)])
    assert before.exit_code == 0, before.output
    assert f"time and memory are not known yet; to measure them here: harness plan {suite} --probe" in before.stdout
    assert "hosted (big): up to 40 requests, cost not known: its tokens" in before.stdout
    counters = {"trained_tokens": 5000, "stored_answers": 7, "stored_scores": 5}
    finished_run(
        tmp_path / "reports" / "plain" / "20260101-000000-abcdef",
        seconds={"train": 90.0, "answer": 10.0},
        peak_bytes=3 << 30,
        counters=counters,
    )
    after = CliRunner().invoke(main, ["plan", str(suite)])
    assert after.exit_code == 0, after.output
    took = "took 1 min 40 s, 3.0 GiB of memory, 1.00 EUR: train 1 min 30 s, answer 10.0 s"
    assert f"run 20260101-000000-abcdef {took}" in after.stdout
    assert "12 of its answers and scores were read from the store" in after.stdout
    assert "hosted (big): up to 40 requests, about 720 tokens as in the last run, 0.00960 EUR" in after.stdout
    assert "judge short (wise): up to 160 requests, cost not known: " in after.stdout
    found = json.loads(CliRunner().invoke(main, ["plan", str(suite), "--json"]).stdout)
    assert found["spending"]["servers"][0]["tokens"] == 720 and "cost" not in found


def test_plan_says_that_money_cannot_be_spoken_of_without_prices(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["plan", str(write_plain_suite(tmp_path))])
    assert "nothing is said in money, since the suite declares no `prices`" in result.stdout
