from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import pytest
from hostile_texts import PAYLOADS
from junitparser import Failure, JUnitXml, Skipped
from lxml import etree
from record_factory import make_record, poisoned

from harness.findings import CheckResult, Status
from harness.report.junit import render_junit
from harness.report.view import build_page


@cache
def schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(Path(__file__).with_name("junit.xsd")))


def one_check(status: Status, *, blocking: bool, accepted: str = "") -> str:
    record = make_record(rows=2, probes=1)
    check = CheckResult(
        name="valid_output",
        kind="valid_output",
        status=status,
        blocking=blocking,
        reason="191 of 200 answers are valid",
        observed=0.955,
        low=0.92,
        high=0.98,
        limit=0.95,
        n=200,
        method="Clopper-Pearson",
        needs="412 more cases",
        accepted=accepted,
    )
    return render_junit(
        build_page(dataclasses.replace(record, verdict=dataclasses.replace(record.verdict, checks=(check,))))
    )


def only_case(xml: str):
    (suite,) = JUnitXml.fromstring(xml.encode())
    (case,) = suite
    return case


@pytest.mark.parametrize(
    ("status", "blocking", "accepted", "kind", "why"),
    [
        ("fail", True, "", Failure, ""),
        ("undecided", True, "", Failure, ""),
        ("fail", True, "a failed one cannot be accepted", Failure, ""),
        ("fail", False, "", Skipped, "Fail, not blocking: "),
        ("undecided", False, "", Skipped, "Undecided, not blocking: "),
        ("undecided", True, "rare queue", Skipped, "Undecided, accepted: rare queue; "),
        ("undecided", False, "rare\nqueue", Skipped, "Undecided, accepted: rare queue; "),
    ],
)
def test_a_case_fails_exactly_when_its_check_blocks(
    status: Status, blocking: bool, accepted: str, kind: type, why: str
) -> None:
    (result,) = only_case(one_check(status, blocking=blocking, accepted=accepted)).result
    assert isinstance(result, kind)
    assert result.type == status
    assert result.message == f"{why}measured 95.5 %, interval 92.0 to 98.0 %, needed at least 95.0 %"


def test_a_failure_tells_reason_need_and_method() -> None:
    (result,) = only_case(one_check("undecided", blocking=True)).result
    assert result.text == "191 of 200 answers are valid\nTo settle it: 412 more cases\nMethod: Clopper-Pearson"


def test_a_case_passes_when_its_check_passes() -> None:
    case = only_case(one_check("pass", blocking=True))
    assert case.is_passed
    assert case.system_out == "191 of 200 answers are valid"


def test_document_has_one_suite_and_one_case_for_every_check() -> None:
    record = make_record("hold")
    document = JUnitXml.fromstring(render_junit(build_page(record)).encode())
    (suite,) = document
    assert sorted(case.name for case in suite) == sorted(check.name for check in record.verdict.checks)
    assert (suite.name, suite.tests, suite.failures, suite.errors, suite.skipped) == ("ticket-triage", 8, 2, 0, 0)
    assert (document.tests, document.failures) == (8, 2)
    assert suite.time == document.time == pytest.approx(389.9)
    assert suite.timestamp == "2026-01-05T12:40:11Z"


@pytest.mark.parametrize("decision", ["ship", "hold", "undecided"])
def test_document_is_valid_by_the_schema_whatever_was_decided(decision: str) -> None:
    schema().assertValid(etree.fromstring(render_junit(build_page(make_record(decision))).encode()))  # type: ignore[arg-type]


@pytest.mark.parametrize("status", ["pass", "fail", "undecided"])
@pytest.mark.parametrize("blocking", [True, False])
def test_a_case_is_valid_by_the_schema_whatever_its_check_found(status: Status, blocking: bool) -> None:
    schema().assertValid(etree.fromstring(one_check(status, blocking=blocking).encode()))


def test_document_is_valid_by_the_schema_when_nothing_was_checked() -> None:
    record = make_record(rows=2, probes=1)
    page = build_page(dataclasses.replace(record, verdict=dataclasses.replace(record.verdict, checks=())))
    schema().assertValid(etree.fromstring(render_junit(page).encode()))


@pytest.mark.parametrize(
    ("here", "broken"),
    [
        (' tests="8"', ""),
        ("<testsuites ", '<testsuites skipped="0" '),
        ('time="0.0"', 'time="0 s"'),
        ("T12:40", " 12:40"),
    ],
)
def test_the_schema_refuses_a_document_when_it_is_broken(here: str, broken: str) -> None:
    text = render_junit(build_page(make_record("hold")))
    assert here in text
    assert not schema().validate(etree.fromstring(text.replace(here, broken, 1).encode()))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_document_parses_back_when_every_text_is_hostile(payload: str) -> None:
    hostile = poisoned(make_record("hold", rows=4, probes=2), payload)
    page = build_page(dataclasses.replace(hostile, judged="2026-01-05T12:40:11Z"))  # a time that we wrote ourselves
    root = etree.fromstring(render_junit(page).encode())
    schema().assertValid(root)
    # XML folds newlines in attributes to spaces; nothing else may change.
    assert [case.get("name").split() for case in root.iter("testcase")] == [check.name.split() for check in page.checks]
    assert {element.tag for element in root.iter()} == {"testsuites", "testsuite", "testcase", "failure", "system-out"}
