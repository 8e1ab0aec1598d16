"""How an arm turns an example into a conversation, and the digest of what it adds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from harness.records import Example, Message

BuildPrompt = Callable[[Example], Sequence[Message]]


def digest_text(*parts: str | None) -> str:
    """SHA-256 over texts, told apart from their absence and from their concatenation."""
    body = "".join("-" if part is None else f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(body.encode("utf-8")).hexdigest()
