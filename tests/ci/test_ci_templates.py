"""What other projects include: the README's workflow and tables, the GitLab template and the pre-commit hooks."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from action_bench import ACTION, CODES, ROOT, Bench
from click.testing import CliRunner
from junitparser import JUnitXml
from ruamel.yaml import YAML
from workflow_runner import Finished

from harness.cli.main import main

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


def protect(bench: Bench, suite: str) -> None:
    """Put the suite on the protected branch of the repository's origin, which is itself."""
    folder = bench.repository / suite
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(bench.repository / "reports" / "fixture" / "run-1" / "suite.yaml", folder / "suite.yaml")
    author = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    for command in (
        ("checkout", "-q", "-b", "protected"),
        ("add", suite),
        (*author, "commit", "-q", "-m", "suite"),
        ("remote", "add", "origin", str(bench.repository)),
    ):
        subprocess.run(["git", "-C", str(bench.repository), *command], check=True)
    bench.job.variables["GITHUB_BASE_REF"] = "protected"


def test_the_readmes_workflow_verifies_what_shipped(tmp_path: Path) -> None:
    steps = shown(".github/workflows/adapter.yml")["jobs"]["gate"]["steps"]
    places = [number for number, step in enumerate(steps) if "lora-harness@" in step.get("uses", "")]
    (gate,) = places
    bench = Bench(tmp_path)
    protect(bench, steps[gate]["with"]["suite"])
    done = bench.run(**{name.replace("-", "_"): value for name, value in steps[gate]["with"].items()}, comment="false")
    contexts = {"steps": {steps[gate]["id"]: {"outputs": done.outputs}}}
    (last,) = steps[gate + 1 :]
    after = Finished()
    bench.job.bash({"shell": "bash", **last}, contexts, ROOT, after)
    assert after.exit_code == 0
    assert "verified: run run-1 of fixture shipped exactly these" in after.log


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
    gitlab(bench, SUITE="suites/fixture", ADAPTER="my adapter")
    assert bench.arguments("harness") == ["run", "--adapter", "my adapter", "--", "suites/fixture"]


def test_the_readmes_gitlab_job_extends_the_template() -> None:
    pipeline = shown(".gitlab-ci.yml")
    assert ROOT / pipeline["include"]["file"] == TEMPLATE
    template = read(TEMPLATE)[pipeline["adapter"]["extends"]]
    assert set(pipeline["adapter"]["variables"]) <= set(template["variables"])


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
