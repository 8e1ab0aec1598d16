"""A function on hostile texts: what it says of each, whatever one of them does to the process; and what it may not."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.confined.function import (
    CHARACTERS_AT_ONCE,
    TEXTS_AT_ONCE,
    ConfinedFunction,
    NoResult,
    RememberedFunction,
    remembered,
)
from harness.errors import BrokenRunError, InvalidInputError
from harness.limits import WORKER_BYTES

ROOT = Path(__file__).parents[2]
RULES = "harness.scoring.text_rules"
SLOW = "a" * 60 + "!"  # for the pattern (a+)+b
TOO_LONG = NoResult("it took over 1 s of computing")


def pattern(rule: str) -> ConfinedFunction:
    return ConfinedFunction(f"{RULES}:regex_whole", rule)


def test_the_results_are_in_the_order_of_the_texts_when_there_are_many() -> None:
    texts = [str(number) for number in range(3 * TEXTS_AT_ONCE + 7)]
    assert pattern("[0-9]*[02468]").map(texts) == [int(text) % 2 == 0 for text in texts]
    assert pattern("a").map([]) == []


def test_texts_are_judged_when_each_is_longer_than_a_message() -> None:
    long = "a" * (CHARACTERS_AT_ONCE + 1)
    assert pattern("a+").map([long, "b", long + "b", "\u2028" * 10, long]) == [True, False, False, False, True]


def test_only_the_text_that_takes_too_long_has_no_result() -> None:
    assert pattern("(a+)+b").map(["aab", SLOW, "b", SLOW, "ab"]) == [True, TOO_LONG, False, TOO_LONG, True]


def test_a_text_that_takes_too_much_memory_has_no_result_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where memory is slow to come, the text would run out of time first.
    monkeypatch.setattr("harness.confined.function.TEXT_SECONDS", 60.0)
    found = pattern("(?:(a)|b)*").map(["ab", "ab" * 4_000_000, "ba"])
    assert found == [True, NoResult("it took more memory than it may"), True]


def test_a_rule_that_takes_too_long_to_be_read_is_unusable() -> None:
    template = ConfinedFunction("harness.confined.templates:task_template", "{{ 9 ** (9 ** 9) }}")
    assert template.problem() == "takes over 5 s of computing to be read"
    with pytest.raises(InvalidInputError, match="takes over 5 s"):
        template("{}")


def test_a_rule_is_read_once_when_it_is_unusable() -> None:
    broken = pattern("(")
    assert (
        broken.problem()
        == broken.problem()
        == "not a regular expression: missing ), unterminated subpattern at position 0"
    )
    with pytest.raises(InvalidInputError, match="not a regular expression"):
        broken.map(["a"])


def test_no_process_is_started_before_it_is_needed_and_none_is_left() -> None:
    function = pattern("a")
    assert function._worker is None
    assert function("a") is True
    worker = function._worker
    assert worker is not None and worker.poll() is None
    del function
    gc.collect()
    assert worker.poll() is not None


def test_the_run_breaks_when_the_process_is_killed_by_another() -> None:
    function = pattern("a")
    assert function("a") is True
    assert function._worker is not None
    function._worker.send_signal(signal.SIGKILL)
    with pytest.raises(
        BrokenRunError, match=r"the process of harness\.scoring\.text_rules:regex_whole ended with code -9"
    ):
        function.map(["a"] * 10)
    assert function("a") is True  # the next is a new one


def test_an_interruption_of_the_harness_is_not_one_of_the_process() -> None:
    function = pattern("a")
    assert function("a") is True
    assert function._worker is not None
    function._worker.send_signal(signal.SIGINT)
    assert function("b") is False


def test_a_remembered_function_is_asked_once_for_each_text() -> None:
    function = RememberedFunction(f"{RULES}:regex_whole", "(a+)+b")
    assert function.map(["ab", SLOW, "ab", SLOW, "b"]) == [True, TOO_LONG, True, TOO_LONG, False]
    assert function._worker is not None
    function._worker.kill()
    assert (function("ab"), function(SLOW)) == (True, TOO_LONG)  # nobody was asked
    assert remembered(f"{RULES}:regex_whole", '"a"') is remembered(f"{RULES}:regex_whole", '"a"')


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        (f"{RULES}:regex_whole", "a"),
        ("harness.scoring.schema_rule:json_schema", {"type": "object"}),
        ("harness.confined.templates:task_template", "{{ a }}"),
        ("harness.confined.templates:chat_template", {"template": "a", "variables": {}}),
    ],
)
def test_the_process_loads_no_model_libraries(target: str, rule: object) -> None:
    function = ConfinedFunction(target, rule)
    assert function.problem() == ""
    assert function._worker is not None
    maps = Path(f"/proc/{function._worker.pid}/maps").read_text()
    assert not [name for name in ("torch", "transformers", "numpy", "pandas", "pyarrow") if f"/{name}/" in maps]


def test_the_process_is_given_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTED_API_KEY", "sk-canary")
    function = pattern("a")
    assert function("a") is True and function._worker is not None
    assert b"canary" not in Path(f"/proc/{function._worker.pid}/environ").read_bytes()


def test_the_very_harness_that_runs_is_used_when_another_is_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("harness", "json", "re", "jinja2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('ran')")
    monkeypatch.chdir(tmp_path)
    assert pattern("a")("a") is True
    assert ConfinedFunction("harness.confined.templates:task_template", "{{ a }}")(json.dumps({"a": 1})) == ["1", ""]


@pytest.mark.parametrize(
    ("sent", "said"), [(b"", b""), (b'"a', b""), (b'"a+"\n["a", "b', b'""\n'), (b'"a"\n["a"]\n', b'""\n[true]\n')]
)
def test_the_process_ends_without_a_word_when_the_harness_is_gone(sent: bytes, said: bytes) -> None:
    begin = (
        "import sys; sys.path[:0] = [sys.argv.pop(1)]; from harness.confined.worker import main; main(*sys.argv[1:])"
    )
    command = [sys.executable, "-P", "-c", begin, str(ROOT), f"{RULES}:regex_whole", "5", "1", str(WORKER_BYTES)]
    done = subprocess.run(command, input=sent, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, said, b"")
