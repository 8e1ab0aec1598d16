"""A conversation is rendered as transformers renders it, by templates as models have them."""

# ruff: noqa: E501  templates are written as they are found

from __future__ import annotations

from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from harness.engine.rendering import render_conversations

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
TURNS = [
    {"role": "system", "content": "  Be brief. "},
    {"role": "user", "content": "How much is 2 < 3 & \"4\"?\n"},
    {"role": "assistant", "content": "<think>\nwell\n</think>\n\nNothing: é 猫"},
    {"role": "user", "content": "And now?"},
]  # fmt: skip
TEMPLATES = {
    "ChatML, with a default system message": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
        "You are helpful<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
        "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "Llama 3, with a date": (
        "{{- bos_token }}\n{%- if not date_string is defined %}\n    {%- set date_string = strftime_now('%d %b %Y') %}\n"
        "{%- endif %}\n{{- 'Today: ' + date_string + '\n\n' }}\n{%- for message in messages %}\n    {{- "
        "'<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}\n"
        "{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}\n"
        "{%- endif %}\n"
    ),
    "Mistral, with its own rules": (
        "{%- set ns = namespace(index=0) %}{%- if messages[0].role == 'system' %}{% set rest = messages[1:] %}"
        "{% else %}{% set rest = messages %}{% endif %}{{ bos_token }}{% for m in rest %}{% if (m.role == 'user') != "
        "(ns.index % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{% set ns.index = ns.index + 1 %}"
        "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %}{{ m.content.strip() + eos_token }}{% endif %}"
        "{% endfor %}"
    ),
    "Qwen 3, which drops thoughts": (
        "{%- for message in messages %}\n{%- set content = message.content %}\n{%- if '</think>' in content %}\n"
        "{%- set content = content.split('</think>')[-1].lstrip('\n') %}\n{%- endif %}\n{{- '<|im_start|>' + message.role"
        " + '\n' + content + '<|im_end|>' + '\n' }}\n{%- if loop.last %}{%- break %}{%- endif %}{%- endfor %}"
    ),
    "JSON, dictionaries and marks of what is trained": (
        "{% set d = dict(a=1, **messages[0]) %}{{ d | tojson }}\n{{ messages | tojson(indent=2, sort_keys=true) }}\n"
        "{% for m in messages %}\n{% if m.role == 'assistant' %}\n    {% generation %}\n    {{ m.content }}\n"
        "    {% endgeneration %}\n{% endif %}\n{% endfor %}{{ tools is none }}{{ documents }}{{ dict.fromkeys('ab', 1) }}"
    ),
}


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("turns", [TURNS, TURNS[1:], TURNS[:2], TURNS[1:3]], ids=["all", "asked", "one", "answered"])
@pytest.mark.parametrize("add", [True, False])
def test_a_conversation_is_rendered_as_by_transformers(name: str, turns: list[dict[str, str]], add: bool) -> None:
    asked: dict[str, Any] = {"messages": turns, "add_generation_prompt": add}
    rendered, _ = render_jinja_template([turns], chat_template=TEMPLATES[name], add_generation_prompt=add, **SPECIAL)
    assert render_conversations(TEMPLATES[name], SPECIAL, [asked]) == rendered
