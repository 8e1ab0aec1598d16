"""A scratch repository in which the action can be run to each of its ends, without a model."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from evidence_factory import Fixture
from workflow_runner import Finished, Job, Outputs

from harness.findings import Decision

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "action.yml"
SUITE = """\
suite: fixture
seed: 3
model: smollm2-135m-instruct
data: {train: train.jsonl, test: test.jsonl, probe: probe.jsonl, schema: schema.json}
train: {method: lora}
systems:
  candidate: {kind: adapter, role: candidate}
  bare: {kind: prompt, role: baseline}
checks:
  - {kind: better_than, scorer: exact_match, baselines: all}
  - {kind: valid_output, on: probe, bar: 90%}
  - {kind: healthy_training}
"""
EVIDENCE: dict[Decision, Fixture] = {
    "ship": Fixture(suite_text=SUITE, n_test=60, n_probe=60, questions=1),
    "hold": Fixture(suite_text=SUITE, n_test=60, n_probe=60, questions=1, invalid_probes=30),
    "undecided": Fixture(
        suite_text=SUITE, n_test=60, n_probe=60, questions=1, candidate_right=lambda i: i % 2 == 0 or i == 1
    ),
}
CODES = {"ship": 0, "hold": 3, "undecided": 4, "error": 2}
GH = """\
#!{python}
import json, pathlib, subprocess, sys
folder, arguments = pathlib.Path({folder!r}), sys.argv[1:]
bodies = [pathlib.Path(a.removeprefix("body=@")).read_text() for a in arguments if a.startswith("body=@")]
with (folder / "calls.jsonl").open("a") as log:
    log.write(json.dumps({{"arguments": arguments, "body": "".join(bodies)}}) + "\\n")
if (folder / "refused").exists():
    sys.exit("gh: Resource not accessible by integration (HTTP 403)")
if "--jq" in arguments:
    program = arguments[arguments.index("--jq") + 1]
    subprocess.run(["jq", "--raw-output", program, str(folder / "comments.json")], check=True)
"""


class Bench:
    """A scratch repository with a pull request, a `harness` that judges a prepared run, and a `gh` that records."""

    def __init__(self, folder: Path, decision: str = "ship") -> None:
        self.folder, self.repository = folder, folder / "repository"
        self.comments: list[dict[str, Any]] = []
        suite = self.repository / "suites" / "fixture" / "suite.yaml"
        suite.parent.mkdir(parents=True)
        suite.write_text(SUITE if decision in EVIDENCE else "suite: [")
        subprocess.run(["git", "init", "--quiet", str(self.repository)], check=True)
        run = self.repository / "reports" / "fixture" / "run-1"
        if decision in EVIDENCE:
            EVIDENCE[decision].write(run)
        self.program("gh", GH.format(python=sys.executable, folder=str(folder)))
        log, real = f'printf "%s\\n" "$@" > {folder}', sys.executable
        self.program("python", f'#!/bin/sh\nif [ "$2" != pip ]; then exec {real} "$@"; fi\n{log}/python\n')
        judge = f'if [ "$1" = run ]; then set -- gate {run}; fi\n' if run.is_dir() else ""
        self.program("harness", f'#!/bin/sh\n{log}/harness\n{judge}exec {real} -m harness "$@"\n')
        self.job = Job(
            workspace=self.repository,
            temporary=folder / "temporary",
            event_name="pull_request",
            event={"pull_request": {"number": 7, "head": {"repo": {"full_name": "owner/project"}}}},
            variables={
                "PATH": f"{folder}/bin:/usr/local/bin:/usr/bin:/bin",
                "HOME": str(folder),
                "PYTHONPATH": str(ROOT),
                "LANG": "C.UTF-8",
                "GITHUB_REPOSITORY": "owner/project",
                "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_RUN_ID": "42",
            },
        )

    def run(self, *, replayed: Outputs | None = None, **inputs: str) -> Finished:
        """Run the action; `replayed` has the outputs of its run step, which then does not run."""
        (self.folder / "comments.json").write_text(json.dumps(self.comments))
        given = {"suite": "suites/fixture", **{name.replace("_", "-"): value for name, value in inputs.items()}}
        return self.job.run(ACTION, given, replayed=None if replayed is None else {"run": replayed})

    def calls(self) -> list[dict[str, Any]]:
        """Every call of `gh`."""
        log = self.folder / "calls.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def arguments(self, program: str) -> list[str]:
        """What `harness` or `python` was last called with."""
        return (self.folder / program).read_text().splitlines()

    def program(self, name: str, text: str) -> None:
        """Put a program on the path of the job."""
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
