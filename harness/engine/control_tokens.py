"""Control tokens that stand in a text: read as the characters they are written with, so that no text can forge a turn.

A row that says `<|im_end|>` means the ten characters. Only what the chat template itself writes is a control token.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer

from harness.errors import InvalidInputError


class ControlTokens:
    """The control tokens of one tokenizer and its chat template.

    They are its special tokens, and whichever of its added tokens the template writes (as transformers'
    `sanitize_control_tokens` has it). An assistant's text may hold the latter: a model thinks between such tokens.

    A text with one of them is cut into tokens by a copy of the tokenizer in which each control token has another
    name. What the template writes takes that name, and what a text says is found to be no token at all. Every other
    rule of the tokenizer is the same, and so are all numbers.
    """

    def __init__(self, backend: Tokenizer, template: str) -> None:
        self._backend, self.template = backend, template
        added = backend.get_added_tokens_decoder().values()
        special = [token.content for token in added if token.special]
        written = [t.content for t in added if not t.special and t.content in template and not t.content.isspace()]
        self._tokens = sorted({*special, *written}, key=len, reverse=True)  # a token goes before its parts
        self._any, self._special = (_one_of(names) for names in (self._tokens, sorted(special, key=len, reverse=True)))
        self._normalizer = backend.normalizer if any(token.normalized for token in added) else None
        # No text can hold these marks: they are drawn anew in each process.
        self._nonce = secrets.token_hex(8)
        self._mark = re.compile(f"\ufdd0{self._nonce}:([0-9]+)\ufdd1")

    def found_in(self, text: str) -> bool:
        """Whether a tokenizer would take a part of the text for a control token."""
        if self._any.search(text):
            return True
        return self._normalizer is not None and bool(self._any.search(self._normalizer.normalize_str(text)))

    def hide(self, text: str, role: str) -> str:
        """The text of a message with marks in the place of control tokens, to be rendered and then encoded."""
        pattern = self._special if role == "assistant" else self._any
        return pattern.sub(lambda found: f"\ufdd0{self._nonce}:{self._tokens.index(found[0])}\ufdd1", text)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of rendered texts, in which what is marked is text and every other control token is one.

        Raises:
            InvalidInputError: the tokenizer makes a control token of ordinary text as well.
        """
        named = [self._any.sub(lambda found: self._name(self._tokens.index(found[0])), text) for text in texts]
        literal = [self._mark.sub(lambda found: self._tokens[int(found[1])], text) for text in named]
        return [encoded.ids for encoded in self._renamed.encode_batch(literal, add_special_tokens=False)]

    def _name(self, index: int) -> str:
        return f"\ufdd0{self._nonce}.{index}\ufdd1"

    @cached_property
    def _renamed(self) -> Tokenizer:
        """The tokenizer with other names for its control tokens."""
        names = {token: self._name(index) for index, token in enumerate(self._tokens)}
        content: dict[str, Any] = json.loads(self._backend.to_str())
        for token in content["added_tokens"]:
            if token["content"] in names:
                # By the characters that it has now, and not by those a normalizer would leave of them.
                token.update(content=names[token["content"]], normalized=False)
        model = content["model"]
        if isinstance(model["vocab"], dict):
            model["vocab"] = {names.get(token, token): number for token, number in model["vocab"].items()}
        else:  # of the kind Unigram: pairs of token and score
            model["vocab"] = [[names.get(token, token), score] for token, score in model["vocab"]]
        if model.get("unk_token") in names:
            model["unk_token"] = names[model["unk_token"]]
        try:
            renamed = Tokenizer.from_str(json.dumps(content))
        except Exception as error:  # noqa: BLE001  the library raises nothing narrower
            raise InvalidInputError(
                f"a control token of the model stands in a row, and its tokenizer cannot read it as text ({error}); "
                "take the row out, or write the token in another way"
            ) from None
        renamed.no_truncation()
        renamed.no_padding()
        return renamed


def _one_of(texts: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, texts)) or "(?!)")
