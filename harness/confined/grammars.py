"""What says of a whole text whether a grammar of decoding can write it; grammars may be hostile.

`harness.confined` runs this in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def text_matcher(rule: str) -> Callable[[str], bool | None]:
    """Whether a text can be written, by the engine that decodes (llguidance), over single bytes as tokens.

    None where that cannot be said: the grammar names tokens of a model, or is over the engine's limits.
    """
    from llguidance import LLMatcher, LLTokenizer

    tokenizer: Any = LLTokenizer("byte")
    matcher: Any = LLMatcher(tokenizer, rule, log_level=0)

    def accepts(text: str) -> bool | None:
        if matcher.is_error():
            return None
        tokens = tokenizer.tokenize_bytes(text.encode("utf-8"))
        written = matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()
        if matcher.is_error():  # stays, since a grammar over the limits takes long for each text
            return None
        matcher.reset()
        return bool(written)

    return accepts
