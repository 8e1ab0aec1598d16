"""What other projects include: the README's workflow and tables, the GitLab template and the pre-commit hooks."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from action_bench import ACTION, CODES, ROOT, Bench
from click.testing import CliRunner
from junitparser import JUnitXml
from ruamel.yaml import YAML
from workflow_runner import Outputs, holds

from harness.cli.main import main
from harness.trust.sign import new_key_pair

README = (ROOT / "README.md").read_text(encoding="utf-8")
TEMPLATE = ROOT / ".gitlab" / "lora-harness.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
OPEN_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]* -?[0-9.]+(e[-+]?[0-9]+)?")


def read(text: str | Path) -> Any:
    return YAML(typ="safe").load(text)


def shown(file: str) -> Any:
    """The README's block of this file."""
    (block,) = re.findall(rf"```yaml\n# {re.escape(file)}\n(.+?)```", README, re.DOTALL)
    return read(block)


def test_the_readmes_pull_request_job_judges_and_deploys_nothing() -> None:
    workflow = shown(".github/workflows/adapter.yml")
    steps = workflow["jobs"]["gate"]["steps"]
    assert workflow["on"] == "pull_request"
    assert steps[-1]["uses"].endswith("/lora-harness@v1") and set(steps[-1]["with"]) <= set(read(ACTION)["inputs"])
    assert [step for step in steps if "run" in step or "secrets." in str(step)] == []


def deploy(bench: Bench, *, signed: bool = True, replayed: Outputs | None = None) -> tuple[int, list[str]]:
    """Run the README's deploy job; its exit code, and the adapters that were deployed."""
    workflow = shown(".github/workflows/deploy.yml")
    assert workflow["on"] == {"push": {"branches": ["main"]}}
    *_, gate, last = workflow["jobs"]["deploy"]["steps"]
    assert gate["uses"].endswith("/lora-harness@v1") and list(gate["env"]) == ["HARNESS_SIGNING_KEY"]
    private, public, _ = new_key_pair()
    (script,) = re.findall(r"```bash\n(#!/usr/bin/env bash\n# deploy-adapter.sh.+?)```", README, re.DOTALL)
    (bench.repository / "deploy-adapter.sh").write_text(script)
    (bench.repository / "harness-signing.pem.pub").write_bytes(public)
    bench.program("deploy", '#!/bin/sh\necho "$1" >> deployed\n')
    key = {"HARNESS_SIGNING_KEY": private.decode()} if signed else {}
    bench.job = replace(bench.job, event_name="push", event={}, variables={**bench.job.variables, **key})
    suite = Path(gate["with"]["suite"]).name
    done = bench.run(replayed=replayed, **{**gate["with"], "suite": "suites/fixture"})
    contexts = {"steps": {gate["id"]: {"outputs": done.outputs}}}
    if holds(last["if"], contexts, failed=done.exit_code != 0):
        step = {"shell": "bash", **last, "run": last["run"].replace(f" {suite} ", " fixture ")}
        bench.job.bash(step, contexts, ROOT, done)
    deployed = bench.repository / "deployed"
    return done.exit_code, deployed.read_text().splitlines() if deployed.exists() else []


@pytest.mark.parametrize("end", CODES)
def test_the_readmes_deploy_job_deploys_what_shipped_and_nothing_else(end: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path, end)
    adapter = bench.repository / "reports" / "fixture" / "run-1" / "adapter"
    assert deploy(bench) == (CODES[end], [str(adapter)] if end == "ship" else [])


def test_the_readmes_deploy_job_deploys_nothing_when_nothing_was_judged(tmp_path: Path) -> None:
    assert deploy(Bench(tmp_path), replayed={"exit-code": "0"}) == (0, [])


def test_the_readmes_deploy_job_deploys_nothing_unsigned(tmp_path: Path) -> None:
    assert deploy(Bench(tmp_path), signed=False) == (5, [])


def test_the_readme_lists_the_inputs_and_outputs_of_the_action() -> None:
    action = read(ACTION)
    inputs = re.search(r"\| input \| meaning.+?\n\n", README, re.DOTALL)
    outputs = re.search(r"\| output \|.+?\n\n", README, re.DOTALL)
    assert inputs and outputs
    rows = re.findall(r"^\| `([\w-]+)` \|.+\| (?:`(.+?)` )?\|$", inputs[0], re.MULTILINE)
    assert dict(rows) == {name: one.get("default", "") for name, one in action["inputs"].items()}
    assert re.findall(r"^\| `([\w-]+)` \|", outputs[0], re.MULTILINE) == list(action["outputs"])


def gitlab(bench: Bench, **variables: str) -> int:
    """Run the template's job as a GitLab runner does, and return its exit code."""
    (job,) = read(TEMPLATE).values()
    own = {
        name: str(value).replace("$CI_PROJECT_DIR", str(bench.repository)) for name, value in job["variables"].items()
    }
    environment = {**bench.job.variables, "CI": "true", **own, **variables}
    codes = []
    for lines in (job["before_script"] + job["script"], job["after_script"]):
        command = ["bash", "-eo", "pipefail", "-c", "\n".join(lines)]
        ran = subprocess.run(
            command, cwd=bench.repository, env=environment, capture_output=True, text=True, check=False
        )
        codes.append(ran.returncode)
    assert codes[1] == 0
    return codes[0]


@pytest.mark.parametrize("end", ["hold", "error"])
def test_the_gitlab_job_ends_with_the_verdict_and_leaves_its_reports(end: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path, end)
    assert gitlab(bench, SUITE="suites/fixture", PACKAGE="git+https://example.com/lora harness") == CODES[end]
    assert bench.arguments("harness") == ["run", "--", "suites/fixture"]
    assert bench.arguments("python") == ["-m", "pip", "install", "--quiet", "git+https://example.com/lora harness"]
    reports = read(TEMPLATE)[".lora-harness"]["artifacts"]["reports"]
    *metrics, last = (bench.repository / reports["metrics"]).read_text().splitlines()
    assert last == "# EOF"
    assert all(OPEN_METRIC.fullmatch(line) for line in metrics)
    found = list(bench.repository.glob(reports["junit"]))
    assert len(found) == (end == "hold") == ("harness_checks_fail 1.0" in metrics)
    for file in found:
        (suite,) = JUnitXml.fromstring(file.read_bytes())
        assert suite.failures == 1


def test_the_gitlab_job_judges_an_adapter_made_elsewhere(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "error")
    gitlab(bench, SUITE="suites/fixture", ADAPTER="my adapter", PACKAGE=".")
    assert bench.arguments("harness") == ["run", "--adapter", "my adapter", "--", "suites/fixture"]


def test_the_gitlab_job_installs_nothing_when_it_is_not_told_what(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert gitlab(bench, SUITE="suites/fixture") == 2
    assert not (tmp_path / "python").exists() and not (tmp_path / "harness").exists()


def test_the_readmes_gitlab_job_extends_the_template() -> None:
    pipeline = shown(".gitlab-ci.yml")
    assert ROOT / pipeline["include"]["file"] == TEMPLATE
    template = read(TEMPLATE)[pipeline["adapter"]["extends"]]
    assert set(pipeline["adapter"]["variables"]) <= set(template["variables"])
    assert pipeline["adapter"]["variables"]["PACKAGE"].startswith("git+https://")
    assert set(pipeline["adapter"]) == {"extends", "variables"}  # nothing lets a verdict but ship through


def test_each_hook_validates_the_suite_in_its_arguments() -> None:
    hooks = {hook["id"]: hook for hook in read(HOOKS)}
    (asked,) = shown(".pre-commit-config.yaml")["repos"][0]["hooks"]
    assert {hook["language"] for hook in hooks.values()} == {"python", "system"}
    for hook in hooks.values():
        program, *arguments = hook["entry"].split()
        assert (program, hook["pass_filenames"]) == ("harness", False)
        assert re.search(hook["files"], "suites/ticket-triage/test.jsonl")
        result = CliRunner().invoke(main, [*arguments, *(str(ROOT / suite) for suite in asked["args"])])
        assert result.exit_code == 0, result.output
    assert asked["id"] in hooks and re.search(asked["files"], "suites/ticket-triage/suite.yaml")
