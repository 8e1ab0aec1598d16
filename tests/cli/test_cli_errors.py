"""Every expected failure is one message with one exit code; --debug shows where it came from, Ctrl-C how to go on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from evidence_factory import Fixture
from planted_suite import SUITE, write_planted

from harness.cli.main import main
from harness.errors import ExitCode, HarnessError, InvalidInputError

ROOT = Path(__file__).parents[2]


def harness(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def every_class(root: type[HarnessError]) -> list[type[HarnessError]]:
    return [root, *(found for child in root.__subclasses__() for found in every_class(child))]


def test_every_class_of_failure_has_an_exit_code_that_is_no_decision() -> None:
    codes = {kind.__name__: kind.exit_code for kind in every_class(HarnessError)}
    assert {"HarnessError", "BrokenRunError", "InvalidInputError", "EvidenceRefusedError"} <= set(codes)
    assert set(codes.values()) == {ExitCode.BROKE, ExitCode.INVALID, ExitCode.REFUSED}


@pytest.mark.parametrize(
    "arguments",
    [
        ("selftest", "run", "--seed", "-5"),
        ("run", "suite", "--workers", "2", "--executor", "ray", "--worker-cpus", "nan"),
        ("run", "suite", "--workers", "2", "--executor", "ray", "--worker-gpus", "inf"),
        ("run", "suite", "--workers", "2", "--executor", "ray", "--worker-gpus", "-1"),
        ("parity", "run", "--endpoint", "http://127.0.0.1:1/v1", "--tolerance", "nan"),
    ],
)
def test_an_option_that_is_no_number_of_its_range_is_named(arguments: tuple[str, ...]) -> None:
    result = harness(*arguments)
    assert (result.exit_code, f"Invalid value for '{arguments[-2]}'" in result.output) == (2, True), result.output


BROKEN = {
    "suite.yaml": (b"suite: [", "suite.yaml:1:9 "),
    "train.jsonl": (b'{"prompt": "a", "completion": "b"}\n{"prompt": 1}\n', "train.jsonl:2: "),
    "test.jsonl": (b'{"prompt": "a", "completion": "b"}\n\xff\n', "test.jsonl:2: "),
    "schema.json": (b'{"type":\n "strin"}', "schema.json: not a valid JSON Schema"),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("command", ["validate", "plan", "lint", "run", "train"])
def test_a_broken_file_is_one_message_with_its_place_and_no_traceback(name: str, command: str, tmp_path: Path) -> None:
    text = SUITE.replace("test: test.jsonl", "test: test.jsonl, schema: schema.json")
    folder = write_planted(tmp_path / "suites" / "planted", suite=text, model=True)
    (folder / "schema.json").write_text('{"type": "string"}')
    content, place = BROKEN[name]
    (folder / name).write_bytes(content)
    result = harness(command, folder, *(["--out", tmp_path / "out"] if command == "train" else []))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ") and place in result.stderr.splitlines()[0]
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "reports").exists()


def test_a_slip_in_the_name_of_a_check_is_found_before_a_model_is_loaded(tmp_path: Path) -> None:
    folder = write_planted(tmp_path / "suites" / "planted", suite=SUITE, model=True)
    result = harness("run", folder, "--accept-undecided", "better_than", "--reason", "why")
    assert result.exit_code == 2, result.output
    assert "--accept-undecided better_than: there is no such check; known: better_than/" in result.stderr
    assert not (tmp_path / "reports").exists()


def test_debug_shows_where_an_error_came_from(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text("suite: [")
    result = harness("--debug", "validate", tmp_path)
    assert isinstance(result.exception, InvalidInputError)
    command = [sys.executable, "-m", "harness", "--debug", "validate", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.BROKE
    assert done.stderr.startswith("Traceback") and "suite.yaml:1:9 " in done.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_prints_how_to_go_on(sent: signal.Signals, tmp_path: Path) -> None:
    run = Fixture(n_test=60, n_probe=40, questions=40).write(tmp_path / "a run")
    arguments = ["selftest", str(run), "--replicates", "10000000"]
    with subprocess.Popen(
        [sys.executable, "-m", "harness", *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets what it starts in the background ignore the signal, and a child inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            while "scipy" not in Path(f"/proc/{process.pid}/maps").read_text():  # the command has begun
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(sent)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    # Python ends by the signal itself, which a shell shows as 130 too, when it came while a text was executed.
    assert process.returncode in {ExitCode.INTERRUPTED, -signal.SIGINT}
    assert said.splitlines()[-1] == f"interrupted; to run it again: harness selftest '{run}' --replicates 10000000"
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "how"),
    [
        (("run", "mine"), "to go on from what is finished"),
        (("train", "mine", "--out", "adapter"), "to go on from what is finished"),
        (("run", "mine", "--fresh"), "to run it again"),
        (("plan", "mine"), "to run it again"),
    ],
)
def test_only_a_command_that_stores_what_is_finished_goes_on_from_it(
    arguments: tuple[str, ...], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.suite.load.load_suite", interrupt)
    monkeypatch.setattr(sys, "argv", ["harness", *arguments])
    result = harness(*arguments)
    assert result.exit_code == ExitCode.INTERRUPTED
    assert result.stderr == f"interrupted; {how}: harness {' '.join(arguments)}\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("gate", "nowhere"), ExitCode.INVALID),
        (("verify", "nowhere", "--suite-digest", "0" * 64), ExitCode.REFUSED),
        (("verify", "there", "--suite-digest", "0" * 64, "--history", "nowhere"), ExitCode.REFUSED),
        (("deploy-guard", "nowhere", "there", "--name", "a", "--suite-digest", "0" * 64), ExitCode.REFUSED),
    ],
)
def test_a_path_that_leads_nowhere_is_named(
    arguments: tuple[str, ...], code: ExitCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    result = harness(*arguments)
    assert result.exit_code == code
    assert result.stderr.startswith("error: nowhere: ") and "there is no such " in result.stderr
