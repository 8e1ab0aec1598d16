from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hostile_texts import PAYLOADS

from harness.findings import CheckResult, Status
from harness.report.formatting import clean
from harness.report.github import SHOWN, check_annotations, inert, inert_json, outputs
from harness.suite.load import LoadedSuite, parse_suite

SUITE = """\
suite: lines
seed: 1
model: smollm2-135m-instruct
data: {train: train.jsonl, test: test.jsonl, probe: probe.jsonl, schema: schema.json}
train: {method: lora}
systems:
  candidate: {kind: adapter, role: candidate}
  bare: {kind: prompt, role: baseline}
benchmarks:
  general: {task: mmlu}
  special: {task: mmlu}
checks:
  - {kind: better_than, scorer: exact_match}
  - {kind: better_than, scorer: exact_match, tag: shifted}
  - {kind: better_than, scorer: rouge_l, blocking: false}
  - {kind: better_than, name: twice, scorer: rouge_l, blocking: false}
  - kind: valid_output
    bar: 95%
  - {kind: benchmark_drop, benchmark: general}
  - {kind: benchmark_drop, benchmark: special}
  - {kind: healthy_training}
"""


def suite() -> LoadedSuite:
    return parse_suite(SUITE, Path("suite.yaml"), {}, files=False)


def check(name: str, status: Status = "fail", *, blocking: bool = True, **facts: str) -> CheckResult:
    kind = {"twice": "better_than"}.get(name.split("/")[0], name.split("/")[0])
    reason = facts.pop("reason", "so it was found")
    return CheckResult(name=name, kind=kind, status=status, blocking=blocking, reason=reason, **facts)  # type: ignore[arg-type]


def parse(line: str) -> tuple[str, dict[str, str], str]:
    """Read a command as the runner does (ActionCommand.TryParseV2): kind, properties and data, escapes taken back."""
    found = re.fullmatch(r"::(\w+) (.*?)::(.*)", line)
    assert found is not None, line
    properties = dict(part.split("=", 1) for part in found[2].split(","))
    for code in ("%0D", "%0A", "%3A", "%2C", "%25"):
        properties = {key: value.replace(code, chr(int(code[1:], 16))) for key, value in properties.items()}
    data = found[3]
    for code in ("%0D", "%0A", "%25"):
        data = data.replace(code, chr(int(code[1:], 16)))
    return found[1], properties, data


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("better_than/exact_match/bare", 13),
        ("better_than/exact_match/bare[shifted]", 14),
        ("better_than/rouge_l/bare", 15),
        ("twice/rouge_l/bare", 16),
        ("valid_output", 17),
        ("benchmark_drop/general", 19),
        ("benchmark_drop/special", 20),
        ("healthy_training", 21),
        ("better_than", 13),  # nothing was compared
        ("adapter_is_live", 13),  # always on: where the checks begin
    ],
)
def test_an_annotation_names_the_line_that_declares_the_check(name: str, line: int) -> None:
    (written,) = check_annotations([check(name)], suite(), "suites/lines/suite.yaml")
    kind, properties, data = parse(written)
    assert kind == "error"
    assert properties == {"file": "suites/lines/suite.yaml", "line": str(line), "title": f"{name} failed"}
    assert data == "so it was found"


@pytest.mark.parametrize(
    ("status", "blocking", "accepted", "kind"),
    [
        ("fail", True, "", "error"),
        ("fail", False, "", "warning"),
        ("undecided", True, "", "warning"),
        ("undecided", True, "known and small", None),
        ("undecided", False, "", None),
        ("pass", True, "", None),
    ],
)
def test_only_what_tells_against_the_candidate_is_annotated(
    status: Status, blocking: bool, accepted: str, kind: str | None
) -> None:
    written = check_annotations([check("valid_output", status, blocking=blocking, accepted=accepted)], suite(), None)
    assert [parse(line)[0] for line in written] == ([kind] if kind else [])


def test_an_annotation_without_a_file_names_no_line() -> None:
    (written,) = check_annotations([check("valid_output", needs="12 more cases")], suite(), None)
    assert parse(written) == ("error", {"title": "valid_output failed"}, "so it was found; to settle it: 12 more cases")


def test_more_checks_than_github_keeps_are_counted_in_the_last_annotation() -> None:
    checks = [check(f"better_than/exact_match/arm{number}") for number in range(SHOWN + 3)]
    written = check_annotations(checks, suite(), None)
    assert len(written) == SHOWN
    assert [parse(line)[1]["title"] for line in written[-2:]] == [
        f"better_than/exact_match/arm{SHOWN - 2} failed",
        "4 more checks",
    ]
    assert len(check_annotations(checks[:SHOWN], suite(), None)) == SHOWN


def test_what_blocks_comes_first_when_there_are_too_many() -> None:
    checks = [check(f"better_than/exact_match/arm{number}", blocking=False) for number in range(SHOWN)]
    written = check_annotations([*checks, check("valid_output", "undecided")], suite(), None)
    assert parse(written[0])[1]["title"] == "valid_output undecided"


@pytest.mark.parametrize("payload", [*PAYLOADS, "%0A::error::x", "a,file=/etc/passwd,line=1", "::stop-commands::x"])
def test_foreign_text_stays_inside_its_annotation(payload: str) -> None:
    name = f"kl_divergence/{payload}"
    written = check_annotations([check(name, reason=f"quoted {payload}")], suite(), f"suites/{payload}/suite.yaml")
    (line,) = written
    assert "\n" not in line and "\r" not in line and "\x1b" not in line
    kind, properties, data = parse(line)
    assert (kind, set(properties)) == ("error", {"file", "line", "title"})
    assert properties["file"] == clean(f"suites/{payload}/suite.yaml")
    assert data.startswith("quoted")


def read_outputs(text: str) -> dict[str, str]:
    """Read an output file as the runner does (FileCommandManager.EnvFileKeyValuePairs)."""
    lines, found = iter(text.split("\n")[:-1]), {}
    for line in lines:
        name, end = line.split("<<", 1)
        value = []
        for inner in lines:
            if inner == end:
                break
            value.append(inner)
        else:
            raise AssertionError(f"no {end} after {name}")
        found[name] = "\n".join(value)
    return found


@pytest.mark.parametrize("value", ["ship", "", "a\nEND\nverdict<<END\nship", "END_\nEND", "a=b<<c", "two\n\nlines"])
def test_outputs_are_read_back_whatever_a_value_holds(value: str) -> None:
    values = {"verdict": "hold", "report": value, "exit-code": "3"}
    assert read_outputs(outputs(values)) == values


COMMANDS = [
    "::error::x",
    "  \t::stop-commands::x",
    "fine\n::set-output name=a::b",
    "fine\r::add-mask::b",
    "\u00ad::error::x",
    ":\u200b:error::x",
    "\ufeff\u2060 ::error::x",
    "##[error]x",
    "in the middle ##[stop-commands]x",
    "#\u00ad#[group]x",
    "###[debug]x",
    "\n\n::error::x\n##[error]x\n",
]


def commands_in(text: str) -> list[str]:
    """What the runner could take for a command, when it sees no white space and no marks without width."""
    seen = [re.sub(r"[^!-~]", "", line) for line in re.split(r"[\r\n]", text)]
    return [line for line in seen if line.startswith("::") or "##[" in line]


@pytest.mark.parametrize("text", COMMANDS)
def test_no_command_is_left_in_inert_text(text: str) -> None:
    assert commands_in(text)
    assert not commands_in(inert(text))
    assert inert(text).replace("\\", "") == text


@pytest.mark.parametrize(
    "text", ["std::vector ##heading [x]", "a table | # | [b]", "http://[::1]:80", "✓ SHIP: all", ""]
)
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert inert(text) == text


@pytest.mark.parametrize("text", [*COMMANDS, "#1", "##", "\\##[error]"])
def test_json_is_the_same_value_without_commands(text: str) -> None:
    written = inert_json(json.dumps({"text": text}, ensure_ascii=False))
    assert json.loads(written) == {"text": text}
    assert not commands_in(written)
