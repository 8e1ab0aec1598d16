"""The demo's promoted adapter, judged on a few of the demo's rows by the real model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from harness.cli.main import main

ROOT = Path(__file__).parents[2]
DEMO, PROMOTED = ROOT / "suites" / "ticket-triage", ROOT / "baselines" / "ticket-triage" / "brief" / "adapter"
MODEL_NAME = "smollm2-135m-instruct"
ROWS = 10  # the fewest that a suite may have
SUITE = f"""\
suite: triage
seed: 17
model: {MODEL_NAME}
data: {{test: test.jsonl}}
decoding: {{max_new_tokens: 24}}
systems:
  candidate: {{kind: adapter, role: candidate, from: adapter, system: plain.txt}}
  prompt-only: {{kind: prompt, system: plain.txt}}
checks:
  - {{kind: better_than}}
"""


def harness(*arguments: object) -> tuple[int, dict[str, Any]]:
    """The exit code of a command, and what it printed as JSON."""
    result = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert result.exit_code in {0, 3, 4}, result.output + repr(result.exception)
    return result.exit_code, json.loads(result.stdout.splitlines()[-1])


def judge_demo_adapter(project: Path, *, rows: int = ROWS) -> Path:
    """Write a suite into an empty project, run it, and return the folder of the run."""
    folder = project / "suites" / "triage"
    (project / "baselines").mkdir()
    shutil.copytree(PROMOTED, folder / "adapter")
    shutil.copy(DEMO / "prompts" / "plain.txt", folder / "plain.txt")
    lines = (DEMO / "test.jsonl").read_text(encoding="utf-8").splitlines()[:rows]
    (folder / "test.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "suite.yaml").write_text(SUITE)
    _, found = harness("run", folder)
    return Path(found["run"])
