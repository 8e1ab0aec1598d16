"""Each rule finds what was planted, names its place, and finds nothing in data that are in order."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from planted_suite import LABELS, SUITE, Row, Rows, clean_rows, example, prompts, write_planted, write_rows

from harness.data.personal import kinds_of_personal_data
from harness.data.rules import RULES, Finding, finding
from harness.errors import ExitCode, InvalidInputError
from harness.linting import LintResult, lint_suite
from harness.suite.load import load_suite

Change = Callable[[dict[str, Rows]], object]
TREE = Path(__file__).parents[2]


def lint(folder: Path, change: Change | None = None, *, suite: str = SUITE, model: bool = False) -> LintResult:
    loaded = load_suite(write_planted(folder / "planted", change, suite=suite, model=model))
    return lint_suite(loaded, model=folder / "planted" / "model" if model else None)


def found(result: LintResult) -> list[tuple[str, str, str, str | None]]:
    return [(one.rule, one.severity, one.where, one.other) for one in result.findings]


def only(result: LintResult) -> Finding:
    (one,) = result.findings
    return one


# --- what is in order ------------------------------------------------------------------------------------------------


def test_nothing_is_found_when_the_data_are_in_order(tmp_path: Path) -> None:
    result = lint(tmp_path, model=True)
    assert (result.findings, result.not_checked, result.exit_code) == ((), (), ExitCode.SHIP)
    assert result.rows == {"train": 630, "mix": 40, "test": 120}


def test_what_the_demo_suites_are_told_is_true() -> None:
    found = {suite: lint_suite(load_suite(TREE / "suites" / suite), model=None) for suite in SUITES_FOUND}
    assert {suite: sorted({one.rule for one in result.findings}) for suite, result in found.items()} == SUITES_FOUND
    assert all(result.exit_code == ExitCode.SHIP for result in found.values())


# The tickets to test on are longer than those to train on, and no queue has two hundred of them; three probes are near
# copies of others, as what is composed from fragments may be.
SUITES_FOUND = {
    "ticket-triage": ["few-per-label", "shift"],
    "schema-1000": ["few-per-label", "near-duplicate", "shift"],
}


def test_every_rule_says_why_and_what_to_do() -> None:
    one = finding("leak", "test.jsonl:1", "what")
    assert (one.severity, one.why, one.remedy) == ("error", RULES["leak"].why, RULES["leak"].remedy)
    assert all(rule.why and rule.remedy and not rule.why.endswith(".") for rule in RULES.values())


# --- between sets ----------------------------------------------------------------------------------------------------


def copy_of(rows: dict[str, Rows], number: int, change: Callable[[str], str] = str, **other: object) -> Row:
    """A test row (counted from 1), changed."""
    row = rows["test"][number - 1]
    return row | {"prompt": change(row["prompt"])} | other


def within_a_letter(rows: dict[str, Rows], number: int) -> Row:
    """A test row's prompt in the middle of a longer one, with another answer."""
    return copy_of(rows, number, lambda text: f"Good day. {text} {text[::-1]} Bye", completion="none")


def with_a_slip(text: str) -> str:
    """The text with a letter of its fourth word replaced."""
    words = text.split()
    return " ".join([*words[:3], "q" + words[3][1:], *words[4:]])


def add(name: str, *made: Callable[[dict[str, Rows]], Row]) -> Change:
    """Put rows at the end of a set."""
    return lambda rows: rows[name].extend([make(rows) for make in made])


LEAKS: list[tuple[str, Change, str, str, str]] = [
    ("exact", add("train", lambda rows: copy_of(rows, 7)), "leak", "test.jsonl:7", "train.jsonl:631"),
    ("case", add("train", lambda rows: copy_of(rows, 7, str.upper)), "leak", "test.jsonl:7", "train.jsonl:631"),
    ("embedded", add("train", lambda rows: within_a_letter(rows, 8)), "leak", "test.jsonl:8", "train.jsonl:631"),
    # Twelve words can be the same by chance.
    ("short", add("train", lambda rows: within_a_letter(rows, 7)), "possible-leak", "test.jsonl:7", "train.jsonl:631"),
    (
        "near copy",
        add("train", lambda rows: copy_of(rows, 7, with_a_slip)),
        "possible-leak",
        "test.jsonl:7",
        "train.jsonl:631",
    ),
    ("general rows", add("mix", lambda rows: copy_of(rows, 7)), "leak", "test.jsonl:7", "mix.jsonl:41"),
    (
        "general and trained",
        add("mix", lambda rows: rows["train"][4] | {"completion": "A sentence of general use."}),
        "overlap",
        "mix.jsonl:41",
        "train.jsonl:5",
    ),
]


@pytest.mark.parametrize(
    ("change", "rule", "where", "other"), [row[1:] for row in LEAKS], ids=[row[0] for row in LEAKS]
)
def test_a_leak_names_both_rows(change: Change, rule: str, where: str, other: str, tmp_path: Path) -> None:
    result = lint(tmp_path, change)
    severity = RULES[rule].severity
    assert (rule, severity, where, other) in found(result)
    leaks = [one for one in result.findings if one.rule in {"leak", "possible-leak", "overlap"}]
    assert [(one.where, one.other) for one in leaks] == [(where, other)]
    assert result.exit_code == (ExitCode.INVALID if severity == "error" else ExitCode.SHIP)


def test_a_near_copy_says_what_differs(tmp_path: Path) -> None:
    result = lint(tmp_path, add("train", lambda rows: copy_of(rows, 7, with_a_slip)))
    one = next(one for one in result.findings if one.rule == "possible-leak")
    word = clean_rows()["test"][6]["prompt"].split()[3]
    assert one.what.startswith("this test prompt is nearly one in train, ")
    assert one.what.endswith(f"% alike, {word!r} against {'q' + word[1:]!r}")


def test_a_validation_file_and_a_probe_are_held_out_as_well(tmp_path: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        fresh = prompts(40, 20)
        rows["validation"] = [{"prompt": text, "completion": LABELS[n % 3]} for n, text in enumerate(fresh)]
        rows["probe"] = [{"prompt": text} for text in prompts(30, 21)]
        rows["validation"][3]["prompt"] = rows["train"][0]["prompt"]
        rows["probe"][4]["prompt"] = rows["validation"][9]["prompt"]
        rows["probe"][5]["prompt"] = rows["test"][0]["prompt"]  # nothing is learned from either

    suite = SUITE.replace("validation: 10%", "validation: validation.jsonl, probe: probe.jsonl")
    leaks = [one for one in found(lint(tmp_path, change, suite=suite)) if one[0] == "leak"]
    assert leaks == [
        ("leak", "error", "probe.jsonl:5", "validation.jsonl:10"),
        ("leak", "error", "validation.jsonl:4", "train.jsonl:1"),
    ]


def test_a_benchmark_question_among_the_training_rows_is_found(tmp_path: Path) -> None:
    questions = prompts(6, 30)
    folder = tmp_path / "planted" / "quiz"
    (folder / "test").mkdir(parents=True)
    (folder / "task.yaml").write_text("doc_to_text: '{{question}}'\n")
    lines = [
        '"Which of\nthese?",a,b,c,d,A\n',
        *(f'"{text}",a,b,c,d,B\n' for text in questions),
        "Which of these?,e,f,g,h,A\n",
    ]
    (folder / "test" / "odd_test.csv").write_text("".join(lines))
    suite = SUITE + "benchmarks:\n  quiz: {task: quiz}\n"
    change = add("mix", lambda _: {"prompt": f"Tell me. {questions[2]} Please.", "completion": "It is b."})
    one = only(lint(tmp_path, change, suite=suite))
    assert (one.rule, one.where, one.other) == ("benchmark-leak", "mix.jsonl:41", "odd_test.csv:5")
    assert one.what == "this mix row holds, word for word, a question of the benchmark quiz"
    # Two questions that are asked about other choices are not found by what they have in common.
    asked = add("mix", lambda _: {"prompt": "Which of these?", "completion": "The first of them."})
    assert lint(tmp_path, asked, suite=suite).findings == ()


# --- within a set ----------------------------------------------------------------------------------------------------

WITHIN: list[tuple[str, Change, tuple[str, str, str, str | None]]] = [
    (
        "duplicate",
        add("train", lambda rows: rows["train"][1] | {"prompt": rows["train"][1]["prompt"].upper()}),
        ("duplicate", "warning", "train.jsonl:631", "train.jsonl:2"),
    ),
    (
        "contradiction",
        add("train", lambda rows: rows["train"][1] | {"completion": "billing"}),
        ("contradiction", "warning", "train.jsonl:631", "train.jsonl:2"),
    ),
    (
        "near contradiction",
        add("train", lambda rows: {"prompt": f"Well {rows['train'][1]['prompt']}", "completion": "billing"}),
        ("contradiction", "note", "train.jsonl:631", "train.jsonl:2"),
    ),
    (
        "near duplicate",
        add("train", lambda rows: {"prompt": f"Well {rows['train'][1]['prompt']}", "completion": "delivery"}),
        ("near-duplicate", "note", "train.jsonl:631", "train.jsonl:2"),
    ),
    (
        "same row in test",
        add("test", lambda rows: rows["test"][1]),
        ("duplicate-id", "error", "test.jsonl:121", "test.jsonl:2"),
    ),
    (
        "same id in test",
        lambda rows: [rows["test"][place].update(id="mine") for place in (4, 8)],
        ("duplicate-id", "error", "test.jsonl:9", "test.jsonl:5"),
    ),
    (
        "two free answers",
        add(
            "mix", lambda rows: rows["mix"][1] | {"completion": "Quite another sentence, and it may be right as well."}
        ),
        ("contradiction", "note", "mix.jsonl:41", "mix.jsonl:2"),
    ),
    (
        "spelling",
        lambda rows: rows["train"][1].update(completion="Delivery"),
        ("label-spelling", "warning", "train.jsonl:2", "train.jsonl:5"),
    ),
    (
        "slip",
        lambda rows: rows["train"][1].update(completion="delivrey"),
        ("label-spelling", "warning", "train.jsonl:2", "train.jsonl:5"),
    ),
    (
        "spelling in test",
        lambda rows: rows["test"][1].update(completion="DELIVERY"),
        ("label-spelling", "warning", "test.jsonl:2", "train.jsonl:2"),
    ),
    (
        "unseen label",
        lambda rows: rows["test"][1].update(completion="press"),
        ("shift", "warning", "test.jsonl:2", None),
    ),
    (
        "system message",
        lambda rows: rows["train"].__setitem__(6, as_messages(rows["train"][6], system="Be brief.")),
        ("shape", "warning", "train.jsonl:7", None),
    ),
    (
        "several turns",
        lambda rows: rows["train"].__setitem__(6, as_messages(rows["train"][6], more=("no", "Then what?"))),
        ("shape", "warning", "train.jsonl:7", None),
    ),
    (
        "cut JSON",
        lambda rows: rows["mix"][6].update(completion='{"answer": "it is', meta={}),
        ("truncated-answer", "warning", "mix.jsonl:7", None),
    ),
    (
        "cut sentence",
        lambda rows: rows["mix"][6].update(completion="This is how it is done in all of the shops and the"),
        ("truncated-answer", "warning", "mix.jsonl:7", None),
    ),
    (
        "open fence",
        lambda rows: rows["mix"][6].update(completion="Write this:\n```python\nprint(1)"),
        ("truncated-answer", "warning", "mix.jsonl:7", None),
    ),
    (
        "personal data",
        lambda rows: rows["train"][6].update(prompt=rows["train"][6]["prompt"] + " Write to ana.ruiz@posteo.de"),
        ("personal-data", "warning", "train.jsonl:7", None),
    ),
]


def as_messages(row: Row, *, system: str | None = None, more: tuple[str, str] | None = None) -> Row:
    turns = [{"role": "system", "content": system}] if system else []
    turns.append({"role": "user", "content": row["prompt"]})
    if more:
        turns += [{"role": "assistant", "content": more[0]}, {"role": "user", "content": more[1]}]
    return {"messages": [*turns, {"role": "assistant", "content": row["completion"]}]}


@pytest.mark.parametrize(("change", "wanted"), [row[1:] for row in WITHIN], ids=[row[0] for row in WITHIN])
def test_a_planted_fault_is_found_and_nothing_else(
    change: Change, wanted: tuple[str, str, str, str | None], tmp_path: Path
) -> None:
    result = lint(tmp_path, change)
    # A label that one row has is also a rare one.
    rest = {"few-per-label", "imbalance"} - {wanted[0]}
    assert [one for one in found(result) if one[0] not in rest] == [wanted]


def test_personal_data_are_not_repeated_in_the_finding(tmp_path: Path) -> None:
    text = "Call me at (415) 231-7746 or a.b@posteo.de, would you?"
    what = only(lint(tmp_path, lambda rows: rows["train"][6].update(prompt=text))).what
    assert what == "has what looks like an e-mail address and a telephone number"


PERSONAL = {
    "Write to ana@posteo.de.": ("an e-mail address",),
    "Call +49 30 901820 today": ("a telephone number",),
    "call 415-231-7746": ("a telephone number",),
    "DE89 3704 0044 0532 0130 00": ("a bank account (IBAN)",),
    "card 4539 1488 0343 6467 please": ("a card number",),
    "ssn 219-09-9999": ("a US social security number",),
    "DE89 3704 0044 0532 0130 01": (),
    "card 4539 1488 0343 6468": (),
    "ana@example.com, bob@mail.example.org, root@localhost": (),
    "on 2024-01-15 at 10:30, invoice 3318 over 8,600.00": (),
    "555-0100 and (415) 555-0199 are made up": (),
    "order 7741093, parcel 12 345 678, version 1.2.3.4": (),
    "000-12-3456 and 666-12-3456 are none": (),
}


@pytest.mark.parametrize(("text", "kinds"), PERSONAL.items(), ids=PERSONAL)
def test_personal_data_are_told_from_other_numbers(text: str, kinds: tuple[str, ...]) -> None:
    assert kinds_of_personal_data(text) == kinds


# --- arms under a grammar --------------------------------------------------------------------------------------------

TYPO = {
    "regex: billing|delivery|nona": "none",
    "regex: 'billin|delivery|none'": "billing",
    "regex: '(billing|none)(.|\\n)*'": "delivery",
    "lark: answer.lark": "none",
    "schema": "none",
}


def under(grammar: str, folder: Path, *, change: Change | None = None, scorer: str = "exact_match") -> LintResult:
    """What a lint says of the planted suite with an arm under a grammar; "schema" is its JSON Schema."""
    arm = f"  bound: {{kind: constrained, over: bare{'' if grammar == 'schema' else f', {grammar}'}}}\n"
    suite = SUITE.replace("systems:\n", f"systems:\n{arm}").replace("exact_match", scorer)
    if grammar == "schema":
        suite = suite.replace("data: {", "data: {schema: answer.json, ")
    (folder / "planted").mkdir()
    (folder / "planted" / "answer.lark").write_text('start: "billing" | "deliver" "y" | "nona"\n')
    (folder / "planted" / "answer.json").write_text('{"enum": [["billing"], ["delivery"], ["nona"]]}')
    return lint(folder, change, suite=suite)


def as_lists(rows: dict[str, Rows]) -> None:
    """Each answer as a JSON list, written with spaces within."""
    for row in (*rows["train"], *rows["test"]):
        row["completion"] = f'[ "{row["completion"]}" ]'


@pytest.mark.parametrize(("grammar", "label"), TYPO.items(), ids=TYPO)
def test_an_answer_that_a_constrained_arm_cannot_write_is_an_error(grammar: str, label: str, tmp_path: Path) -> None:
    result = under(grammar, tmp_path, change=as_lists if grammar == "schema" else None)
    (one,) = (one for one in result.findings if one.rule == "out-of-grammar")
    place = LABELS.index(label) + 1
    assert (one.severity, one.where, one.other) == ("error", f"test.jsonl:{place}", "suite.yaml:7")
    text = f'[ "{label}" ]' if grammar == "schema" else label
    assert one.what == (
        f"the answer {text!r} cannot be written under the grammar of the arm bound; 40 rows have this answer"
    )
    assert result.exit_code == ExitCode.INVALID


@pytest.mark.parametrize("grammar", ["regex: billing|delivery|none", "regex: '[a-z]+'", "regex: '.*'"])
def test_nothing_is_found_when_every_answer_can_be_written(grammar: str, tmp_path: Path) -> None:
    assert found(under(grammar, tmp_path)) == []


@pytest.mark.parametrize("spaced", [" none", "none\n", " none \n"])
def test_spacing_is_no_fault_when_exact_match_passes_it_over(spaced: str, tmp_path: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        rows["test"][2]["completion"] = spaced

    result = under("regex: billing|delivery|none", tmp_path, change=change)
    assert "out-of-grammar" not in {one.rule for one in result.findings}


def test_a_pattern_of_one_spelling_of_json_is_warned_of_only_when_it_refuses_all(tmp_path: Path) -> None:
    written = """regex: '\\["(billing|delivery|nona)"\\]'"""
    result = under(written, tmp_path, change=as_lists)
    (one,) = (one for one in result.findings if one.rule == "out-of-grammar")
    assert (one.severity, one.where) == ("warning", "test.jsonl:3")
    assert result.exit_code == ExitCode.SHIP


def test_a_grammar_is_not_asked_when_a_right_answer_may_have_other_words(tmp_path: Path) -> None:
    assert found(under("regex: billing|delivery|nona", tmp_path, scorer="rouge_l")) == []


AMBIGUOUS = "start: a\na: a a | " + " | ".join(f'"{letter}"' for letter in "abcdefghijklmnopqrstuvwxyz ") + "\n"


@pytest.mark.parametrize("grammar", ['start: "billing" <|im_end|>\n', AMBIGUOUS], ids=["tokens", "too long"])
def test_it_is_told_when_it_is_not_found_out_what_a_grammar_can_write(grammar: str, tmp_path: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        (tmp_path / "planted" / "answer.lark").write_text(grammar)
        rows["test"][0]["completion"] = "delivery " * 300

    (one,) = (
        one for one in under("lark: answer.lark", tmp_path, change=change).findings if one.rule == "out-of-grammar"
    )
    assert (one.severity, one.where) == ("warning", "suite.yaml:7")
    assert one.what.startswith("whether the arm bound can write every right answer was not found out")


# --- whole sets ------------------------------------------------------------------------------------------------------


def test_few_rows_are_told(tmp_path: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        rows["train"], rows["test"] = rows["train"][:90], rows["test"][:50]

    few = [one for one in lint(tmp_path, change).findings if one.rule == "few-rows"]
    assert [(one.severity, one.where, one.what) for one in few] == [
        ("warning", "suite.yaml:4", "90 rows to train on in train"),
        ("warning", "suite.yaml:4", "50 test rows"),
    ]


def test_a_test_set_that_a_run_refuses_is_an_error(tmp_path: Path) -> None:
    result = lint(tmp_path, lambda rows: rows.update(test=rows["test"][:9]))
    assert ("few-rows", "error", "suite.yaml:4", None) in found(result)
    assert result.exit_code == ExitCode.INVALID


def test_rare_labels_are_told_with_their_counts(tmp_path: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        rows["train"] = [row for place, row in enumerate(rows["train"]) if row["completion"] != "none" or place < 60]

    result = lint(tmp_path, change)
    assert found(result) == [
        ("imbalance", "warning", "train.jsonl:3", None),
        ("few-per-label", "note", "train.jsonl:3", None),
    ]
    assert [one.what for one in result.findings] == [
        "`answer` is 'billing' in 210 rows and 'none' in 20",
        "1 of 3 labels of `answer` have fewer than 200 rows: 'none' 20",
    ]


def as_json(rows: Rows) -> None:
    for place, row in enumerate(rows):
        row["completion"] = f'{{"queue": "{row["completion"]}", "urgent": {"true" if place % 2 else "false"}}}'


def test_the_fields_of_json_answers_are_labels(tmp_path: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        as_json(rows["train"])
        as_json(rows["test"])
        rows["train"][1]["completion"] = '{"queue": "Delivery", "urgent": true}'
        rows["test"][1]["completion"] = '{"queue": "press", "urgent": true}'

    assert [one for one in found(lint(tmp_path, change)) if one[0] in {"label-spelling", "shift"}] == [
        ("label-spelling", "warning", "train.jsonl:2", "train.jsonl:5"),
        ("shift", "warning", "test.jsonl:2", None),
    ]


def test_json_answers_of_another_form_are_told(tmp_path: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        as_json(rows["train"])
        as_json(rows["test"])
        rows["train"][3]["completion"] = '{"queue": "billing"}'
        rows["train"][4]["completion"] = "delivery"

    shapes = [one for one in lint(tmp_path, change).findings if one.rule == "shape"]
    assert [(one.where, one.what) for one in shapes] == [
        ("train.jsonl:5", "the answer is text, and is a JSON object in 629 of 630 rows"),
        ("train.jsonl:4", "the keys of the answer are queue, and are queue, urgent in 628 of 629 rows"),
    ]


def test_test_rows_of_another_form_than_the_training_rows_are_told(tmp_path: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        rows["test"] = [as_messages(row, system="Sort the ticket.") for row in rows["test"]]

    one = only(lint(tmp_path, change))
    assert (one.rule, one.where) == ("shape", "test.jsonl:1")
    assert one.what == "a system message is there in test rows, and is missing in training rows"


def test_answers_that_the_schema_refuses_are_told(tmp_path: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        as_json(rows["train"])
        as_json(rows["test"])
        rows["train"][3]["completion"] = '{"queue": "press", "urgent": 1}'

    folder = tmp_path / "planted"
    folder.mkdir()
    fields = {"queue": {"enum": list(LABELS)}, "urgent": {"type": "boolean"}}
    (folder / "schema.json").write_text(json.dumps({"type": "object", "properties": fields}))
    suite = SUITE.replace("test: test.jsonl", "test: test.jsonl, schema: schema.json")
    one = next(one for one in lint(tmp_path, change, suite=suite).findings if one.rule == "schema")
    assert one.where == "train.jsonl:4"
    assert one.what.startswith("the answer violates the schema: $.queue: 'press' is not one of")
    assert one.what.endswith("(and 1 more)")


def test_one_template_around_all_prompts_is_told(tmp_path: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        for row in rows["train"][:-30] + rows["test"]:
            row["prompt"] = f"Sort this ticket: {row['prompt']} Answer in one word."

    result = lint(tmp_path, change)
    assert [(one.rule, one.where, one.what) for one in result.findings] == [
        ("template", "train.jsonl:1", "600 of 630 prompts open with 'sort this ticket'"),
        ("template", "train.jsonl:1", "600 of 630 prompts close with 'answer in one word'"),
    ]


def test_missing_negatives_are_told_and_weigh_more_when_the_test_asks_for_them(tmp_path: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        for row in rows["train"]:
            row["completion"] = row["completion"].replace("none", "returns")

    def both(rows: dict[str, Rows]) -> None:
        change(rows)
        for row in rows["test"]:
            row["completion"] = row["completion"].replace("none", "returns")

    def told(change: Change) -> list[tuple[str, str]]:
        found = lint(tmp_path, change).findings
        return [(one.severity, one.where) for one in found if one.rule == "no-negatives"]

    assert told(both) == [("note", "suite.yaml:4")]
    assert told(change) == [("warning", "test.jsonl:3")]
    refusals = ["I'm sorry, but I can't help with that.", "I don't know.", '{"queue": null}', "N/A"]
    for refusal in refusals:
        assert told(lambda rows: (both(rows), rows["mix"][0].update(completion=refusal))) == []  # noqa: B023
    assert told(lambda rows: (both(rows), rows["mix"][0].update(tags=["refuse"]))) == []


def test_answers_cut_at_one_length_are_told(tmp_path: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        for row in rows["mix"][10:14]:
            row["completion"] = (row["completion"] * 5)[:149].replace(".", ",") + "x"

    cut = [one for one in lint(tmp_path, change).findings if one.rule == "truncated-answer"]
    assert [one.where for one in cut] == [f"mix.jsonl:{line}" for line in (11, 12, 13, 14)]
    assert "stops without an end after 150 characters" in cut[0].what


def test_longer_test_prompts_are_a_shift(tmp_path: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        for row, text in zip(rows["test"], prompts(120, 40, words=22), strict=True):
            row["prompt"] = text

    one = only(lint(tmp_path, change))
    assert (one.rule, one.where) == ("shift", "suite.yaml:4")
    assert one.what.startswith("test prompts have 22 words in the median, training prompts 15 (Kolmogorov-Smirnov")


def test_other_words_in_test_prompts_are_a_shift(tmp_path: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        for place, row in enumerate(rows["test"]):
            first, *rest = row["prompt"].split()
            row["prompt"] = " ".join([first, *rest[:-2], f"xylo{place}", f"quax{place}?"])

    one = only(lint(tmp_path, change))
    assert (one.rule, one.where) == ("shift", "suite.yaml:4")
    assert "of the words of the test prompts are in no training prompt; 0% are expected" in one.what


def test_a_suite_without_general_rows_is_told_so(tmp_path: Path) -> None:
    one = only(lint(tmp_path, suite=SUITE.replace(", mix: {from: mix.jsonl, share: 10%}", "")))
    assert (one.rule, one.severity, one.where) == ("no-general-data", "note", "suite.yaml:4")


# --- other objectives ------------------------------------------------------------------------------------------------


def test_preferences_and_raw_text_are_searched_for_leaks(tmp_path: Path) -> None:
    folder = tmp_path / "planted"
    folder.mkdir()
    test = clean_rows()["test"]
    pairs = [{"prompt": text, "chosen": "It is so.", "rejected": "No."} for text in prompts(120, 50)]
    pairs[5]["prompt"] = test[3]["prompt"].upper()
    pairs.append({"prompt": pairs[0]["prompt"], "chosen": "No.", "rejected": "It is so."})
    write_rows(folder / "pairs.jsonl", pairs)
    suite = SUITE.replace("method: lora,", "method: lora, objective: dpo, rows: pairs.jsonl,")
    result = lint(tmp_path, suite=suite.replace(", mix: {from: mix.jsonl, share: 10%}", ""))
    assert ("leak", "error", "test.jsonl:4", "pairs.jsonl:6") in found(result)
    assert ("contradiction", "warning", "pairs.jsonl:121", "pairs.jsonl:1") in found(result)

    texts = "\n\n".join([*prompts(40, 51), f"In a letter it says: {test[8]['prompt']} And so on."])
    (folder / "text.txt").write_text(texts)
    suite = SUITE.replace("method: lora,", "method: lora, objective: continued_pretraining, rows: text.txt,")
    assert ("leak", "error", "test.jsonl:9", "text.txt:81") in found(lint(tmp_path, suite=suite))


# --- rules that need the tokenizer -----------------------------------------------------------------------------------


def test_what_needs_tokens_is_said_to_be_left_out_without_the_model(tmp_path: Path) -> None:
    (sentence,) = lint(tmp_path).not_checked
    assert sentence.startswith("too-long, not-a-prefix and out-of-reach were not checked: ")
    assert "the model is not on this machine yet" in sentence
    (tmp_path / "broken").mkdir()
    loaded = load_suite(write_planted(tmp_path / "other"))
    (sentence,) = lint_suite(loaded, model=tmp_path / "broken").not_checked
    assert "tokenizer_config.json: cannot be read" in sentence


def long_row(rows: dict[str, Rows]) -> None:
    rows["train"][9]["prompt"] = " ".join(prompts(4, 60))


def test_a_row_over_the_length_limit_is_an_error_unless_the_suite_allows_it(tmp_path: Path) -> None:
    one = only(lint(tmp_path, long_row, model=True))
    assert (one.rule, one.severity, one.where) == ("too-long", "error", "train.jsonl:10")
    assert one.what.endswith(" tokens; train.max_length is 400")
    allowed = SUITE.replace("max_length: 400", "max_length: 400, max_truncated: 1%")
    assert only(lint(tmp_path, long_row, model=True, suite=allowed)).severity == "warning"


def test_token_counts_are_those_of_training(tmp_path: Path) -> None:
    from harness.data.local_tokenizer import LocalTokenizer
    from harness.engine.chat import training_ids

    result = lint(tmp_path, long_row, model=True)
    tokenizer = LocalTokenizer(tmp_path / "planted" / "model")
    row = clean_rows()["train"][9]
    tokens = sum(map(len, training_ids(tokenizer, example(" ".join(prompts(4, 60))).messages, row["completion"])))
    assert only(result).what.startswith(f"the row has {tokens:,} tokens")


def test_an_answer_that_melts_into_the_prompt_is_an_error(tmp_path: Path) -> None:
    # The template ends the prompt with a line break, and the tokenizer has one token for two of them.
    result = lint(tmp_path, lambda rows: rows["mix"][6].update(completion="\n\nA sentence of its own."), model=True)
    one = only(result)
    assert (one.rule, one.severity, one.where) == ("not-a-prefix", "error", "mix.jsonl:7")
    assert "does not render the answer directly after the prompt" in one.what


def test_an_answer_longer_than_any_may_be_is_told(tmp_path: Path) -> None:
    suite = SUITE + "decoding: {max_new_tokens: 7}\n"
    result = lint(tmp_path, suite=suite, model=True)
    assert {one.rule for one in result.findings} == {"out-of-reach"}
    assert len(result.findings) == 40  # each "delivery" of the test rows
    assert result.findings[0].what == "the right answer has 8 tokens; decoding.max_new_tokens is 7"


# --- what cannot be read ---------------------------------------------------------------------------------------------


def test_rows_that_cannot_be_read_are_refused_with_file_and_line(tmp_path: Path) -> None:
    folder = write_planted(tmp_path / "planted")
    with (folder / "train.jsonl").open("a") as stream:
        stream.write('{"prompt": "a", "completion": ""}\n{"prompt": "a", "answer": "b"}\n')
    with pytest.raises(InvalidInputError) as caught:
        lint_suite(load_suite(folder), model=None)
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == ["train.jsonl:631", "train.jsonl:632"]


def test_the_order_of_findings_is_that_of_the_rules(tmp_path: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        drawn = random.Random(0)
        for name in ("train", "mix"):
            rows[name] += [copy_of(rows, drawn.randrange(1, 120)) for _ in range(3)]
        rows["train"] += rows["train"][:5]

    rules = [one.rule for one in lint(tmp_path, change).findings]
    order = list(RULES)
    assert rules == sorted(rules, key=order.index) and len(set(rules)) > 1
