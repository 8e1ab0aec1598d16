"""Every hand-made fault in the gate is noticed by the tests that its row names, in a copy of the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hand_made_mutants import MUTANTS as OF_THE_GATE
from hand_made_mutants import Mutant
from reader_mutants import READER

MUTANTS = (*OF_THE_GATE, *READER)
pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
COPIED = ("harness", "tests", "suites", "pyproject.toml", "README.md")
FAILED = 1  # pytest: tests were collected and run, and some failed; anything else is no verdict of a test


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The project without what it can make again."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    return tmp_path


def python(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the copy, whose packages come before the installed ones, without compiled files."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=tree, env=environment, capture_output=True, text=True, timeout=600
    )


def run_tests(tree: Path, *nodes: str) -> subprocess.CompletedProcess[str]:
    return python(tree, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *nodes)


def test_each_old_text_occurs_exactly_once() -> None:
    counts = {m.stands_for: (ROOT / "harness" / m.file).read_text(encoding="utf-8").count(m.old) for m in MUTANTS}
    assert {name: count for name, count in counts.items() if count != 1} == {}
    assert len(counts) == len(MUTANTS) >= 25


def test_the_copy_is_what_the_tests_import(tree: Path) -> None:
    found = python(tree, "-c", "import harness; print(harness.__file__)")
    assert Path(found.stdout.strip()) == tree / "harness" / "__init__.py"


def test_the_named_tests_pass_when_nothing_is_mutated(tree: Path) -> None:
    nodes = dict.fromkeys(node for mutant in MUTANTS for node in mutant.killed_by)
    found = run_tests(tree, *nodes)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.stands_for for mutant in MUTANTS])
def test_the_gate_is_found_out_when(mutant: Mutant, tree: Path) -> None:
    file = tree / "harness" / mutant.file
    text = file.read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    for node in mutant.killed_by:
        found = run_tests(tree, node)
        assert found.returncode == FAILED, found.stdout[-3000:] + found.stderr[-3000:]
