"""Mutants that mutmut makes of a package, in a copy of the tree, and what became of each."""

from __future__ import annotations

import ast
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("harness", "tests", "suites", "baselines", "pyproject.toml", "README.md")
# mutmut 3.8 reads `_nodeid` of pytest's items, which pytest 9.2 has no longer; and it orders tests by how long they
# take alone, so that what a file's tests share is made again for each.
MUTMUT = """
import pytest
from mutmut.__main__ import cli
from mutmut.runners.harness import PytestRunner
from mutmut.state import state

def quick_first(tests):
    seconds = {test: state().duration_by_test.get(test, 0.0) for test in tests}
    return sorted(tests, key=lambda test: (seconds[test] > 0.2, test.partition("::")[0], seconds[test]))

pytest.Item._nodeid = property(lambda item: item.nodeid)
arguments = PytestRunner._pytest_args_regular_run
PytestRunner._pytest_args_regular_run = lambda runner, tests: arguments(runner, quick_first(tests))
cli()
"""
SETTINGS = """
[tool.mutmut]
source_paths = ["harness"]
only_mutate = {files}
also_copy = ["suites", "baselines", "README.md"]
pytest_add_cli_args = ["-p", "no:cacheprovider", "--hypothesis-profile=ci"]
pytest_add_cli_args_test_selection = {tests}
timeout_multiplier = 3.0
timeout_constant = 2.0
use_setproctitle = false
use_git_change_detection = false
"""
# Without the tests that start processes, read the source (which is another while it is mutated) or measure time, and
# without long simulations: a mutant is to be noticed by what is exact.
SIMULATIONS = (
    "error_rate or simulated or nine_intervals or moves_up or chance_passes or exactly_the_margin or may_stop_early"
    " or fixed_n or 45_percent or clear_gain or wrong_decisions or are_passed or at_most_alpha"
)
FILES = {
    "gate": ["harness/gate/*"],
    "trust": ["harness/trust/*"],
    "stats": ["harness/stats/*"],
    "reader": [
        "harness/strict_json.py",
        "harness/suite/source.py",
        "harness/suite/load.py",
        "harness/data/reading.py",
        "harness/data/sources.py",
    ],
}
GATE = ("boundaries", "exact_verdicts", "exact_evidence", "exact_parity", "leaks", "misread_evidence", "rare_evidence")
NOT_OF_THE_GATE = (
    "simulated or stored_run or run_is_refused or plan_says or verdict_counts or 10_000 or exchanged or only_ever_turn"
    " or other_rows or no_rivals"
)
TESTS = {
    "gate": (
        *(f"tests/gate/test_gate_{name}.py" for name in (*GATE, "preferred", "served_as_judged")),
        "-k",
        f"not ({NOT_OF_THE_GATE})",
        "-m",
        "not slow",
    ),
    "trust": (
        "tests/trust",
        "--ignore-glob=tests/trust/test_promises*",
        "--ignore=tests/trust/test_deploy_step.py",
        "--deselect=tests/trust/test_admission.py::test_a_run_refuses_a_bad_adapter_before_torch_is_imported",
    ),
    "stats": ("tests/stats", "-k", f"not ({SIMULATIONS})"),
    "reader": (
        "tests/scoring/test_strict_json.py",
        "tests/suite/test_suite_load.py",
        "tests/suite/test_suite_data.py",
        *(
            f"tests/data/test_data_{name}.py"
            for name in ("columns", "hub", "formats", "broken_files", "reading", "sources")
        ),
        "-k",
        "not (found_offline or whatever_the_text or stays_linear or agrees_with_json_loads or written_canonically)",
    ),
}
KILLED = {1, 3, 24, 36, 152, -24}  # a test failed, or (the last four) it no longer ended in time
SURVIVED = {0, 33}  # every test passed, or none reaches the function
_WORDS = re.compile(r"[A-Za-z,;:`] +[A-Za-z`]")


@dataclass(frozen=True, slots=True)
class Mutant:
    """One edit: the lines of a function (as `ast` writes them) that are taken out, and those put in their place."""

    function: str  # "harness/trust/verify.py verify_adapter"
    removed: str
    added: str
    is_wording: bool  # whether it changes the words of a message and nothing else
    code: int  # how pytest ended

    @property
    def key(self) -> tuple[str, str, str]:
        """What the mutant is known by, whatever its number."""
        return self.function, self.removed, self.added


def copy_tree(target: Path) -> None:
    """The project without what it can make again."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target / name)


def run_mutmut(tree: Path, package: str, *, children: int) -> None:
    """Mutate the files of a package in a copy of the tree and run its tests against each mutant; takes many minutes."""
    with (tree / "pyproject.toml").open("a", encoding="utf-8") as stream:
        stream.write(SETTINGS.format(files=json.dumps(FILES[package]), tests=json.dumps(TESTS[package])))
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MUTMUT, "run", "--max-children", str(children)]
    found = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise RuntimeError(found.stdout[-3000:] + found.stderr[-3000:])
    for meta in _metas(tree):
        _retry_imported(tree, meta, TESTS[package], environment)


def _retry_imported(tree: Path, meta: Path, tests: tuple[str, ...], environment: dict[str, str]) -> None:
    """Try the survivors in functions that a module calls while it is imported, each in a process of its own.

    mutmut imports once and forks for each mutant, so what these functions made is not the mutant's.
    """
    found = json.loads(meta.read_text(encoding="utf-8"))
    codes = found["exit_code_by_key"]
    source = ast.parse((tree / meta.relative_to(tree / "mutants").with_suffix("")).read_text(encoding="utf-8"))
    made = [node for node in source.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    called = {ast.unparse(call.func) for node in made for call in ast.walk(node) if isinstance(call, ast.Call)}
    for name in codes:
        if codes[name] in SURVIVED and name.rpartition(".x_")[2].rpartition("__mutmut_")[0] in called:
            again = {**environment, "MUTANT_UNDER_TEST": name, "PYTHONPATH": os.pathsep.join([".", *sys.path[1:]])}
            command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
            ended = subprocess.run(
                command, cwd=tree / "mutants", env=again, capture_output=True, check=False
            ).returncode
            codes[name] = 1 if ended == 2 else ended  # 2: a test file could not be imported
    meta.write_text(json.dumps(found), encoding="utf-8")


def _metas(tree: Path) -> list[Path]:
    return sorted((tree / "mutants" / "harness").rglob("*.py.meta"))


def read_mutants(tree: Path) -> Iterator[Mutant]:
    """Every mutant that mutmut made in a tree, from the files that it leaves."""
    for meta in _metas(tree):
        codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        module = meta.with_suffix("")
        functions = {
            node.name: node
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef)
        }
        for name, code in codes.items():
            mangled, _, number = name.rpartition(".")[2].rpartition("__mutmut_")
            before, after = functions[f"{mangled}__mutmut_orig"], functions[f"{mangled}__mutmut_{number}"]
            function = mangled.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
            where = f"{module.relative_to(tree / 'mutants').as_posix()} {function}"
            yield Mutant(where, *_changed_lines(before, after), is_wording=_is_wording(before, after), code=code)


def _changed_lines(before: ast.FunctionDef, after: ast.FunctionDef) -> tuple[str, str]:
    heads = [ast.unparse(node.args) for node in (before, after)]  # without the names, which differ always
    old, new = ([head, *ast.unparse(node).splitlines()[1:]] for head, node in zip(heads, (before, after), strict=True))
    lines = list(difflib.ndiff(old, new))
    removed, added = ([line[2:].strip() for line in lines if line[0] == sign] for sign in "-+")
    return " / ".join(removed), " / ".join(added)


def _is_wording(before: ast.AST, after: ast.AST) -> bool:
    """Whether exactly one text differs, which is prose: of two words or more, or anything said in a `raise`.

    Keys, formats, names of algorithms and statuses are single words, and count wherever they are not raised.
    """
    differences = list(_differences(before, after, raised=False))
    if len(differences) != 1:
        return False
    old, new, raised = differences[0]
    if not all(isinstance(node, ast.Constant) and isinstance(node.value, str) for node in (old, new)):
        return False
    return raised or _WORDS.search(old.value) is not None


def _differences(before: ast.AST, after: ast.AST, *, raised: bool) -> Iterator[tuple[ast.AST, ast.AST, bool]]:
    """The smallest parts that differ, and whether they stand in a `raise`; names of functions are not looked at."""
    children = [list(ast.iter_child_nodes(node)) for node in (before, after)]
    shapes = [[type(child) for child in nodes] for nodes in children]
    if type(before) is not type(after) or shapes[0] != shapes[1]:
        yield before, after, raised
    elif not children[0]:
        if ast.dump(before) != ast.dump(after):
            yield before, after, raised
    else:
        for old, new in zip(*children, strict=True):
            yield from _differences(old, new, raised=raised or isinstance(before, ast.Raise))


def read_argued(path: Path) -> dict[tuple[str, str, str], str]:
    """Mutant -> why no test need notice it, from blocks of a function, pairs of lines "- " and "+ ", and "= " why."""
    argued = {}
    for block in path.read_text(encoding="utf-8").strip().split("\n\n"):
        function, *pairs, reason = block.splitlines()
        if len(pairs) % 2 or not reason.startswith("= "):
            raise ValueError(f"{path}: not a function, pairs of lines and a reason:\n{block}")
        for old, new in zip(pairs[::2], pairs[1::2], strict=True):
            argued[function, old.removeprefix("- "), new.removeprefix("+ ")] = reason.removeprefix("= ")
    return argued
