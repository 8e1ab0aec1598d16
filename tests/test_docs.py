"""The README cannot go stale: commands, packages and the test command are checked against the code."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import click
import pytest

from harness.cli.main import main
from harness.errors import ExitCode

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_command_has_its_row_with_the_first_line_of_its_help() -> None:
    rows = dict(re.findall(r"^\| `harness ([\w-]+)` \| (.+) \|$", README, re.MULTILINE))
    context = click.Context(main)
    found = {name: main.get_command(context, name) for name in main.list_commands(context)}
    assert rows == {name: (command.help or "").splitlines()[0] for name, command in found.items() if command}


def test_every_module_but_the_command_line_is_kept_from_click() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (kept,) = (
        set(item["source_modules"]) for item in contracts if item["name"] == "Only the command line speaks click"
    )
    found = {path.stem for path in (ROOT / "harness").glob("*.py")} - {"__init__", "__main__"}
    found |= {path.parent.name for path in (ROOT / "harness").glob("*/__init__.py")} - {"cli"}
    assert kept == {f"harness.{name}" for name in found}


def test_every_package_has_its_row() -> None:
    rows = set(re.findall(r"^\| `harness/(\w+)` \|", README, re.MULTILINE))
    assert rows == {path.name for path in (ROOT / "harness").iterdir() if path.is_dir() and path.name != "__pycache__"}


def test_every_exit_code_is_explained() -> None:
    (section,) = re.findall(r"^## Exit codes\n(.+?)^## ", README, re.DOTALL | re.MULTILINE)
    rows = {int(code) for code in re.findall(r"^\| (\d+) \| ", section, re.MULTILINE)}
    assert rows == {int(code) for code in ExitCode}


def test_ci_runs_the_very_test_command_of_the_readme() -> None:
    (command,) = re.findall(r"runs the tests:\n\n```bash\n(.+)\n```", README)
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()[-1] == command


def test_the_readmes_example_runs_and_says_what_it_should(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith("('pass', 'better: +14.5 points")
    assert "1 missing score was counted against the candidate" in printed


def test_every_promise_is_in_the_table_with_tests_that_there_are() -> None:
    (section,) = re.findall(r"^## Security\n(.+?)^## ", README, re.DOTALL | re.MULTILINE)
    rows = re.findall(r"^\| P(\d+)(\*?) \| .+ \|\n((?:\| \| .+ \|\n)+)", section, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 26))
    for number, _, proof in rows:
        named = re.findall(r"`([\w/]+\.py)(?:::(test_\w+))?`", proof)
        assert named and len(named) == proof.count("`") // 2, f"P{number}"
        for file, test in named:
            tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
            tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert test in tests if test else any(name.startswith("test_") for name in tests), (
                f"P{number}: {file} {test}"
            )
    told = re.findall(r"^- ((?:P\d+(?:, )?)+):", section, re.MULTILINE)
    assert ", ".join(told).split(", ") == [f"P{number}" for number, mark, _ in rows if mark]


def test_every_suite_is_listed() -> None:
    listed = set(re.findall(r"^\| `([\w-]+)` \|", (ROOT / "suites" / "README.md").read_text(), re.MULTILINE))
    assert listed == {path.name for path in (ROOT / "suites").iterdir() if path.is_dir()}


def test_modules_and_functions_keep_to_their_budgets() -> None:
    over = []
    for file in sorted((ROOT / "harness").rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
        if not ast.get_docstring(tree):
            over.append(f"{file}: no module docstring")
        if text.count("\n") > 400:
            over.append(f"{file}: over 400 lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > (120 if file.parent.name == "train" else 60):
                    over.append(f"{file}:{node.lineno} {node.name}: {lines} lines")
    assert over == []
