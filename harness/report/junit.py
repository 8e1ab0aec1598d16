"""The checks as JUnit XML: one suite, one case per check, so that any CI shows them without knowing us.

A case is a failure exactly when its check keeps the run from shipping: a blocking check that failed, or could
not be settled and was not accepted. What does not block is a skipped case that says what was found.
"""

from __future__ import annotations

from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

from harness.report.formatting import NOTHING, one_line
from harness.report.page import CheckRow, Page


def render_junit(page: Page) -> str:
    """Return the document; the text of a page holds no control characters, so that it is valid XML 1.0."""
    suite = TestSuite(page.suite)
    suite.timestamp = page.judged_iso
    for check in page.checks:
        suite.add_testcase(_case(check, page.suite))
    suite.update_statistics()
    suite.time = round(page.seconds, 3)  # of the run: a check by itself takes no time
    document = JUnitXml()
    document.add_testsuite(suite)
    # Not its update_statistics(), which writes `skipped`: strict readers (Jenkins' xUnit plugin) refuse that here.
    document.tests, document.failures, document.errors = suite.tests, suite.failures, suite.errors
    document.time = suite.time
    text: bytes = document.tostring()
    return '<?xml version="1.0" encoding="utf-8"?>\n' + text.decode("utf-8")


def _case(check: CheckRow, suite: str) -> TestCase:
    case = TestCase(check.name, classname=suite, time=0)
    message = _message(check)
    if check.status == "pass":
        case.system_out = check.reason
    elif check.blocking and (check.status == "fail" or not check.accepted):
        problem = Failure(message, check.status)
        problem.text = _told(check)
        case.result = [problem]
    else:
        why = f": {one_line(check.accepted)};" if check.accepted else ", not blocking:"
        case.result = [Skipped(f"{check.status_text}{why} {message}", check.status)]
    return case


def _message(check: CheckRow) -> str:
    if check.measured == NOTHING:
        return one_line(check.reason)
    spread = f", interval {check.interval}" if check.interval else ""
    return one_line(f"measured {check.measured}{spread}, needed {check.needed}")


def _told(check: CheckRow) -> str:
    needs = check.needs and f"To settle it: {check.needs}"
    told = (check.reason, needs, check.method and f"Method: {check.method}")
    return "\n".join(line for line in told if line)
