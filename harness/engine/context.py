"""What does not fit the longest context that a model takes: beyond it a model answers, and means nothing by it."""

from __future__ import annotations

from typing import Any


def why_no_room(config: Any, prompt: int, *, answer: int, virtual: int) -> str | None:
    """Why a prompt of so many tokens cannot be read together with an answer, by a model's configuration; None: it can.

    `virtual` tokens stand before every prompt. A configuration that names no longest context (`max_position_embeddings`
    as transformers calls it for every model) sets no limit.
    """
    most = getattr(config.get_text_config(), "max_position_embeddings", None)
    if most is None or virtual + prompt + answer <= most:
        return None
    before = f", {virtual:,} virtual ones stand before it" if virtual else ""
    after, lower = (f" and the answer may have {answer:,}", " or lower max_new_tokens") if answer else ("", "")
    return f"the prompt has {prompt:,} tokens{before}{after}; the model takes {most:,}: shorten the prompt{lower}"
