"""What a server does beside answering: load and unload an adapter, list its models, render a conversation.

Source: vLLM's OpenAI-compatible server (`/v1/load_lora_adapter`, `/v1/unload_lora_adapter`, `/tokenize`) and
llama.cpp's (`/apply-template`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from harness.records import Message
from harness.strict_json import StrictJsonError, parse
from harness.systems.http_chat import ChatFault, ChatServer


@contextlib.contextmanager
def loaded_adapter(server: ChatServer, name: str, folder: Path, remark: Callable[[str], None]) -> Iterator[None]:
    """Let a vLLM server serve the adapter in `folder` as the model `name` inside the block, and no longer.

    It is unloaded however the loading or the block ends; that it could not be is a `remark`, since what was answered
    stands.

    Raises:
        ChatFault: the server did not load it, or not for sure, or has a model of that name already, of which nothing
            is known.
    """
    if name in served_models(server):
        raise ChatFault(f"the server has a model '{name}' already; unload it, or choose another name")
    try:
        _tell(server, "load_lora_adapter", {"lora_name": name, "lora_path": str(folder.resolve())})
    except ChatFault as fault:
        # After a fault that may pass, the server may have loaded it without having said so.
        why = _unload(server, name) if fault.passing else ""
        said = f"the adapter '{name}' may still be loaded: {why}; its loading" if why else "the adapter was not loaded"
        raise ChatFault(
            f"{said}: {fault}; vLLM needs --enable-lora, VLLM_ALLOW_RUNTIME_LORA_UPDATING=True "
            "and this folder under the same path"
        ) from None
    except BaseException:  # an interrupt, by which the server may have loaded it
        if why := _unload(server, name):
            remark(f"the adapter '{name}' may still be loaded: {why}")
        raise
    try:
        yield
    finally:
        if why := _unload(server, name):
            remark(f"the adapter '{name}' was not unloaded: {why}")


def served_models(server: ChatServer) -> tuple[str, ...]:
    """The names under which a server answers.

    Raises:
        ChatFault: it does not say.
    """
    found = _parsed(server.request(server.place("models"), None, Event()))
    listed = found.get("data") if isinstance(found, dict) else None
    names = [one.get("id") if isinstance(one, dict) else None for one in listed] if isinstance(listed, list) else [None]
    if not all(isinstance(name, str) for name in names):
        raise ChatFault("the response is not a list of models")
    return tuple(str(name) for name in names)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation as a model reads it."""

    text: str
    tokens: tuple[int, ...]


def renders_as(
    server: ChatServer, model: str, messages: Sequence[Message], wanted: Rendered, cancelled: Event
) -> bool | None:
    """Whether the server makes of a conversation what it should; None where it does not tell before `cancelled` is set.

    llama.cpp tells the text, vLLM the token ids.
    """
    root = server.base_url.rstrip("/").removesuffix("/v1")
    turns = [{"role": turn.role, "content": turn.content} for turn in messages]
    with contextlib.suppress(ChatFault):
        found = _parsed(server.request(f"{root}/apply-template", {"messages": turns}, cancelled))
        if isinstance(found, dict) and isinstance(text := found.get("prompt"), str):
            return text == wanted.text
    with contextlib.suppress(ChatFault):
        asked = {"model": model, "messages": turns, "add_generation_prompt": True}
        found = _parsed(server.request(f"{root}/tokenize", asked, cancelled))
        if isinstance(found, dict) and isinstance(tokens := found.get("tokens"), list) and tokens:
            return tokens == list(wanted.tokens)
    return None


def _unload(server: ChatServer, name: str) -> str:
    """Unload an adapter; why that failed, empty when it did not."""
    try:
        _tell(server, "unload_lora_adapter", {"lora_name": name})
    except ChatFault as fault:
        return str(fault)
    return ""


def _tell(server: ChatServer, what: str, content: dict[str, Any]) -> None:
    # The answer is a sentence, in a response without a type.
    server.request(server.place(what), content, Event(), json_only=False)


def _parsed(body: bytes) -> Any:
    try:
        return parse(body.decode("utf-8"))
    except (UnicodeDecodeError, StrictJsonError):
        raise ChatFault("the response is not strict JSON") from None
