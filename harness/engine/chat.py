"""The one place where a chat template is applied, for training and answering alike."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from harness.engine.control_tokens import ControlTokens
from harness.engine.rendering import render_conversations
from harness.errors import InvalidInputError
from harness.records import Message

_CONTROL: WeakKeyDictionary[Any, ControlTokens] = WeakKeyDictionary()


def with_system(messages: Sequence[Message], system: str | None) -> tuple[Message, ...]:
    """The conversation under a system message; a row's own system message stays when none is given."""
    if system is None:
        return tuple(messages)
    rest = tuple(message for message in messages if message.role != "system")
    return (Message(role="system", content=system), *rest)


def prompt_texts(tokenizer: Any, conversations: Sequence[Sequence[Message]]) -> list[str]:
    """The text of each conversation up to the point where the assistant answers.

    Raises:
        InvalidInputError: the chat template refuses a conversation.
    """
    turns = [[{"role": turn.role, "content": turn.content} for turn in messages] for messages in conversations]
    shown = [{"messages": messages, "add_generation_prompt": True} for messages in turns]
    return render_conversations(_template(tokenizer), tokenizer.special_tokens_map, shown)


def prompt_ids(tokenizer: Any, messages: Sequence[Message]) -> list[int]:
    """Token ids of a conversation up to the point where the assistant answers; shape (tokens,)."""
    return encode_prompts(tokenizer, [messages])[0]


def encode_prompts(tokenizer: Any, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
    """Token ids of each conversation up to the point where the assistant answers, in one call.

    Control tokens in a message are read as text.

    Raises:
        InvalidInputError: the chat template refuses a conversation.
    """
    return _encode(tokenizer, conversations, add_generation_prompt=[True] * len(conversations))


def training_ids(tokenizer: Any, messages: Sequence[Message], target: str) -> tuple[list[int], list[int]]:
    """Token ids of the prompt and of the answer with its end-of-turn token.

    Raises:
        InvalidInputError: when the template refuses the row, or does not put the answer directly after the prompt,
            since the model would then be trained in a context that it never meets when answering.
    """
    answered = [*messages, Message(role="assistant", content=target)]
    prompt, whole = _encode(tokenizer, [messages, answered], add_generation_prompt=[True, False])
    if whole[: len(prompt)] != prompt:
        raise InvalidInputError(
            "the chat template does not render the answer directly after the prompt, so training and answering "
            f"would differ; first difference at token {_common_length(whole, prompt)}"
        )
    answer = whole[len(prompt) :]
    ends = [index for index, token in enumerate(answer) if token in stop_ids(tokenizer)]
    # What a template writes after the end of the turn (a line break, the end of the text) is never generated, so it is
    # not trained; an end that the answer itself spells out is text there and no such token.
    return prompt, answer[: ends[0] + 1] if ends else answer


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """Token ids of raw text, in which nothing is a control token; shape (tokens,)."""
    control = _control_tokens(tokenizer)
    if control.found_in(text):
        return control.encode([control.hide(text, "assistant")])[0]
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def stop_ids(tokenizer: Any) -> set[int]:
    """Tokens that end an answer, as whoever read the tokenizer found them in the base model's files."""
    return set(tokenizer.end_ids)


def template_digest(tokenizer: Any) -> str:
    """SHA-256 of the chat template."""
    return hashlib.sha256(str(tokenizer.chat_template).encode("utf-8")).hexdigest()


def _encode(
    tokenizer: Any, conversations: Sequence[Sequence[Message]], *, add_generation_prompt: Sequence[bool]
) -> list[list[int]]:
    """Token ids of each conversation, rendered and cut into tokens together."""
    control = _control_tokens(tokenizer)
    forged = [any(control.found_in(message.content) for message in messages) for messages in conversations]
    shown = [
        {
            "messages": [
                {"role": turn.role, "content": control.hide(turn.content, turn.role) if hide else turn.content}
                for turn in messages
            ],
            "add_generation_prompt": add,
        }
        for messages, hide, add in zip(conversations, forged, add_generation_prompt, strict=True)
    ]
    texts = render_conversations(_template(tokenizer), tokenizer.special_tokens_map, shown)
    plain = [text for text, hide in zip(texts, forged, strict=True) if not hide]
    hidden = [text for text, hide in zip(texts, forged, strict=True) if hide]
    ids = iter(tokenizer(plain, add_special_tokens=False)["input_ids"] if plain else [])
    literal = iter(control.encode(hidden) if hidden else [])
    return [list(next(literal if hide else ids)) for hide in forged]


def _control_tokens(tokenizer: Any) -> ControlTokens:
    template, found = _template(tokenizer), _CONTROL.get(tokenizer)
    if found is None or found.template != template:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise InvalidInputError(
                "the model's tokenizer is not one that a tokenizer.json describes; none else is used"
            )
        found = _CONTROL[tokenizer] = ControlTokens(backend, template)
    return found


def _template(tokenizer: Any) -> str:
    """The model's chat template; of several the one for ordinary conversations."""
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if not isinstance(template, str):
        raise InvalidInputError("the model has several chat templates and none of them is the default")
    return template


def _common_length(left: Sequence[int], right: Sequence[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
