"""`harness lint` on whole suites: what is printed, what is returned, and what stays unloaded."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from planted_suite import Row, Rows, clean_rows, prompts, write_planted

from harness.cli.main import main
from harness.data.rules import RULES

TREE = Path(__file__).parents[2]
LINE = re.compile(r"^(\S+:\d+): (error|warning|note) \[([a-z-]+)\] (.+?)(?: \((\S+:\d+)\))?$")


def lint(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["lint", str(folder), *options])


def leaky(count: int) -> Callable[[dict[str, Rows]], object]:
    """So many test prompts among the training rows, in capitals."""
    return lambda rows: rows["train"].extend(row | {"prompt": row["prompt"].upper()} for row in rows["test"][:count])


def test_a_suite_in_order_is_said_to_be(tmp_path: Path) -> None:
    result = lint(write_planted(tmp_path, model=True))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "planted: 0 errors, 0 warnings, 0 notes in 630 train, 40 mix, 120 test rows\n"


def test_a_finding_has_place_severity_both_rows_why_and_what_to_do(tmp_path: Path) -> None:
    result = lint(write_planted(tmp_path, leaky(1)))
    first, why, to_do, last = result.stdout.splitlines()
    match = LINE.match(first)
    assert match is not None
    assert match.groups() == (
        "test.jsonl:1",
        "error",
        "leak",
        "this test prompt also stands in train, but for case, spacing, punctuation or letters that look alike",
        "train.jsonl:631",
    )
    assert why == "  why: a model must not be tested on what it was trained on"
    assert to_do == "  to do: remove the row from one of the two sets"
    assert last.startswith("planted: 1 error, 0 warnings, 0 notes in ")
    assert result.exit_code == 2


def test_twenty_findings_of_a_rule_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    folder = write_planted(tmp_path, leaky(33))
    lines = lint(folder).stdout.splitlines()
    assert sum(bool(LINE.match(line)) for line in lines) == 20
    assert "  and 13 more of leak; --json has all" in lines
    found = json.loads(lint(folder, "--json").stdout)
    assert [one["where"] for one in found["findings"]] == [f"test.jsonl:{line}" for line in range(1, 34)]


def test_json_has_everything_and_the_same_exit_code(tmp_path: Path) -> None:
    result = lint(write_planted(tmp_path, leaky(2)), "--json")
    found: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == found["exit_code"] == 2
    assert (found["json_version"], found["suite"]) == (1, "planted")
    assert found["rows"] == {"train": 632, "mix": 40, "test": 120}
    assert found["counts"] == {"error": 2, "warning": 0, "note": 0}
    assert found["work"]["windows"] > 0
    assert len(found["not_checked"]) == 1
    assert set(found["findings"][0]) == {"rule", "severity", "where", "other", "what", "why", "to_do"}


def test_what_was_not_checked_is_told_on_standard_error(tmp_path: Path) -> None:
    result = lint(write_planted(tmp_path))
    assert result.stderr.startswith("note: too-long, not-a-prefix and out-of-reach were not checked: ")
    assert result.exit_code == 0


def test_warnings_and_notes_do_not_block(tmp_path: Path) -> None:
    result = lint(write_planted(tmp_path, lambda rows: rows["train"].append(dict(rows["train"][3]))))
    assert result.stdout.splitlines()[0].startswith("train.jsonl:631: warning [duplicate] ")
    assert result.exit_code == 0


def test_a_setting_changes_what_is_linted(tmp_path: Path) -> None:
    folder = write_planted(tmp_path, model=True)
    assert lint(folder, "--set", "decoding.max_new_tokens=3").stdout.count("[out-of-reach]") == 20
    assert lint(folder, "--set", "decoding").exit_code == 2


def test_text_of_the_data_cannot_steer_the_terminal(tmp_path: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        rows["train"][2]["completion"] = "\u001b[2Jdelivery"

    assert "\u001b" not in lint(write_planted(tmp_path, change)).output


def test_linting_imports_no_model_libraries(tmp_path: Path) -> None:
    folder = write_planted(tmp_path, leaky(3), model=True)
    script = (
        "import sys\nfrom harness.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n    print('CODE', end.code)\n"
        "print('MODULES', *sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "lint", str(folder)],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "CODE 2" in done.stdout and "tokenizers" in loaded
    assert not loaded & {"torch", "transformers", "peft", "trl", "lm_eval", "datasets", "scipy", "pandas"}


def test_the_readme_names_every_rule_under_its_severity() -> None:
    readme = (TREE / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (error|warning|note) \| (`.+`) \|$", readme, re.MULTILINE))
    named = {severity: set(re.findall(r"`([a-z-]+)`", rules)) for severity, rules in rows.items()}
    assert named == {
        severity: {name for name, rule in RULES.items() if rule.severity == severity}
        for severity in ("error", "warning", "note")
    }


# --- a corpus of broken files: each is refused or told of, with file and line ----------------------------------------

GOOD = '{"prompt": "a", "completion": "b"}'
TEXT = "Where is the parcel that I was promised for last Tuesday, and who signed for it?"


def row(**keys: object) -> str:
    return json.dumps({"prompt": TEXT, "completion": "delivery"} | keys, ensure_ascii=False)


def turns(*roles: str) -> str:
    return json.dumps({"messages": [{"role": role, "content": f"{TEXT} {n}"} for n, role in enumerate(roles)]})


# One line, which stands as line 631 of train.jsonl; or two, of which the second is at fault.
UNREADABLE = {
    "no JSON": "prompt: a",
    "cut off": GOOD[:-1],
    "two values": f"{GOOD} {GOOD}",
    "single quotes": GOOD.replace('"', "'"),
    "trailing comma": GOOD.replace("}", ",}"),
    "comment": f"{GOOD} // note",
    "an array": "[1, 2]",
    "a number": "3",
    "a text": '"row"',
    "null": "null",
    "NaN": '{"prompt": "a", "completion": NaN}',
    "infinity": '{"prompt": "a", "completion": "b", "meta": {"x": Infinity}}',
    "a key twice": '{"prompt": "a", "prompt": "b", "completion": "c"}',
    "a key twice in meta": '{"prompt": "a", "completion": "c", "meta": {"x": 1, "x": 2}}',
    "lone surrogate": '{"prompt": "\\ud800", "completion": "c"}',
    "control character": '{"prompt": "a\tb", "completion": "c"}'.replace("\\t", "\t"),
    "bad escape": '{"prompt": "a\\x41", "completion": "c"}',
    "huge number": '{"prompt": "a", "completion": "c", "meta": 1e999}',
    "deep": '{"prompt": "a", "completion": "c", "meta": ' + "[" * 200 + "]" * 200 + "}",
    "not UTF-8": '{"prompt": "\udcff", "completion": "c"}',
    "overlong UTF-8": '{"prompt": "\udcc0\udcaf", "completion": "c"}',
    "no known key": '{"question": "a", "answer": "b"}',
    "unknown key": row(label="x"),
    "misspelt tags": row(tag=["x"]),
    "empty prompt": row(prompt=" "),
    "empty answer": row(completion=""),
    "white answer": row(completion=" \n"),
    "no answer": '{"prompt": "a"}',
    "null answer": row(completion=None),
    "a number for an answer": row(completion=3),
    "an object for a prompt": row(prompt={"text": "a"}),
    "tags that are no list": row(tags="x"),
    "an empty tag": row(tags=[""]),
    "an id that is no text": row(id=7),
    "an empty id": row(id=" "),
    "an id of a page": row(id="x" * 201),
    "a cluster that is no text": row(cluster=4),
    "no messages": '{"messages": []}',
    "messages that are no list": '{"messages": "hi"}',
    "a message that is no object": '{"messages": ["hi", "yo"]}',
    "an unknown role": turns("bot", "assistant"),
    "a message without content": '{"messages": [{"role": "user"}, {"role": "assistant", "content": "a"}]}',
    "content that is no text": '{"messages": [{"role": "user", "content": 3}, {"role": "assistant", "content": "a"}]}',
    "no question": turns("system", "assistant"),
    "the user has the last word": turns("user", "assistant", "user"),
}
FAULTY: dict[str, tuple[str, str]] = {
    "a test row": ("leak", "TEST"),
    "a test row in full width": ("leak", "WIDE"),
    "the same twice": ("duplicate", f"{row()}\n{row()}"),
    "two answers": ("contradiction", f"{row()}\n{row(completion='billing')}"),
    "two answers but for case": ("contradiction", f"{row()}\n{row(prompt=TEXT.upper(), completion='billing')}"),
    "nearly twice": ("near-duplicate", f"{row()}\n{row(prompt=TEXT.replace('parcel', 'packet'))}"),
    "nearly two answers": ("contradiction", f"{row()}\n{row(prompt='So, ' + TEXT, completion='billing')}"),
    "a label in capitals": ("label-spelling", row(completion="BILLING")),
    "a label with a slip": ("label-spelling", row(completion="billling")),
    "a label with spaces": ("label-spelling", row(completion="bill ing")),
    "a label of one row": ("imbalance", row(completion="praise")),
    "an answer that is JSON": ("shape", row(completion='{"label": "billing"}')),
    "a JSON answer that is cut": ("truncated-answer", row(completion='{"label": "bil')),
    "an open fence": ("truncated-answer", row(completion="```\nx")),
    "a cut sentence": (
        "truncated-answer",
        row(completion="It will be there on Tuesday, as we said in our letter to the"),
    ),
    "a system message": ("shape", turns("system", "user", "assistant")),
    "several turns": ("shape", turns("user", "assistant", "user", "assistant")),
    "two questions in a row": ("shape", turns("user", "user", "assistant")),
    "a late system message": ("shape", turns("user", "assistant", "system", "user", "assistant")),
    "an address": ("personal-data", row(prompt=f"{TEXT} ana.ruiz@posteo.de")),
    "a telephone number": ("personal-data", row(prompt=f"{TEXT} +34 612 345 678")),
    "an account": ("personal-data", row(prompt=f"{TEXT} DE89 3704 0044 0532 0130 00")),
    "a card": ("personal-data", row(prompt=f"{TEXT} 4539 1488 0343 6467")),
    "too long": ("too-long", row(prompt=" ".join(prompts(5, 70)))),
    "an answer that melts into the prompt": ("not-a-prefix", row(completion="\n\nbilling")),
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Result]:
    """Lint the suite with more lines at the end of train.jsonl."""
    folder = write_planted(tmp_path_factory.mktemp("broken"), model=True)
    whole = (folder / "train.jsonl").read_bytes()

    def lint_with(lines: str) -> Result:
        (folder / "train.jsonl").write_bytes(whole + lines.encode("utf-8", "surrogateescape") + b"\n")
        return lint(folder, "--json")

    return lint_with


def test_the_corpus_is_large() -> None:
    assert len(UNREADABLE) + len(FAULTY) >= 60


@pytest.mark.parametrize("line", UNREADABLE.values(), ids=UNREADABLE)
def test_a_row_that_cannot_be_read_is_named_with_file_and_line(line: str, broken: Callable[[str], Result]) -> None:
    result = broken(line)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: train.jsonl:631: ")
    assert "Traceback" not in result.output


@pytest.mark.parametrize(("rule", "lines"), FAULTY.values(), ids=FAULTY)
def test_a_faulty_row_is_named_with_file_and_line(rule: str, lines: str, broken: Callable[[str], Result]) -> None:
    test_row: Row = clean_rows()["test"][4]
    wide = "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in test_row["prompt"])
    special = {"TEST": json.dumps(test_row), "WIDE": json.dumps(test_row | {"prompt": wide})}
    lines = special.get(lines, lines)
    findings = json.loads(broken(lines).stdout)["findings"]
    last = f"train.jsonl:{630 + len(lines.splitlines())}"
    places = {(one["rule"], place) for one in findings for place in (one["where"], one["other"])}
    assert (rule, last) in places
    assert all(re.fullmatch(r"\S+:\d+", one["where"]) for one in findings)
