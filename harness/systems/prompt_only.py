"""The base model with a system message, bare or engineered."""

from __future__ import annotations

from harness.engine.chat import with_system
from harness.systems.prompting import BuildPrompt, digest_text


def prompt_builder(system: str | None) -> tuple[BuildPrompt, str]:
    """How an example is asked, and the digest of what is added to it."""
    return (lambda example: with_system(example.messages, system)), digest_text("prompt", system)
