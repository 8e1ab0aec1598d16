"""What the tab key offers: suites and finished runs, as seen from the working folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from test_cli_imports import HEAVY

from harness.cli.main import main

MODULES = """
import sys
from harness.cli.main import main
try:
    main(prog_name="harness")
finally:
    print("MODULES", *sorted({name.split(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two suites, three finished runs and one that did not finish; one stands in its folder."""
    for name in ("suites/mine", "suites/tickets", "reports/mine/2026-01-01", "reports/mine/2026-03-01"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("reports/tickets/2026-02-01", "reports/mine/2026-04-01", "baselines"):
        (tmp_path / name).mkdir(parents=True)
    for suite in ("mine", "tickets"):
        (tmp_path / "suites" / suite / "suite.yaml").write_text("")
    for run in ("mine/2026-01-01", "mine/2026-03-01", "tickets/2026-02-01"):
        (tmp_path / "reports" / run / "manifest.json").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def offered(*arguments: str) -> list[tuple[str, str]]:
    """Type and value of each completion of the last argument."""
    completion = ShellComplete(main, {}, "harness", "_HARNESS_COMPLETE")
    return [(item.type, item.value) for item in completion.get_completions(list(arguments[:-1]), arguments[-1])]


SUITES = [("plain", "suites/mine"), ("plain", "suites/tickets")]
RUNS = [
    ("plain", "reports/mine/2026-03-01"),
    ("plain", "reports/mine/2026-01-01"),
    ("plain", "reports/tickets/2026-02-01"),
]


@pytest.mark.parametrize("command", ["validate", "plan", "run", "train", "history"])
def test_suites_are_offered_when_a_command_takes_one(command: str) -> None:
    assert offered(command, "") == SUITES
    assert offered(command, "suites/t") == SUITES[1:]


@pytest.mark.parametrize(
    "command", ["gate", "report", "promote", "card", "selftest", "show", "explain", "export", "compare"]
)
def test_finished_runs_are_offered_newest_first_when_a_command_takes_one(command: str) -> None:
    assert offered(command, "") == RUNS
    assert offered(command, "reports/mine/2026-0") == RUNS[:2]


def test_runs_are_offered_to_a_command_of_a_group() -> None:
    assert offered("review", "export", "") == RUNS


@pytest.mark.parametrize(("command", "first"), [("advise", "suites/mine"), ("compare", RUNS[1][1])])
def test_runs_are_offered_as_a_second_argument_when_a_command_takes_one(command: str, first: str) -> None:
    assert offered(command, first, "") == RUNS


def test_paths_lead_up_when_one_stands_in_a_suite(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "suites" / "mine")
    assert offered("run", "") == [("plain", "."), ("plain", "../tickets")]
    assert offered("gate", "../../reports/t") == [("plain", "../../reports/tickets/2026-02-01")]


@pytest.mark.parametrize("typed", ["elsewhere/", "/tmp/", "./suites/mi"])
def test_the_shell_completes_paths_when_no_suite_or_run_begins_so(typed: str) -> None:
    assert offered("run", typed) == offered("gate", typed) == [("file", typed)]


def test_nothing_fails_when_there_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty" / "baselines").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "empty")
    assert offered("run", "") == offered("gate", "") == [("file", "")]


def test_commands_and_options_are_offered() -> None:
    assert ("plain", "doctor") in offered("do")
    assert ("plain", "--output") in offered("card", "--o")


def complete(words: str) -> subprocess.CompletedProcess[str]:
    """What bash gets for these words, the last one being completed, and the modules that it took."""
    environment = {
        **os.environ,
        "_HARNESS_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    return subprocess.run([sys.executable, "-c", MODULES], capture_output=True, text=True, check=True, env=environment)


@pytest.mark.parametrize(
    ("words", "line"), [("harness run ", "plain,suites/mine"), ("harness gate ", f"plain,{RUNS[0][1]}")]
)
def test_completing_imports_no_libraries_but_click(words: str, line: str) -> None:
    done = complete(words)
    assert done.stdout.splitlines()[0] == line
    loaded = set(done.stderr.splitlines()[-1].split()[1:])
    assert "click" in loaded
    assert not loaded & (HEAVY | {"numpy", "scipy", "pandas", "pydantic", "jinja2", "rich", "ruamel", "packaging"})


def test_bash_registers_the_line_of_the_readme() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    line = 'eval "$(_HARNESS_COMPLETE=bash_source harness)"'
    assert f"```bash\n{line}\n```" in readme
    folder = Path(sys.executable).parent  # where the command is installed
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"{line}; complete -p harness"],
        capture_output=True, text=True, check=True, env={**os.environ, "PATH": path},
    )  # fmt: skip
    assert done.stdout.strip().endswith("_harness_completion harness")
