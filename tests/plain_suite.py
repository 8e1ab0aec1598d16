"""A suite in files without a model: enough for everything that happens before a run."""

from __future__ import annotations

import json
from pathlib import Path

SUITE = """\
suite: plain
seed: 1
model: smollm2-135m-instruct
data: {train: train.jsonl, test: test.jsonl, schema: schema.json}
train: {learning_rate: 2e-4}
systems:
  candidate: {kind: adapter, role: candidate, system: bare.txt}
  bare: {kind: prompt, system: bare.txt}
checks:
  - {kind: better_than}
  - {kind: valid_output, on: test, bar: 90%}
"""
FILES = {
    "schema.json": '{"type": "string"}',
    "bare.txt": "Answer.",
    "engineered.txt": "Answer with one word.",
    "rubric.txt": "Shorter is better.",
    "answer.lark": r"""start: "\"x0\"" | "\"x1\""
""",
    "template.txt": "{passages}\n\n{question}",
    "handbook/refunds.md": "Refunds take a week.\n",
}


def write_plain_suite(project: Path, *, text: str = SUITE, train: int = 120, test: int = 40) -> Path:
    """Write a project with this one suite, its rows and every file that a suite may name; returns its folder."""
    (project / "baselines").mkdir(parents=True, exist_ok=True)
    folder = project / "suites" / "plain"
    (folder / "handbook").mkdir(parents=True, exist_ok=True)
    (folder / "suite.yaml").write_text(text)
    for name, content in FILES.items():
        (folder / name).write_text(content)
    for name, count in (("train", train), ("test", test)):
        rows = [{"prompt": f"{name} question {i}", "completion": f'"x{i % 2}"'} for i in range(count)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
