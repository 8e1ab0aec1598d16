"""Conversations and questions as text, by templates that are rendered in a process with limits of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from harness.confined.function import FUNCTIONS_KEPT, ConfinedFunction, NoResult
from harness.errors import InvalidInputError


def render_conversations(
    template: str, variables: Mapping[str, str], conversations: Sequence[Mapping[str, Any]]
) -> list[str]:
    """The text of each conversation, {"messages", "add_generation_prompt"}, by a chat template.

    Raises:
        InvalidInputError: the template cannot be read, refuses a conversation, or takes too much.
    """
    return _render("chat", _rule(template, variables), conversations, "the chat template")


def template_problem(template: str, variables: Mapping[str, str]) -> str:
    """Why a chat template cannot be used for any conversation; "" when it can, though it may refuse some."""
    function = _function("chat", _rule(template, variables))
    shortest = {"messages": [{"role": "user", "content": "a"}], "add_generation_prompt": True}
    if problem := function.problem():
        return problem
    result = function(json.dumps(shortest))
    return f"to render one word, {result.why}" if isinstance(result, NoResult) else ""


def render_questions(template: str, questions: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """The text of each question by a template of a benchmark, in which its fields are names; `name` is for messages.

    Raises:
        InvalidInputError: the template cannot be read, refuses a question, or takes too much.
    """
    return _render("task", json.dumps(template), questions, name)


def _rule(template: str, variables: Mapping[str, str]) -> str:
    return json.dumps({"template": template, "variables": dict(variables)}, sort_keys=True)


def _render(kind: str, rule: str, values: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    function = _function(kind, rule)
    if problem := function.problem():
        raise InvalidInputError(f"{name} cannot be read: {problem}")
    texts = []
    for result in function.map([json.dumps(value) for value in values]):
        if isinstance(result, NoResult):
            raise InvalidInputError(f"{name} takes too much to render this row: {result.why}")
        text, refusal = result
        if refusal:
            raise InvalidInputError(f"{name} refuses the row: {refusal}")
        texts.append(text)
    return texts


@lru_cache(maxsize=FUNCTIONS_KEPT)
def _function(kind: str, rule: str) -> ConfinedFunction:
    return ConfinedFunction(f"harness.confined.templates:{kind}_template", json.loads(rule))
