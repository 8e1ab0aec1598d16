"""The README's figures of capacity are those that the script computes from the counted tokens."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from performance.capacity import COUNTS, MACHINES, MODELS, assumptions, cards_needed, facts, gpu_hours, table, workload

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
COUNTED = json.loads(COUNTS.read_text(encoding="utf-8"))
SMALL, LARGE = MODELS
ONE_CARD, ONE_NODE, CLUSTER = MACHINES


def test_the_readme_has_the_scripts_table_counts_and_assumptions() -> None:
    assert "\n".join(table(COUNTED)) in README
    text = " ".join(README.split())
    assert facts(COUNTED) in text and assumptions() in text


def test_two_systems_and_six_arms_are_counted() -> None:
    work = workload(1000.0)
    assert (work.read, work.written) == (2 * 1000 + 6 * 1000 * 500, 6 * 1000 * 100)


def test_hours_are_multiplications_over_what_a_card_does_of_them() -> None:
    work = replace(workload(0.0), read=1e9, written=0)
    # 2 x 8e9 x 1e9 = 1.6e19 operations, at 40 % of 125e12 a second.
    assert gpu_hours(work, SMALL, ONE_CARD) == pytest.approx(1.6e19 / 50e12 / 3600)
    assert gpu_hours(work, LARGE, ONE_CARD) == pytest.approx(gpu_hours(work, SMALL, ONE_CARD) * 70 / 8)
    assert gpu_hours(work, LARGE, CLUSTER) == pytest.approx(gpu_hours(work, LARGE, ONE_NODE) / 0.9)


@pytest.mark.parametrize(
    ("model", "machine", "bits", "cards"),
    [(SMALL, ONE_CARD, 16, 1), (SMALL, ONE_CARD, 32, 2), (LARGE, ONE_CARD, 4, 2), (LARGE, ONE_NODE, 16, 4)],
)
def test_weights_need_room_for_what_is_computed(model: object, machine: object, bits: int, cards: int) -> None:
    assert cards_needed(model, machine, bits) == cards  # type: ignore[arg-type]


def test_the_counts_are_of_the_whole_benchmark() -> None:
    assert (COUNTED["questions"], COUNTED["shots"]) == (14_042, 5)
    assert COUNTED["forwarded_tokens"] < COUNTED["prompt_tokens"]
