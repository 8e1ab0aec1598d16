"""The one place where a chat template is applied, for training and answering alike."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from harness.errors import InvalidInputError
from harness.records import Message


def with_system(messages: Sequence[Message], system: str | None) -> tuple[Message, ...]:
    """The conversation under a system message; a row's own system message stays when none is given."""
    if system is None:
        return tuple(messages)
    rest = tuple(message for message in messages if message.role != "system")
    return (Message(role="system", content=system), *rest)


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation up to the point where the assistant answers; shape (tokens,)."""
    return encode_prompts(tokenizer, [messages])[0]


def encode_prompts(tokenizer: Any, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
    """Token ids of each conversation up to the point where the assistant answers, in one call."""
    texts = [_render(tokenizer, messages, answer=None) for messages in conversations]
    return [list(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def training_ids(tokenizer: Any, messages: Sequence[Message], target: str) -> tuple[list[int], list[int]]:
    """Token ids of the prompt and of the answer with its end-of-turn token.

    Raises:
        InvalidInputError: when the template does not put the answer directly after the prompt, since the model
            would then be trained in a context that it never meets when answering.
    """
    prompt = prompt_ids(tokenizer, messages)
    whole = _encode(tokenizer, _render(tokenizer, messages, answer=target))
    if whole[: len(prompt)] != prompt:
        raise InvalidInputError(
            "the chat template does not render the answer directly after the prompt, so training and answering "
            f"would differ; first difference at token {_common_length(whole, prompt)}"
        )
    answer = whole[len(prompt) :]
    ends = [index for index, token in enumerate(answer) if token in stop_ids(tokenizer)]
    # What a template writes after the end of the turn (a line break) is never generated, so it is not trained.
    return prompt, answer[: ends[-1] + 1] if ends else answer


def stop_ids(tokenizer: Any) -> set[int]:
    """Tokens that end an answer."""
    return {int(tokenizer.eos_token_id)}


def template_digest(tokenizer: Any) -> str:
    """SHA-256 of the chat template."""
    return hashlib.sha256(str(tokenizer.chat_template).encode("utf-8")).hexdigest()


def _render(tokenizer: Any, messages: Sequence[Message], *, answer: str | None) -> str:
    turns = [{"role": message.role, "content": message.content} for message in messages]
    if answer is not None:
        turns.append({"role": "assistant", "content": answer})
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=answer is None))


def _encode(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _common_length(left: Sequence[int], right: Sequence[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
