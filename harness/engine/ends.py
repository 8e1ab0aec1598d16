"""Which tokens end an answer: the tokenizer's own end token, and those that the base model's files name beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.engine.artefacts import MODEL_CONFIG, read_json
from harness.errors import InvalidInputError

GENERATION_CONFIG = "generation_config.json"


def end_tokens(folder: Path, own: int) -> frozenset[int]:
    """The tokens that end an answer of the base model in a folder, whose tokenizer's own end token is `own`.

    Where a turn ends otherwise than a text (Gemma's <end_of_turn>, Phi-3's <|end|>), only `generation_config.json`
    says so. Without that file transformers takes `config.json` for it, and so it is here.

    Raises:
        InvalidInputError: a file that cannot be read, or names something else than tokens.
    """
    path = next((folder / name for name in (GENERATION_CONFIG, MODEL_CONFIG) if (folder / name).is_file()), None)
    config = read_json(path) if path is not None else {}
    if not isinstance(config, dict):
        raise InvalidInputError(f"{path}: must be a JSON object")
    named: Any = config.get("eos_token_id")
    if named is None and isinstance(config.get("text_config"), dict):
        named = config["text_config"].get("eos_token_id")
    ids = named if isinstance(named, list) else [] if named is None else [named]
    if not all(type(token) is int and token >= 0 for token in ids):
        raise InvalidInputError(f"{path}: eos_token_id is {named!r}; it must be a token's number, or a list of them")
    return frozenset({own, *ids})
