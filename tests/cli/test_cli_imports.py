"""Light commands stay light: asserted on the set of modules, never on time."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from evidence_factory import Fixture

HEAVY = {"torch", "transformers", "peft", "trl", "lm_eval", "datasets", "accelerate", "safetensors"}
SUITE = Path(__file__).parents[2] / "suites" / "ticket-triage"

SCRIPT = """
import sys
from harness.cli.main import main
try:
    main(sys.argv[1:], standalone_mode=True)
except SystemExit:
    pass
print("MODULES", *sorted({name.split(".")[0] for name in sys.modules}))
"""


def modules_after(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("MODULES"))
    return set(line.split()[1:])


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("run", "--help")])
def test_help_imports_no_libraries_but_click(arguments: tuple[str, ...]) -> None:
    loaded = modules_after(*arguments)
    assert not loaded & (HEAVY | {"numpy", "scipy", "pandas", "pydantic", "jinja2", "rich", "ruamel"})


@pytest.mark.parametrize("command", ["validate", "plan", "advise", "history"])
def test_looking_at_a_suite_imports_no_model_libraries(command: str) -> None:
    assert not modules_after(command, str(SUITE)) & HEAVY


def test_starting_a_suite_imports_no_model_libraries(tmp_path: Path) -> None:
    assert not modules_after("init", str(tmp_path / "mine")) & HEAVY
    assert (tmp_path / "mine" / "suite.yaml").is_file()


def test_comparing_imports_no_model_libraries(tmp_path: Path) -> None:
    rows = [f'{{"id": "e{i}", "score": {i % 2}}}' for i in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    assert not modules_after("compare", str(tmp_path / "a.jsonl"), str(tmp_path / "a.jsonl")) & HEAVY


@pytest.mark.parametrize("command", ["gate", "report"])
def test_judging_imports_no_model_libraries(command: str, tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "run")
    if command == "report":
        modules_after("gate", str(folder))
    assert not modules_after(command, str(folder)) & HEAVY
    assert (folder / "verdict.json").is_file()


def test_verify_imports_no_model_libraries(tmp_path: Path) -> None:
    folder = Fixture().write(tmp_path / "run")
    modules_after("gate", str(folder))
    options = ("--suite-digest", hashlib.sha256((folder / "suite.yaml").read_bytes()).hexdigest())
    loaded = modules_after("verify", str(folder / "adapter"), *options)
    assert not loaded & (HEAVY | {"numpy", "scipy", "httpx", "requests", "urllib3"})


def test_the_selftest_imports_no_model_libraries(tmp_path: Path) -> None:
    folder = Fixture(n_probe=50, n_test=40, questions=40).write(tmp_path / "run")
    assert not modules_after("selftest", str(folder), "--replicates", "100") & HEAVY
