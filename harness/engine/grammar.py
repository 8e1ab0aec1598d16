"""Decoding that can only write what a grammar allows: a JSON Schema, a regular expression or a Lark grammar.

llguidance (the engine that vLLM ships) says for each step which tokens may come next; the others get a logit of
minus infinity. Its own torch kernel compiles for seconds on a CPU, so its bit masks are unpacked here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.engine.chat import stop_ids
from harness.errors import BrokenRunError, InvalidInputError

# Patterns. With white space left open, a small model writes line breaks until its budget is spent.
JSON_STYLE = {"whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?"}


def schema_grammar(schema: Mapping[str, Any]) -> str:
    """The grammar of the JSON that a JSON Schema accepts, on one line, at most one space after a comma or a colon.

    Raises:
        InvalidInputError: the schema uses what cannot be turned into a grammar.
    """
    return _checked(lambda matcher: matcher.grammar_from_json_schema(dict(schema), defaults=JSON_STYLE), "JSON Schema")


def regex_grammar(pattern: str) -> str:
    """The grammar of the texts that match a regular expression as a whole (Rust's dialect).

    Raises:
        InvalidInputError: it is not one.
    """
    return _checked(lambda matcher: matcher.grammar_from_regex(pattern), "regular expression")


def lark_grammar(text: str) -> str:
    """A Lark grammar, from its rule `start` (llguidance's dialect).

    Raises:
        InvalidInputError: it is not one.
    """
    return _checked(lambda matcher: matcher.grammar_from_lark(text), "Lark grammar")


def _checked(build: Callable[[Any], str], what: str) -> str:
    from llguidance import LLMatcher

    try:
        grammar = build(LLMatcher)
        problem = LLMatcher.validate_grammar(grammar, None)
    except ValueError as error:
        problem = str(error)
    if problem:
        first = problem.strip().splitlines()[0]
        raise InvalidInputError(f"the {what} cannot constrain an answer: {first}")
    return grammar


@dataclass(slots=True)
class GrammarState:
    """Where one answer stands in the grammar."""

    matcher: Any

    def accept(self, token: int) -> None:
        """Go on by the token that was chosen."""
        if not self.matcher.consume_token(token):
            raise BrokenRunError(f"the grammar refused a token that it had allowed: {self.matcher.get_error()}")


@dataclass(frozen=True, slots=True)
class CompiledGrammar:
    """A grammar over one tokenizer's tokens."""

    tokenizer: Any
    grammar: str

    def begin(self) -> GrammarState:
        """The state before the first token."""
        from llguidance import LLMatcher

        matcher = LLMatcher(self.tokenizer, self.grammar)
        if matcher.is_error():
            raise InvalidInputError(f"the grammar cannot be used: {matcher.get_error()}")
        return GrammarState(matcher)


def compile_grammar(tokenizer: Any, grammar: str) -> CompiledGrammar:
    """The grammar over a Hugging Face tokenizer's tokens."""
    return CompiledGrammar(_guided_tokenizer(tokenizer), grammar)


@functools.lru_cache(maxsize=4)
def _guided_tokenizer(tokenizer: Any) -> Any:
    from llguidance.hf import from_tokenizer

    # A token that the tokenizer does not have is none that a grammar could allow.
    return from_tokenizer(tokenizer, eos_token=sorted(end for end in stop_ids(tokenizer) if end < len(tokenizer)))


def forbidden(states: Sequence[GrammarState], vocabulary: int) -> NDArray[np.float32]:
    """What to add to logits, (rows, vocabulary): 0 where the row's token may come next, minus infinity elsewhere."""
    from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

    bits = allocate_token_bitmask(len(states), vocabulary)
    for row, state in enumerate(states):
        fill_next_token_bitmask(state.matcher, bits, row)
    allowed = np.unpackbits(bits.view(np.uint8), axis=-1, bitorder="little")[:, :vocabulary]
    return np.where(allowed, np.float32(0), np.float32("-inf"))
