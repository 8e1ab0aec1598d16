"""Plug-in validators: a raw answer judged by a regular expression, an XML Schema or a grammar, within limits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from harness.confined.function import FUNCTIONS_KEPT, NoResult, RememberedFunction
from harness.errors import InvalidInputError
from harness.records import Score

Kind = Literal["regex_anywhere", "regex_whole", "xml_schema", "grammar"]

# Texts of different forms; a rule that takes all of them is no test of an answer.
PROBES = ("a", "0", "{}", "<a/>", "a b\nc")


class Validator:
    """One rule in a process of its own, with the limits of `harness.confined`. For one thread."""

    def __init__(self, kind: Kind, rule: str) -> None:
        self._function = RememberedFunction(f"harness.scoring.text_rules:{kind}", rule)

    def problem(self) -> str:
        """What makes the rule unusable, or that it accepts whatever it is given; "" when it can judge."""
        if problem := self._function.problem():
            return problem
        if all(result is True for result in self._function.map(PROBES)):
            return "it accepts every text it was tried on, so it cannot find anything wrong"
        return ""

    def accepts(self, text: str) -> bool:
        """Whether the text, without white space around it, is accepted; one that takes too much is not.

        Raises:
            InvalidInputError: the rule is unusable.
            BrokenRunError: the process ended for another reason than its own limits.
        """
        if problem := self.problem():
            raise InvalidInputError(problem)
        return self._function(text) is True

    def not_judged(self, text: str) -> str:
        """Why the text could not be judged; "" when it was."""
        result = self._function(text)
        return result.why if isinstance(result, NoResult) else ""

    def read_ahead(self, texts: Sequence[str]) -> None:
        """Judge many texts at once, which the other methods then remember."""
        self._function.map(texts)


@lru_cache(maxsize=FUNCTIONS_KEPT)
def validator(kind: Kind, rule: str) -> Validator:
    """The one validator of this rule in this process."""
    return Validator(kind, rule)


def accepted(text: str, *, by: Validator) -> Score:
    """1 when the validator accepts the raw text, else 0; also 0 when it takes too much, whichever system answered."""
    return Score(float(by.accepts(text)))
