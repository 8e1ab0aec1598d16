"""A model's tokenizer and chat template from its files, without transformers or torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from harness.clock import utc_now
from harness.errors import InvalidInputError

# What transformers marks the trained part with; it leaves nothing in the text.
_GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class LocalTokenizer:
    """What `harness.engine.chat` asks of a tokenizer: rendering a conversation, token ids, and the end token.

    Renders as transformers' `apply_chat_template` does. Libraries: tokenizers, jinja2 (sandboxed: a template comes from
    whoever published the model).

    Raises:
        InvalidInputError: files that are missing or cannot be read, or a folder without a chat template.
    """

    def __init__(self, folder: Path) -> None:
        config = _read_object(folder / "tokenizer_config.json")
        self._special = {key: _text(config[key]) for key in _SPECIAL if config.get(key) is not None}
        self.chat_template = _template(folder, config)
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # noqa: BLE001  the library raises nothing narrower
            raise InvalidInputError(f"{folder / 'tokenizer.json'}: cannot be read as a tokenizer: {error}") from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.eos_token_id = self._tokenizer.token_to_id(self._special.get("eos_token", ""))
        if self.eos_token_id is None:
            raise InvalidInputError(f"{folder}: the tokenizer names no end token")
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: utc_now().strftime(form)
        try:
            self._compiled = environment.from_string(_GENERATION.sub("", self.chat_template))
        except TemplateError as error:
            raise InvalidInputError(f"{folder}: the chat template cannot be read: {error}") from None

    def apply_chat_template(
        self, turns: Sequence[Mapping[str, str]], *, tokenize: bool = False, add_generation_prompt: bool = False
    ) -> str:
        """The conversation as the text that a model is given.

        Raises:
            InvalidInputError: when the template refuses it.
        """
        assert not tokenize
        try:
            return self._compiled.render(
                messages=[dict(turn) for turn in turns],
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._special,
            )
        except TemplateError as error:
            raise InvalidInputError(f"the chat template refuses the row: {error}") from None

    def __call__(self, text: str | Sequence[str], *, add_special_tokens: bool = False) -> dict[str, Any]:
        """Token ids of a text, or of each of several, under "input_ids"."""
        if isinstance(text, str):
            return {"input_ids": self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids}
        encoded = (self._tokenizer.encode(one, add_special_tokens=add_special_tokens) for one in text)
        return {"input_ids": [one.ids for one in encoded]}

    def decode(self, ids: Sequence[int]) -> str:
        """The text that token ids stand for, those that end a turn included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))


def _template(folder: Path, config: Mapping[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if not isinstance(template, str):
        raise InvalidInputError(f"{folder}: the model has no chat template")
    return template


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path}: cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise InvalidInputError(f"{path}: must be a JSON object")
    return value


def _text(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)
