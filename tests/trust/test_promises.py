"""The promises of the README's security section that no other test proves, each by what anybody can look at."""

from __future__ import annotations

import ast
import errno
import functools
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from adapter_files import write_adapter, write_base
from click.testing import CliRunner
from evidence_factory import SUITE, Fixture
from forging import NOW, Shipped, ship
from plain_suite import SUITE as PLAIN
from plain_suite import write_plain_suite
from planted_suite import write_planted, write_tokenizer
from stored_verdict import own_part
from watching import CANARY, watched

from harness.cli.main import main
from harness.data.local_tokenizer import LocalTokenizer
from harness.errors import EvidenceRefusedError, InvalidInputError
from harness.limits import MODEL_JSON_BYTES, TEXT_BYTES, TOKENIZER_BYTES, WEIGHTS_BYTES
from harness.preferring import declared_judges
from harness.suite.load import load_suite, parse_suite
from harness.trust.admission import admit
from harness.trust.expected_tensors import BaseWeights, read_base

ROOT = Path(__file__).parents[2]
HARNESS = ROOT / "harness"


@functools.cache
def modules(*packages: str) -> dict[str, ast.Module]:
    """Path inside the harness -> syntax tree, of every module or of those in some packages."""
    paths = [path for name in packages or (".",) for path in sorted((HARNESS / name).rglob("*.py"))]
    return {str(path.relative_to(HARNESS)): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    """Each call with the name of what is called, as it is written."""
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


# P2: exit codes come from the enum


def test_no_exit_code_is_anything_but_one_of_the_table() -> None:
    found = {
        f"{path}: {ast.unparse(call.args[0]) if call.args else ''}"
        for path, tree in modules().items()
        for name, call in calls(tree)
        if name in {"sys.exit", "ctx.exit", "exit", "quit", "os._exit", "SystemExit"}
        or (name.endswith(".exit") and path.startswith("cli/"))
    }
    assert found == {
        "cli/comparing.py: exit_code",
        "cli/first_run.py: int(ExitCode.BROKE if missing else ExitCode.SHIP)",
        "cli/launching.py: int(ExitCode.INVALID)",
        "cli/linting.py: int(result.exit_code)",
        "cli/main.py: int(ExitCode.BROKE)",
        "cli/main.py: int(ExitCode.INTERRUPTED)",
        "cli/main.py: int(error.exit_code)",
        "cli/output.py: int(judgement.exit_code)",
        "cli/parity.py: int(report.exit_code)",
        "cli/reviewing.py: exit_code",
        "train/processes.py: told[1]",  # the exit code of the main process's error
    }
    for path in ("comparing", "reviewing"):
        (value,) = [
            ast.unparse(node.value)
            for node in ast.walk(modules("cli")[f"cli/{path}.py"])
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "exit_code"
        ]
        assert value == "int(EXIT_CODES[decision])"


# P4: no bar that is not a number

BARS = """\
suite: bars
seed: 1
model: smollm2-135m-instruct
data: {train: a, test: b, schema: c, probe: d}
train: {learning_rate: 2e-4}
statistics: {alpha: 0.05}
systems:
  candidate: {kind: adapter, role: candidate}
  bare: {kind: prompt, role: baseline}
benchmarks:
  general: {task: mmlu}
checks:
  - {kind: better_than, min_gain: 0.01}
  - {kind: valid_output, bar: 0.9}
  - {kind: benchmark_drop, benchmark: general, margin: 0.04}
  - {kind: logprob_drop, benchmark: general, margin: 0.2}
  - {kind: kl_divergence, prompts: e, limit: 0.3}
"""
PLACES = (
    "alpha: 0.05", "min_gain: 0.01", "bar: 0.9", "margin: 0.04", "margin: 0.2", "limit: 0.3", "learning_rate: 2e-4",
)  # fmt: skip


@pytest.mark.parametrize(
    "value", [".nan", ".inf", "-.inf", "nan", "NaN", "'nan'", "inf", "1e999", "-1", "0x1p3", "nan%"]
)
@pytest.mark.parametrize("place", PLACES)
def test_a_bar_that_is_not_a_finite_number_in_its_range_is_refused(place: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    assert parse_suite(BARS, path, {}, files=False).suite.suite == "bars"
    name = place.split(":")[0]
    with pytest.raises(InvalidInputError, match=name):
        parse_suite(BARS.replace(place, f"{name}: {value}"), path, {}, files=False)


# P11: verify takes as long as hashing

READS = Path("/proc/self/io")


@pytest.mark.skipif(not READS.exists(), reason="this system does not count what a process reads")
def test_verify_reads_every_byte_once_and_little_else(tmp_path: Path) -> None:
    def read_bytes() -> int:
        return int(re.search(r"rchar: (\d+)", READS.read_text())[1])  # type: ignore[index]

    size = 64 << 20
    shipped = ship(tmp_path, weights=bytes(size))
    shipped.verify(history=shipped.log)
    before = read_bytes()
    shipped.verify(history=shipped.log)
    assert size <= read_bytes() - before <= 1.01 * size


# P17: limits of what is read whole

ARMS = PLAIN.replace(
    "checks:",
    """\
  better: {kind: prompt, system: engineered.txt}
  looked-up: {kind: retrieval, documents: handbook, template: template.txt}
  held: {kind: constrained, over: better, lark: answer.lark}
judges:
  short: {base_url: 'https://host/v1', model: m, rubric: rubric.txt}
checks:
  - {kind: preferred, judge: short, baselines: [bare]}
""",
)
TEXTS = ("schema.json", "bare.txt", "engineered.txt", "template.txt", "answer.lark")


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_longer_than_the_limit_is_refused_and_not_cut(name: str, tmp_path: Path) -> None:
    suite = write_plain_suite(tmp_path, text=ARMS)
    content = (suite / name).read_text()
    (suite / name).write_text(content + " " * (TEXT_BYTES - len(content)))
    assert CliRunner().invoke(main, ["lock", str(suite)]).exit_code == 0
    (suite / name).write_text(content + " " * (TEXT_BYTES + 1 - len(content)))
    result = CliRunner().invoke(main, ["lock", str(suite)])
    assert result.exit_code == 2, result.output
    assert name in result.output and "Traceback" not in result.output


LARGE: dict[str, tuple[int, Callable[[Path], object]]] = {
    "model/tokenizer.json": (TOKENIZER_BYTES, lambda project: LocalTokenizer(project / "model")),
    "model/tokenizer_config.json": (TOKENIZER_BYTES, lambda project: LocalTokenizer(project / "model")),
    "model/chat_template.jinja": (TEXT_BYTES, lambda project: LocalTokenizer(project / "model")),
    "base/model.safetensors.index.json": (MODEL_JSON_BYTES, lambda project: read_base(project / "base")),
    "given/adapter_config.json": (TEXT_BYTES, lambda project: admit(project / "given", BaseWeights())),
    "given/adapter_model.safetensors": (WEIGHTS_BYTES, lambda project: admit(project / "given", BaseWeights())),
    "suites/plain/rubric.txt": (TEXT_BYTES, lambda project: declared_judges(load_suite(project / "suites" / "plain"))),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_file_longer_than_its_limit_is_refused_by_its_size(name: str, tmp_path: Path) -> None:
    write_plain_suite(tmp_path, text=ARMS)
    write_tokenizer(tmp_path / "model")
    write_base(tmp_path / "base", shards=2)
    write_adapter(tmp_path / "given")
    most, read_it = LARGE[name]
    (tmp_path / name).touch()
    if name != "model/chat_template.jinja":
        assert read_it(tmp_path) is not None
    os.truncate(tmp_path / name, most + 1)  # a hole, which takes no room on the disk
    with pytest.raises(InvalidInputError) as caught:
        read_it(tmp_path)
    message = str(caught.value)
    assert str(tmp_path / name) in message
    assert "bytes" in message or os.strerror(errno.EFBIG) in message


# P18: the clock decides nothing but expiry, and which run is newer

CLOCK = {"time", "harness.clock"}
DECIDING = ("gate", "stats", "scoring", "confined", "suite", "data")


def imported(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_nothing_that_reads_rows_scores_or_decides_can_ask_for_the_time() -> None:
    found = {path: names for path, tree in modules(*DECIDING).items() if (names := imported(tree) & CLOCK)}
    assert found == {"confined/templates.py": {"time"}}, "a chat template may ask for the date, as everywhere"


EASY = SUITE.replace("bar: 99.5%", "bar: 90%")  # few probes are enough


@pytest.mark.parametrize("right", [9, 5], ids=["ships", "does not ship"])
def test_a_run_is_judged_alike_whenever_it_is_judged(right: int, tmp_path: Path) -> None:
    fixture = Fixture(suite_text=EASY, n_test=60, n_probe=60, questions=200, candidate_right=lambda i: i % 10 < right)
    run = Shipped(fixture.write(tmp_path / "run"), tmp_path / "baselines")
    found = []
    for now in (NOW, NOW - timedelta(days=9000), datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)):
        run.judge(now)
        own = own_part(run.folder)
        found.append(
            {key: own[key] for key in ("decision", "exit_code", "checks", "arms", "adapter_digest", "digests")}
        )
    assert found[0] == found[1] == found[2]
    assert (found[0]["decision"] == "ship") == (right == 9)


def test_a_hold_by_a_clock_that_was_set_back_still_ends_the_belief(tmp_path: Path) -> None:
    shipped = Shipped(Fixture().write(tmp_path / "shipped"), tmp_path / "baselines")
    shipped.judge()
    assert shipped.verify(history=shipped.log)
    held = Shipped(Fixture(candidate_right=lambda i: False).write(tmp_path / "held"), shipped.registry)
    held.judge(NOW - timedelta(days=400))
    with pytest.raises(EvidenceRefusedError, match="a newer verdict on this adapter is hold"):
        shipped.verify(history=shipped.log)


# P19: no code from inputs

RUNS_CODE = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "runpy.run_path"}
STORED_CODE = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "runpy", "code"}


def code_run_by(tree: ast.AST) -> list[str]:
    """What in a module runs a text or a file as code, or reads a format that can."""
    names = [name for name, _ in calls(tree)] + sorted(imported(tree))
    return [name for name in names if name in RUNS_CODE or name.split(".")[0] in STORED_CODE]


def test_nothing_in_the_harness_runs_code_from_a_text_or_a_file() -> None:
    assert {path: names for path, tree in modules().items() if (names := code_run_by(tree))} == {}
    lines = ("exec(text)", "eval(text)", "import pickle", "from dill import loads", "torch.load(path)", "os.system(x)")
    assert [bool(code_run_by(ast.parse(line))) for line in lines] == [True] * len(lines)


def test_every_model_and_tokenizer_of_a_folder_is_loaded_without_its_code() -> None:
    loads = [
        (path, {key.arg: ast.unparse(key.value) for key in call.keywords})
        for path, tree in modules().items()
        for name, call in calls(tree)
        if name.startswith("Auto") and name.endswith(".from_pretrained")
    ]
    # What conversion reads is one GGUF file of a package that is pinned by its digest.
    given = [options for path, options in loads if path != "engine/conversion.py"]
    assert given and all(options["trust_remote_code"] == "False" for options in given)
    models = [options for options in given if "dtype" in options]
    assert models and all(options["use_safetensors"] == "True" for options in models)


HARNESS_COMMAND = [str(Path(sys.executable).with_name("harness"))]


@pytest.mark.parametrize(
    ("command", "own"), [(HARNESS_COMMAND, ["harness"]), ([sys.executable, "-m", "harness"], [])], ids=["harness", "-m"]
)
def test_a_module_of_the_current_folder_is_not_imported(command: list[str], own: list[str], tmp_path: Path) -> None:
    for name in (*own, "click", "pydantic", "jsonschema", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('ran')")
    suite = write_plain_suite(tmp_path / "project")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*command, "validate", suite], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "ran" in done.stdout + done.stderr) == (0, False), done.stderr


# P21: nothing is written or told that was not declared


def test_no_command_without_a_model_writes_or_tells_what_was_not_declared(tmp_path: Path) -> None:
    project = tmp_path / "project"
    suite = write_planted(project / "suites" / "planted", model=True)
    (project / "baselines").mkdir()
    run = Fixture(n_test=60, n_probe=40, questions=40).write(project / "reports" / "fixture" / "one")
    for place in (tmp_path, project, suite, run.parent):
        (place / ".env").write_text(f"HF_TOKEN={CANARY}\n")
    out = tmp_path / "out"
    printed, changed = watched(
        [
            *([name, str(suite)] for name in ("validate", "lint", "plan", "advise", "lock", "show-data", "history")),
            *([name, str(run)] for name in ("gate", "report")),
            ["show", str(run), "test-0"],
            ["export", str(run), "--output", f"{out}/table.csv"],
            ["review", "export", str(run), "--output", f"{out}/page.html"],
            ["card", str(run), "--output", f"{out}/README.md"],
            ["verify", f"{run}/adapter", "--suite-digest", "0" * 64],
            ["promote", str(run)],
            ["init", str(project / "mine")],
        ],
        tmp_path,
    )
    declared = (
        run,
        project / "baselines",
        suite / "suite.lock",
        out,
        project / "mine",
        tmp_path / "cache",
        Path("/dev"),
    )
    assert {run / "verdict.json", run / "report.html", suite / "suite.lock", out / "table.csv"} <= changed
    assert {path for path in changed if not any(path.is_relative_to(place) for place in declared)} == set()
    assert CANARY not in printed
    assert [
        path for path in project.rglob("*") if path.is_file() and path.name != ".env" and CANARY in read(path)
    ] == []


def read(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")
