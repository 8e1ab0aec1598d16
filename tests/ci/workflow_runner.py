"""Runs the steps of a composite action as the GitHub runner does, with bash and the runner's files and variables."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

Outputs = Mapping[str, str]


@dataclass
class Finished:
    """What a run of the action left behind."""

    exit_code: int = 0
    log: str = ""
    summary: str = ""
    steps: dict[str, Outputs] = field(default_factory=dict)  # of the steps with an id
    outputs: dict[str, str] = field(default_factory=dict)
    used: dict[str, dict[str, str]] = field(default_factory=dict)  # "actions/name@v1" -> its inputs

    @property
    def annotations(self) -> list[str]:
        """Every line that the runner would take for a command."""
        return [line for line in self.log.splitlines() if line.lstrip().startswith("::") or "##[" in line]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A checkout on a runner: what every step of it sees."""

    workspace: Path
    temporary: Path
    event_name: str
    event: Mapping[str, Any]
    variables: Mapping[str, str]

    def run(
        self, action: Path, inputs: Mapping[str, str], *, replayed: Mapping[str, Outputs] | None = None
    ) -> Finished:
        """Run every step of `action` whose condition holds; `replayed` has the outputs of steps that ran before."""
        declared = YAML(typ="safe").load(action)
        given = {name: inputs.get(name, one.get("default", "")) for name, one in declared["inputs"].items()}
        assert set(inputs) <= set(given)
        done = Finished()
        for step in declared["runs"]["steps"]:
            contexts = {"inputs": given, "github": self._github(), "steps": _as_context(done.steps)}
            if not holds(step.get("if"), contexts, failed=done.exit_code != 0):
                continue
            if step.get("id") in (replayed or {}):
                done.steps[step["id"]] = (replayed or {})[step["id"]]
            elif "uses" in step:
                done.used[step["uses"]] = {key: fill(value, contexts) for key, value in step["with"].items()}
            else:
                self.bash(step, contexts, action.parent, done)
        contexts = {"steps": _as_context(done.steps)}
        done.outputs = {name: fill(one["value"], contexts) for name, one in declared["outputs"].items()}
        return done

    def _github(self) -> dict[str, Any]:
        repository = self.variables["GITHUB_REPOSITORY"]
        return {"event": self.event, "event_name": self.event_name, "repository": repository, "token": "secret"}

    def bash(self, step: Mapping[str, Any], contexts: Mapping[str, Any], action: Path, done: Finished) -> None:
        """Run one step, with a new file for each thing that it may write."""
        assert step["shell"] == "bash"
        self.temporary.mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=self.temporary))
        output, summary, event, script = (folder / name for name in ("output", "summary", "event.json", "script.sh"))
        output.touch()
        summary.touch()
        event.write_text(json.dumps(self.event))
        script.write_text(step["run"])
        ran = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.workspace / fill(step.get("working-directory", "."), contexts),
            env={
                **self.variables,
                "CI": "true",
                "GITHUB_ACTIONS": "true",
                "GITHUB_ACTION_PATH": str(action),
                "GITHUB_EVENT_NAME": self.event_name,
                "GITHUB_EVENT_PATH": str(event),
                "GITHUB_OUTPUT": str(output),
                "GITHUB_STEP_SUMMARY": str(summary),
                "GITHUB_WORKSPACE": str(self.workspace),
                "RUNNER_TEMP": str(self.temporary),
                **{name: fill(value, contexts) for name, value in step.get("env", {}).items()},
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        done.log += ran.stdout
        done.summary += summary.read_text()
        if "id" in step:
            done.steps[step["id"]] = read_outputs(output.read_text())
        done.exit_code = done.exit_code or ran.returncode


def read_outputs(text: str) -> dict[str, str]:
    """Read an output file as the runner does: NAME=VALUE, or NAME<<END, lines and END; the last of a name counts."""
    lines, found = iter(text.split("\n")[:-1]), {}
    for line in lines:
        opened = re.fullmatch(r"([^=]+?)<<(.+)", line)
        if opened is None:
            name, value = line.split("=", 1)
        else:
            name, value = opened[1], "\n".join(iter(lines.__next__, opened[2]))
        found[name] = value
    return found


def fill(text: str, contexts: Mapping[str, Any]) -> str:
    """Put the values of all `${{ }}` into a text."""
    return re.sub(r"\$\{\{(.+?)\}\}", lambda match: str(_evaluate(match[1], contexts)), str(text))


def holds(condition: str | None, contexts: Mapping[str, Any], *, failed: bool) -> bool:
    """A condition that does not speak of the job's state asks for its success, too."""
    text = re.sub(r"^\$\{\{|\}\}$", "", str(condition or "true").strip())
    asks = re.search(r"\b(always|cancelled|failure|success)\(\)", text) is not None
    return (asks or not failed) and bool(_evaluate(text, contexts))


def _evaluate(expression: str, contexts: Mapping[str, Any]) -> Any:
    words = {"&&": "and", "||": "or", "!": "not", "cancelled()": "False", "true": "True"}
    tokens = re.findall(r"'[^']*'|&&|\|\||==|!=|[!()]|[\w.-]+(?:\(\))?", expression)
    assert "".join(tokens) == re.sub(r"\s+(?=(?:[^']*'[^']*')*[^']*$)", "", expression)
    known = {*words, "==", "!=", "(", ")"}
    parts = [words.get(t, t) if t in known or t[0] == "'" else repr(_look_up(t, contexts)) for t in tokens]
    return eval(" ".join(parts), {"__builtins__": {}})


def _look_up(name: str, contexts: Mapping[str, Any]) -> Any:
    value: Any = contexts
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return "" if value is None else value


def _as_context(steps: Mapping[str, Outputs]) -> dict[str, Any]:
    return {name: {"outputs": outputs} for name, outputs in steps.items()}
