"""Plug-in validators: what they accept, and that neither a rule nor an answer can hang, read or reach anything."""

from __future__ import annotations

import gc
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.errors import BrokenRunError, InvalidInputError
from harness.records import Score
from harness.scoring.validators import Kind, Validator, accepted, validator

needs_lark = pytest.mark.skipif(find_spec("lark") is None, reason="lark is not installed")

HEAD = '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">'
ORDER = f"""{HEAD}
  <xs:element name="order">
    <xs:complexType>
      <xs:sequence><xs:element name="item" type="xs:string" maxOccurs="9"/></xs:sequence>
      <xs:attribute name="total" type="xs:decimal" use="required"/>
    </xs:complexType>
  </xs:element>
</xs:schema>"""
SUMS = """
start: NUMBER ("+" NUMBER)*
%import common.NUMBER
%ignore " "
"""

JUDGED: list[tuple[Kind, str, str, bool]] = [
    ("regex_whole", r"T-\d{6}", "T-123456", True),
    ("regex_whole", r"T-\d{6}", " T-123456\n", True),
    ("regex_whole", r"T-\d{6}", "ticket T-123456", False),
    ("regex_whole", r"T-\d{6}", "", False),
    ("regex_whole", r"T-\d{6}", "\ud800", False),
    ("regex_anywhere", r"T-\d{6}", "ticket T-123456!", True),
    ("regex_anywhere", r"T-\d{6}", "ticket T-12345!", False),
    ("xml_schema", ORDER, '<order total="9.50"><item>lamp</item></order>', True),
    ("xml_schema", ORDER, '\n<?xml version="1.0"?><order total="1"><item>Bär</item></order>\n', True),
    # What the document declares about its bytes means nothing: it came as text.
    ("xml_schema", ORDER, '<?xml version="1.0" encoding="latin-1"?><order total="1"><item>Bär</item></order>', True),
    ("xml_schema", ORDER, '<order total="nine"><item>lamp</item></order>', False),
    ("xml_schema", ORDER, '<order total="9.50"/>', False),
    ("xml_schema", ORDER, "Sure: <order/>", False),
    ("xml_schema", ORDER, '<order total="1"><item>lamp</item>', False),
    ("xml_schema", ORDER, '<!DOCTYPE order><order total="1"><item>lamp</item></order>', False),
    ("xml_schema", ORDER, '<!DOCTYPE order [<!ENTITY x "l">]><order total="1"><item>&x;</item></order>', False),
    ("xml_schema", ORDER, "<item>" * 5000, False),
    ("xml_schema", ORDER, '<order total="1"><item>\ud800</item></order>', False),
    ("xml_schema", ORDER, "", False),
    pytest.param("grammar", SUMS, "1 + 2 + 3", True, marks=needs_lark),
    pytest.param("grammar", SUMS, "1 +", False, marks=needs_lark),
    pytest.param("grammar", SUMS, "The sum: 1 + 2", False, marks=needs_lark),
    pytest.param("grammar", SUMS, "", False, marks=needs_lark),
]


@pytest.mark.parametrize(("kind", "rule", "text", "value"), JUDGED)
def test_a_validator_follows_the_table_when_rule_and_answer_are(kind: Kind, rule: str, text: str, value: bool) -> None:
    by = validator(kind, rule)
    assert by.problem() == ""
    assert accepted(text, by=by) == Score(float(value))


UNUSABLE: list[tuple[Kind, str, str]] = [
    ("regex_whole", "(a", "not a regular expression: missing ), unterminated subpattern at position 0"),
    ("regex_whole", "a{99999999999999}", "not a regular expression: the repetition number is too large"),
    ("regex_whole", "(" * 5000 + ")" * 5000, "nested too deep"),
    ("regex_whole", r"(?s).+", "it accepts every text it was tried on"),
    ("regex_anywhere", "a*", "it accepts every text it was tried on"),
    ("xml_schema", "<a", "not an XML Schema: Couldn't find end of Start Tag"),
    ("xml_schema", "<a/>", "not an XML Schema: "),
    ("xml_schema", HEAD + '<xs:element name="a" type="none"/></xs:schema>', "not an XML Schema: "),
    ("xml_schema", "<!DOCTYPE a>" + HEAD + "</xs:schema>", "a document type (DTD) is not allowed"),
    pytest.param("grammar", "start: a", "not a Lark grammar: Rule 'a' used but not defined", marks=needs_lark),
    pytest.param("grammar", 'start: "a', "not a Lark grammar: Unexpected input at line 1 column 8", marks=needs_lark),
    pytest.param("grammar", "%import .near.X\nstart: X", "not a Lark grammar: ", marks=needs_lark),
    pytest.param("grammar", r"start: /(.|\n)+/", "it accepts every text it was tried on", marks=needs_lark),
]


@pytest.mark.parametrize(("kind", "rule", "problem"), UNUSABLE)
def test_a_rule_is_refused_when_it_is_wrong_or_accepts_everything(kind: Kind, rule: str, problem: str) -> None:
    by = Validator(kind, rule)
    assert by.problem().startswith(problem)
    with pytest.raises(InvalidInputError):
        by.accepts("a")


@pytest.mark.parametrize("name", ["include", "import", "redefine"])
def test_an_xml_schema_is_refused_when_it_would_read_another_file(name: str, tmp_path: Path) -> None:
    other = tmp_path / "other.xsd"
    other.write_text(HEAD + '<xs:element name="a" type="xs:int"/></xs:schema>')
    rule = f'{HEAD}<xs:{name} schemaLocation="{other.as_uri()}"/><xs:element name="b"/></xs:schema>'
    assert Validator("xml_schema", rule).problem() == (
        f"xs:{name} reads another file, and nothing is read or fetched; write it out"
    )


def test_an_answer_is_judged_by_the_declared_schema_when_it_names_its_own(tmp_path: Path) -> None:
    own = tmp_path / "own.xsd"
    own.write_text(HEAD + '<xs:element name="mine" type="xs:int"/></xs:schema>')
    hint = f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="{own.as_uri()}"'
    assert not validator("xml_schema", ORDER).accepts(f"<mine {hint}>1</mine>")


HOSTILE: list[tuple[Kind, str, str, str]] = [
    ("regex_whole", "(a+)+", "a" * 60 + "b", "aaa"),
    ("regex_whole", "(?:(a)|b)*", "ab" * 3_000_000, "ab"),  # it matches, but takes more memory than allowed
    pytest.param("grammar", "start: (start start | /[a-z]/)?", "a" * 300, "a", marks=needs_lark),
]


@pytest.mark.parametrize(("kind", "rule", "answer", "harmless"), HOSTILE)
def test_an_answer_fails_and_the_next_is_judged_when_judging_it_takes_too_much(
    kind: Kind, rule: str, answer: str, harmless: str
) -> None:
    by = validator(kind, rule)
    assert accepted(answer, by=by) == Score(0.0)
    assert accepted(harmless, by=by) == Score(1.0)


def test_the_run_breaks_when_the_process_ends_for_another_reason() -> None:
    by = Validator("regex_whole", "a")
    assert by.accepts("a")
    worker = by._function._worker
    assert worker is not None
    worker.send_signal(signal.SIGKILL)
    with pytest.raises(BrokenRunError, match="ended with code -9"):
        by.accepts("b")


def test_the_process_ends_when_its_validator_is_gone() -> None:
    by = Validator("regex_whole", "a")
    assert by.accepts("a")
    worker = by._function._worker
    assert worker is not None and worker.poll() is None
    del by
    gc.collect()
    assert worker.poll() is not None


def test_a_module_of_the_current_folder_is_not_run_when_a_validator_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "re", "lxml"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('ran')")
    monkeypatch.chdir(tmp_path)
    assert Validator("xml_schema", ORDER).problem() == ""


def test_a_grammar_says_what_to_install_when_lark_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lark.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert Validator("grammar", SUMS).problem() == "a grammar needs Lark: pip install 'lora-harness[grammar]'"
