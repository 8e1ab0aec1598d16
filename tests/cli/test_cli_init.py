"""What a newcomer reads: `harness init` names the next steps, and they work without a change."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli.main import main


def harness(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def rows(path: Path, count: int) -> Path:
    lines = [json.dumps({"prompt": f"say {i}", "completion": "yes" if i % 2 else "no"}) for i in range(count)]
    path.write_text("\n".join(lines))
    return path


def test_the_sample_leaves_as_many_test_rows_as_are_advised(tmp_path: Path) -> None:
    made = json.loads(harness("init", tmp_path / "mine", "--json").output)
    assert (made["train_rows"], made["test_rows"]) == (180, 100)
    assert set(made["files"]) == {
        path.relative_to(tmp_path / "mine").as_posix() for path in (tmp_path / "mine").rglob("*") if path.is_file()
    }
    assert "test rows; 100 to 500 are advised" not in harness("validate", tmp_path / "mine").output


@pytest.mark.parametrize(("count", "test"), [(20, 10), (60, 30), (300, 100), (600, 180)])
def test_a_small_set_is_halved_and_a_large_one_gives_three_tenths(count: int, test: int, tmp_path: Path) -> None:
    made = json.loads(
        harness("init", tmp_path / "mine", "--from", rows(tmp_path / "rows.jsonl", count), "--json").output
    )
    assert (made["train_rows"], made["test_rows"]) == (count - test, test)


def test_too_few_rows_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    result = harness("init", tmp_path / "mine", "--from", rows(tmp_path / "rows.jsonl", 18))
    assert (result.exit_code, "18 rows leave 9 to test on, fewer than 10" in result.output) == (2, True)
    assert not (tmp_path / "mine").exists()


def test_every_next_step_is_a_command_that_takes_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my suite"
    text = harness("init", folder).output
    assert "180 rows to train on and 100 to test on, drawn from sample support tickets" in text
    steps = [shlex.split(step) for step in re.findall(r"^  (harness .+?)  ", text, re.MULTILINE)]
    assert [step[1:] for step in steps] == [
        ["doctor"],
        ["validate", str(folder)],
        ["plan", str(folder)],
        ["run", str(folder)],
    ]
    validated, planned = harness(*steps[1][1:]), harness(*steps[2][1:])
    assert validated.exit_code == planned.exit_code == 0
    assert validated.stdout.startswith("my-suite is valid; rows: 162 train, 18 validation, 100 test\n")
    assert planned.stdout.startswith("my-suite: what each check could detect; nothing has run yet")


def test_the_suite_is_still_valid_when_its_remarks_are_taken_up(tmp_path: Path) -> None:
    harness("init", tmp_path / "mine")
    suite = tmp_path / "mine" / "suite.yaml"
    text = suite.read_text()
    rows(tmp_path / "mine" / "general.jsonl", 20)
    suite.write_text(re.sub(r"^#(?! \S)", "", text, flags=re.MULTILINE))  # remarks in words begin with one space
    assert suite.read_text() != text
    result = harness("validate", tmp_path / "mine")
    assert result.exit_code == 0, result.output
    assert "20 mix" in result.output
