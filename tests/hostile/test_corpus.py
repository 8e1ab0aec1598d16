"""The whole corpus of hostile inputs: every one is refused or counted, with its place, and every odd one is taken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
WALK = Path(__file__).with_name("walk.py")
MODEL_LIBRARIES = {"torch", "transformers", "peft", "trl", "lm_eval", "datasets", "accelerate", "safetensors"}
COUNTED = {"output", "endpoint"}  # faults of a model or a server, which no run stops for
MOST_BYTES = 500 << 20  # held for any input that is refused


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], set[str]]:
    """What came of each input, in a process of its own; and the modules that it had at the end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(WALK), str(tmp_path_factory.mktemp("hostile"))]
    done = subprocess.run(command, capture_output=True, env=environment, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")[-3000:]
    *found, last = map(json.loads, done.stdout.splitlines())
    return found, set(last["modules"])


@pytest.fixture(scope="module")
def bad(walked: tuple[list[dict[str, Any]], set[str]]) -> list[dict[str, Any]]:
    return [row for row in walked[0] if not row["control"]]


@pytest.fixture(scope="module")
def controls(walked: tuple[list[dict[str, Any]], set[str]]) -> list[dict[str, Any]]:
    return [row for row in walked[0] if row["control"]]


def test_the_corpus_has_its_size_and_nothing_twice(bad: list[dict[str, Any]], controls: list[dict[str, Any]]) -> None:
    for inputs, fewest in ((bad, 300), (controls, 30)):
        assert len({(row["kind"], row["title"]) for row in inputs}) == len(inputs) >= fewest
    assert set(Counter(row["kind"] for row in bad)) == {"suite", "data", "schema", "adapter", "base", *COUNTED}


def test_every_bad_input_is_refused_or_counted(bad: list[dict[str, Any]]) -> None:
    wanted = {True: "counted", False: "refused"}
    assert [row for row in bad if row["found"] != wanted[row["kind"] in COUNTED]] == []


def test_every_refusal_names_the_file_and_nearly_all_the_line(bad: list[dict[str, Any]]) -> None:
    refused = [row for row in bad if row["kind"] not in COUNTED]
    assert [row for row in refused if not row["names_file"]] == []
    with_line = [row for row in refused if row["has_line"]]
    without = [row for row in with_line if not row["names_line"]]
    assert len(with_line) >= 200 and len(without) <= 0.05 * len(with_line), without


def test_every_odd_control_is_accepted(controls: list[dict[str, Any]]) -> None:
    assert [row for row in controls if row["found"] != "accepted"] == []


def test_refusing_takes_no_model_library_and_little_memory(
    walked: tuple[list[dict[str, Any]], set[str]], bad: list[dict[str, Any]]
) -> None:
    refused = [row for row in bad if row["kind"] not in COUNTED]
    assert not walked[1] & MODEL_LIBRARIES
    assert refused[-1]["peak_bytes"] <= MOST_BYTES
    with_line = [row for row in refused if row["has_line"]]
    slowest = max(refused, key=lambda row: float(row["seconds"]))
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(row["kind"] for row in bad).items())
    print(f"\n{len(bad)} bad inputs ({kinds}), {len(walked[0]) - len(bad)} controls")
    print(f"{sum(row['names_line'] for row in with_line)} of {len(with_line)} with a line have it named")
    print(f"slowest refusal: {slowest['seconds']} s of computing ({slowest['kind']}: {slowest['title']})")
    print(f"peak memory: {refused[-1]['peak_bytes'] >> 20} MiB over the refusals, {bad[-1]['peak_bytes'] >> 20} in all")
