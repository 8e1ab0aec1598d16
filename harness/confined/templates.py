"""What reads a Jinja template, and then renders value after value with it.

A chat template comes from whoever published a model, a benchmark's template from whoever wrote the suite: either may
try to break out of the sandbox, to run without end or to fill the memory. `harness.confined` runs these functions in a
process of its own. Library: jinja2.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from harness.confined.worker import UnusableRuleError
from harness.limits import RENDERED_BYTES

Rendered = tuple[str, str]  # the text, and why there is none


def chat_template(rule: dict[str, Any]) -> Callable[[str], Rendered]:
    """Render conversations as transformers' `apply_chat_template` does.

    `rule` has the "template" and the "variables" that it knows beside the conversation. A text is the JSON of
    {"messages", "add_generation_prompt"}.

    Source: transformers 5.23, utils/chat_template_utils.py.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals.update(raise_exception=_raise, strftime_now=time.strftime, dict=_Dict(), namespace=_Namespace)
    template = _read(environment, rule["template"])

    def render(text: str) -> Rendered:
        return _render(template, {"tools": None, "documents": None, **rule["variables"], **json.loads(text)})

    return render


def task_template(rule: str) -> Callable[[str], Rendered]:
    """Render questions as lm-eval does; a text is the JSON of a question's fields.

    Source: lm-eval 0.4.13, utils.py, `apply_template`.
    """
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters["regex_replace"] = _replace
    template = _read(environment, rule)
    return lambda text: _render(template, json.loads(text))


def _read(environment: ImmutableSandboxedEnvironment, text: str) -> Template:
    try:
        return environment.from_string(text)
    except TemplateError as error:
        raise UnusableRuleError(f"{type(error).__name__}: {error}") from None


def _render(template: Template, values: dict[str, Any]) -> Rendered:
    try:
        text = template.render(values)
    except (MemoryError, RecursionError):
        raise
    except TemplateError as error:
        return "", str(error)
    # A template raises whatever Python does: for a missing key, an addition of text and number.
    except Exception as error:  # noqa: BLE001
        return "", f"{type(error).__name__}: {error}"
    if len(text.encode("utf-8", "surrogatepass")) > RENDERED_BYTES:
        return "", f"it makes over {RENDERED_BYTES:,} bytes of it"
    return text, ""


class _Generation(Extension):
    """`{% generation %}`, with which a template marks what is trained; it leaves nothing in the text."""

    tags = {"generation"}  # noqa: RUF012  as jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node:
        """The statements up to `{% endgeneration %}`, whose names are their own."""
        line = next(parser.stream).lineno
        return nodes.Scope(list(parser.parse_statements(("name:endgeneration",), drop_needle=True)), lineno=line)


class _Dict:
    """`dict` as a template may use it, without what leads from a class to others."""

    def __call__(self, *pairs: Any, **named: Any) -> dict[Any, Any]:
        return dict(*pairs, **named)

    def fromkeys(self, *given: Any) -> dict[Any, Any]:
        """As dict.fromkeys."""
        return dict.fromkeys(*given)


class _Namespace(Namespace):
    """`namespace` without names that begin with an underscore."""

    def __init__(*args: Any, **named: Any) -> None:  # so that `namespace(self=...)` is possible
        own, *pairs = args
        given = dict(*pairs, **named)
        for name in given:
            _refuse_hidden(name)
        Namespace.__init__(own, given)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_hidden(name)
        super().__setitem__(name, value)


def _refuse_hidden(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace takes no name with an underscore first: {name!r}")


def _raise(message: str) -> None:
    raise TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _replace(text: str, pattern: str, replacement: str, count: int = 0) -> str:
    return re.sub(pattern, replacement, text, count=count)
