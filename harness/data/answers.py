"""Reference answers that break off, or that the suite's own schema refuses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from harness.data.rules import Finding, finding
from harness.records import Example
from harness.scoring.json_schema import SchemaValidator
from harness.strict_json import StrictJsonError, parse

MOST = 0.95  # of the answers, for the rest to be exceptions
PROSE_WORDS = 12  # in the last line of an answer, for it to be a sentence that needs an end
CUT_LENGTH, CUT_ANSWERS = 40, 3  # characters, and different answers, of which one greatest length looks like a limit
_SENTENCE_END = re.compile(r"[.!?…:;)\]}\"'’”»`*。！？]\s*$")
_LISTED = re.compile(r"(?:^|\s)\d+[.)]\s")
_BROKEN_END = re.compile(r"(?:,|[A-Za-z]-|\b(?:and|or|the|a|an|of|to|with|for|in|is|are|that))\s*$")


def truncated_answers(rows: Sequence[Example]) -> Iterator[Finding]:
    """Answers that break off: JSON without an end, an open code fence, a sentence or a word cut at a common length."""
    answered = [(row, row.target.strip()) for row in rows if row.target is not None and row.messages]
    finished = [bool(_SENTENCE_END.search(text)) for _, text in answered if _is_prose(text)]
    sentences_end = len(finished) >= 20 and sum(finished) >= MOST * len(finished)
    lengths = Counter(len(text) for text in {text for _, text in answered})
    longest = max(lengths, default=0)
    is_limit = longest >= CUT_LENGTH and lengths[longest] >= CUT_ANSWERS
    for row, text in answered:
        if what := _broken_off(text):
            yield finding("truncated-answer", row.source, what)
        elif is_limit and len(text) == longest and not _SENTENCE_END.search(text):
            what = f"the answer stops without an end after {longest:,} characters, as long as the longest of the set"
            yield finding("truncated-answer", row.source, f"{what} ({lengths[longest]} answers are)")
        elif sentences_end and _is_prose(text) and not _SENTENCE_END.search(text):
            yield finding("truncated-answer", row.source, f"the answer stops in a sentence: …{text[-30:]!r}")


def schema_problems(rows: Sequence[Example], validator: SchemaValidator) -> Iterator[Finding]:
    """Answers that the schema of the suite refuses, with what is wrong first."""
    answered = [(row, row.target) for row in rows if row.target is not None and row.messages]
    validator.read_ahead(target for _, target in answered)
    for row, target in answered:
        if problems := validator.errors(target):
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            yield finding("schema", row.source, f"the answer violates the schema: {problems[0]}{more}")


def _broken_off(text: str) -> str | None:
    """What shows, in the answer alone, that it has no end."""
    if text.count("```") % 2:
        return "a code fence is opened in the answer and never closed"
    if text.startswith(("{", "[")) and text.count(text[0]) > text.count("}" if text[0] == "{" else "]"):
        try:
            parse(text)
        except StrictJsonError as error:
            return f"the answer begins as JSON and breaks off: {error}"
    if _BROKEN_END.search(text) and len(text.split()) >= PROSE_WORDS:
        return f"the answer stops in a sentence: …{text[-30:]!r}"
    return None


def _is_prose(text: str) -> bool:
    """Whether the last line is long enough for a sentence, and stands alone or after other sentences."""
    *before, last = text.splitlines() or [""]
    is_long = len(last.split()) >= PROSE_WORDS and not _LISTED.search(last)
    return is_long and all(_SENTENCE_END.search(line) for line in before if line.strip())
