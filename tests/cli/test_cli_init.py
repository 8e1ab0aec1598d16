"""What a newcomer reads: `harness init` names the next steps, and they work without a change."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from init_files import GIVEN, LABELS, QUESTIONS, Given, lines
from planted_suite import prompts

from harness.cli.main import main
from harness.suite.load import load_suite

DATA = os.environ.get("HARNESS_TEST_DATA")


def harness(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def rows(path: Path, count: int) -> Path:
    lines = [json.dumps({"prompt": f"say {i}", "completion": "yes" if i % 2 else "no"}) for i in range(count)]
    path.write_text("\n".join(lines))
    return path


def read(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.mark.parametrize("given", GIVEN, ids=lambda given: f"{given.name} {given.scorer}")
def test_every_format_and_kind_of_answer_gives_a_suite_that_is_valid_and_in_order(given: Given, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    result = harness("init", folder, "--from", given.write(tmp_path), "--json")
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert given.found in "\n".join(made["found"])
    assert made["files"] == sorted([*given.files, "suite.yaml", "test.jsonl", "train.jsonl"])
    assert (made["train_rows"], made["test_rows"]) == (30, 30)
    text = (folder / "suite.yaml").read_text()
    assert f"{{kind: better_than, scorer: {given.scorer}, baselines: all}}   # " in text
    assert [wanted for wanted in given.suite if wanted not in text] == []
    assert "  few-shot:    {kind: few_shot, role: baseline, shots: 4, selection: nearest}\n" in text
    for command in ("validate", "lint", "plan"):
        result = harness(command, folder)
        assert result.exit_code == 0, result.output
    assert "possible-leak" not in harness("lint", folder).output


def test_the_rows_are_written_as_they_were(tmp_path: Path) -> None:
    given = next(given for given in GIVEN if given.name == "rows.parquet")
    harness("init", tmp_path / "mine", "--from", given.write(tmp_path))
    written = [json.loads(line) for file in ("train", "test") for line in read(tmp_path / "mine" / f"{file}.jsonl")]
    first = {"prompt": QUESTIONS[0], "completion": "billing", "user_id": "0", "on": "2026-01-01", "id": 0}
    assert sorted(written, key=lambda row: int(row["id"]))[0] == first
    assert [row["id"] for row in sorted(written, key=lambda row: int(row["id"]))] == list(range(60))


def test_no_user_is_both_trained_and_tested_on(tmp_path: Path) -> None:
    given = next(given for given in GIVEN if given.name == "rows.parquet")
    made = json.loads(harness("init", tmp_path / "mine", "--from", given.write(tmp_path), "--json").stdout)
    train, test = (
        {json.loads(line)["user_id"] for line in read(tmp_path / "mine" / f"{file}.jsonl")}
        for file in ("train", "test")
    )
    assert (len(train), len(test), train & test) == (10, 10, set())
    assert "rows of one `user_id` (20 in all)" in made["found"][-1]


def test_the_schema_and_the_labels_stand_in_the_engineered_prompt(tmp_path: Path) -> None:
    for name in ("objects.jsonl", "rows.csv"):
        given = next(given for given in GIVEN if given.name == name)
        harness("init", tmp_path / name[:4], "--from", given.write(tmp_path))
    asked = (tmp_path / "obje" / "prompts" / "engineered.txt").read_text()
    schema = json.loads((tmp_path / "obje" / "answer.schema.json").read_text())
    assert json.loads(asked.splitlines()[2]) == {key: value for key, value in schema.items() if key != "$schema"}
    assert schema["properties"]["queue"]["enum"] == list(LABELS)
    assert sorted(schema["required"]) == ["items", "queue", "urgent"]
    assert (tmp_path / "rows" / "prompts" / "engineered.txt").read_text().splitlines()[1:] == list(LABELS)


def test_rows_of_one_system_message_keep_it_and_rows_of_several_keep_theirs(tmp_path: Path) -> None:
    for name in ("one system.jsonl", "systems.jsonl"):
        given = next(given for given in GIVEN if given.name == name)
        harness("init", tmp_path / name[:3], "--from", given.write(tmp_path))
    assert (tmp_path / "one" / "prompts" / "plain.txt").read_text() == "You sort post.\n"
    assert (
        (tmp_path / "one" / "prompts" / "engineered.txt").read_text().startswith("You sort post.\n\nRead the request")
    )
    assert "prompts/" not in (tmp_path / "sys" / "suite.yaml").read_text()


def test_rare_labels_are_judged_by_macro_f1(tmp_path: Path) -> None:
    rows = [
        {"prompt": text, "completion": "rare" if place < 9 else "usual"} for place, text in enumerate(prompts(240, 1))
    ]
    (tmp_path / "rows.jsonl").write_bytes(lines(rows))
    harness("init", tmp_path / "mine", "--from", tmp_path / "rows.jsonl")
    text = (tmp_path / "mine" / "suite.yaml").read_text()
    assert "scorer: macro_f1, baselines: all}   # every label counts alike, however rare; some labels here" in text
    assert "  - exact_match " in text
    assert harness("validate", tmp_path / "mine").exit_code == 0


def test_long_rows_and_answers_are_given_room(tmp_path: Path) -> None:
    rows = [{"prompt": f"{text} " * 40, "completion": f"{text} " * 9} for text in prompts(40, 1)]
    (tmp_path / "rows.jsonl").write_bytes(lines(rows))
    assert harness("init", tmp_path / "mine", "--from", tmp_path / "rows.jsonl").exit_code == 0
    declared = load_suite(tmp_path / "mine").suite
    assert declared.train is not None
    longest = max(len(row["prompt"].encode()) + len(row["completion"].encode()) for row in rows)
    assert longest < declared.train.max_length < longest + 400
    assert declared.decoding.max_new_tokens > max(len(row["completion"]) for row in rows) / 2
    text = (tmp_path / "mine" / "suite.yaml").read_text()
    assert "# tokens; your longest row fits" in text and "# more than your longest answer is likely to need" in text


def test_no_limit_is_said_to_be_enough_when_it_is_the_most_that_is_proposed(tmp_path: Path) -> None:
    rows = [{"prompt": f"{text} " * 200, "completion": f"{text} " * 60} for text in prompts(40, 1)]
    (tmp_path / "rows.jsonl").write_bytes(lines(rows))
    assert harness("init", tmp_path / "mine", "--from", tmp_path / "rows.jsonl").exit_code == 0
    text = (tmp_path / "mine" / "suite.yaml").read_text()
    assert "  max_length: 8192   # tokens; the most that is proposed; longer rows are refused, and" in text
    assert "decoding: {max_new_tokens: 1024}   # the most that is proposed; longer answers are cut off, and" in text
    assert harness("validate", tmp_path / "mine").exit_code == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", b"", "rows.jsonl: there are no rows in it"),
        ("rows.txt", b"Once.\n\nTwice.\n", "this is raw text, which asks nothing .+ continued_pretraining"),
        ("rows.jsonl", b'{"prompt": "a", "completion": "b"}\n{"prompt": ', "rows.jsonl:2: not valid JSON at column"),
        (
            "rows.jsonl",
            b'{"prompt": "a", "completion": "b"}\n{"prompt": "c"}',
            "rows.jsonl:2: there is no answer: give",
        ),
        ("rows.csv", b"frage,antwort\na,b\n", "rows.csv:2: no column is a question by its name; call the question"),
        ("rows.csv", b"text,lable\na,b\n", r"an answer by its name \(did you mean `lable` for `label`\?\); call"),
        ("rows.csv", b"Questoin,label\na,b\n", r"a question by its name \(did you mean `Questoin` for `question`\?\)"),
        ("rows.csv", b"text,label,intent\na,b,c\n", "rows.csv:2: `label` and `intent` may each be what is meant"),
        (
            "rows.jsonl",
            lines([{"prompt": text, "completion": "yes"} for text in prompts(60, 1)]),
            "one constant answer is",
        ),
        ("rows.jsonl", lines([{"prompt": "a", "completion": "yes"}] * 60), "leave 1 to test on, fewer than 10"),
        (
            "rows.jsonl",
            lines([{"prompt": "a", "chosen": "b", "rejected": "c"}, {"prompt": "a", "completion": "b"}]),
            "rows.jsonl:2: a preference needs `prompt`, `chosen` and `rejected`",
        ),
    ],
)
def test_rows_that_make_no_suite_are_refused_by_their_place_and_nothing_is_written(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    result = harness("init", tmp_path / "mine", "--from", tmp_path / name)
    assert result.exit_code == 2, result.output
    assert re.search(message, result.output), result.output
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(not DATA, reason="HARNESS_TEST_DATA names the folder of the real data sets")
@pytest.mark.parametrize("name", ["snips_intent", "snips", "banking77"])
def test_a_real_data_set_gives_a_suite_without_leaks(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    made = json.loads(harness("init", folder, "--from", Path(str(DATA)) / f"{name}.train.jsonl", "--json").stdout)
    assert made["test_rows"] == 500
    for command in ("validate", "lint", "plan"):
        result = harness(command, folder)
        assert result.exit_code == 0, result.output
    assert "leak]" not in harness("lint", folder).output


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
        ["lint", str(folder)],
        ["plan", str(folder)],
        ["run", str(folder)],
    ]
    validated, linted, planned = (harness(*step[1:]) for step in steps[1:4])
    assert validated.exit_code == linted.exit_code == planned.exit_code == 0
    assert validated.stdout.startswith("my-suite is valid; rows: 162 train, 18 validation, 100 test\n")
    assert planned.stdout.startswith("my-suite: what each check could detect; nothing has run yet")


@pytest.mark.parametrize("command", ["validate", "lint", "run"])
def test_a_typo_in_the_pattern_that_init_wrote_is_refused_before_a_model_is_loaded(
    command: str, tmp_path: Path
) -> None:
    given = next(given for given in GIVEN if given.name == "rows.csv")
    harness("init", tmp_path / "mine", "--from", given.write(tmp_path))
    suite = tmp_path / "mine" / "suite.yaml"
    before, pattern = suite.read_text().split("regex: ")
    suite.write_text(f"{before}regex: {pattern.replace(LABELS[0], LABELS[0][:-1], 1)}")
    result = harness(command, tmp_path / "mine")
    assert result.exit_code == 2
    wanted = f"the answer {LABELS[0]!r} cannot be written under the grammar of the arm constrained; "
    assert re.search(rf"test\.jsonl:\d+: .*{re.escape(wanted)}", result.output), result.output


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
