"""Rows that ask the same are one observation, whatever ids they have."""

from __future__ import annotations

import json
from pathlib import Path

from plain_suite import write_plain_suite

from harness.data.splits import cluster_repeats, load_datasets
from harness.records import Example, Message
from harness.suite.load import load_suite


def row(name: str, prompt: str, cluster: str | None = None) -> Example:
    messages = (Message(role="system", content=name), Message(role="user", content=prompt))
    return Example(id=name, messages=messages, target="x", cluster=cluster)


def test_rows_with_the_same_prompt_are_one_cluster_and_others_are_left_alone() -> None:
    rows = (row("a", "One?"), row("b", "two"), row("c", " one? "), row("d", "ONE?"), row("e", "three", "own"))
    assert [found.cluster for found in cluster_repeats(rows)] == ["a", None, "a", "a", "own"]


def test_a_row_joins_the_cluster_that_another_with_its_prompt_names() -> None:
    rows = (row("a", "one"), row("b", "one", "first"), row("c", "one", "second"), row("d", "two"), row("e", "two"))
    assert [found.cluster for found in cluster_repeats(rows)] == ["first", "first", "second", "d", "d"]


def test_test_and_probe_rows_are_clustered_when_they_are_read(tmp_path: Path) -> None:
    folder = write_plain_suite(tmp_path)
    for name in ("test", "probe"):
        lines = [{"id": f"{name}-{i}", "prompt": f"{name} number {i % 20}", "completion": "red"} for i in range(30)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = (folder / "suite.yaml").read_text()
    (folder / "suite.yaml").write_text(text.replace("test: test.jsonl", "test: test.jsonl, probe: probe.jsonl"))
    found = load_datasets(load_suite(folder))
    for name, rows in (("test", found.test), ("probe", found.probe)):
        assert [example.cluster for example in rows[:11]] == [*(f"{name}-{i}" for i in range(10)), None]
        assert [example.cluster for example in rows[20:]] == [f"{name}-{i}" for i in range(10)]
