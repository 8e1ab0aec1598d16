"""A model's tokenizer and chat template from its files, without transformers or torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from harness.engine.ends import end_tokens
from harness.engine.rendering import template_problem
from harness.errors import InvalidInputError
from harness.limits import TEXT_BYTES, TOKENIZER_BYTES, read_within

_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class LocalTokenizer:
    """What `harness.engine.chat` asks of a tokenizer: its template, token ids, and the end tokens.

    Raises:
        InvalidInputError: files that are missing or cannot be read, or a folder without a usable chat template.
    """

    def __init__(self, folder: Path) -> None:
        config = _read_object(folder / "tokenizer_config.json")
        named = {key: _text(config[key]) for key in _SPECIAL if config.get(key) is not None}
        self.special_tokens_map = {"pad_token": named["eos_token"], **named} if "eos_token" in named else named
        self.chat_template = _template(folder, config)
        try:
            self.backend_tokenizer = Tokenizer.from_str(_read_text(folder / "tokenizer.json", TOKENIZER_BYTES))
        except InvalidInputError:
            raise
        except Exception as error:  # noqa: BLE001  the library raises nothing narrower
            raise InvalidInputError(f"{folder / 'tokenizer.json'}: cannot be read as a tokenizer: {error}") from None
        self.backend_tokenizer.no_truncation()
        self.backend_tokenizer.no_padding()
        end = self.backend_tokenizer.token_to_id(named.get("eos_token", ""))
        if end is None:
            raise InvalidInputError(f"{folder}: the tokenizer names no end token")
        self.eos_token_id = end
        self.end_ids = end_tokens(folder, end)
        if problem := template_problem(self.chat_template, self.special_tokens_map):
            raise InvalidInputError(f"{folder}: the chat template cannot be used: {problem}")

    def __call__(self, text: str | Sequence[str], *, add_special_tokens: bool = False) -> dict[str, Any]:
        """Token ids of a text, or of each of several, under "input_ids"."""
        if isinstance(text, str):
            return {"input_ids": self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids}
        encoded = self.backend_tokenizer.encode_batch(list(text), add_special_tokens=add_special_tokens)
        return {"input_ids": [one.ids for one in encoded]}

    def decode(self, ids: Sequence[int]) -> str:
        """The text that token ids stand for, those that end a turn included."""
        return str(self.backend_tokenizer.decode(list(ids), skip_special_tokens=False))


def _template(folder: Path, config: Mapping[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return _read_text(file, TEXT_BYTES)
    template = config.get("chat_template")
    if not isinstance(template, str):
        raise InvalidInputError(f"{folder}: the model has no chat template")
    return template


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_read_text(path, TOKENIZER_BYTES))
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path}: cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise InvalidInputError(f"{path}: must be a JSON object")
    return value


def _read_text(path: Path, most: int) -> str:
    try:
        return read_within(path, most).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path}: cannot be read: {error}") from None


def _text(token: Any) -> str:
    return str(token.get("content", "") if isinstance(token, dict) else token)
