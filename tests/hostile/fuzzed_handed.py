"""The parsers of adapters, of what servers send, of benchmarks, and of documents and the rules of scorers."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import bad_adapters
import faulty_server
from adapter_files import (
    CONFIG,
    HIDDEN,
    WEIGHTS,
    lora_config,
    lora_shapes,
    virtual_config,
    write_adapter,
    write_base,
)
from fuzzed_inputs import CONFINED, PART, Entry, Parser, dumped, replaced, words
from mutation import Format, inputs

from harness.benchmarks.questions import read_subjects
from harness.benchmarks.shown import read_template
from harness.confined.templates import chat_template, task_template
from harness.data.documents import read_documents
from harness.errors import HarnessError, InvalidInputError
from harness.records import Message
from harness.scoring.text_rules import grammar, regex_anywhere, regex_whole, xml_schema
from harness.systems.http_chat import ChatFault, ChatReply, ChatServer, read_reply
from harness.systems.judge_model import read_preference
from harness.systems.requests import asked_seconds
from harness.systems.server import Rendered, renders_as, served_models
from harness.trust.admission import admit
from harness.trust.expected_tensors import BaseWeights, read_base
from harness.trust.servable import base_named_by, refuse_unservable

# --- adapters --------------------------------------------------------------------------------------------------------


def adapter_entries(folder: Path) -> dict[str, Entry]:
    given, base = write_adapter(folder / "given"), write_base(folder / "base")
    head = (b"", (given / WEIGHTS).read_bytes())
    size = int.from_bytes(head[1][:8], "little")
    header, data = head[1][8 : 8 + size], head[1][8 + size :]
    classifier = folder / "classifier"
    write_adapter(
        classifier, lora_config(task_type="SEQ_CLS"), lora_shapes("q_proj", "v_proj") | {bad_adapters.HEAD: (2, HIDDEN)}
    )
    (classifier / "classes.json").write_text('["a", "b"]')
    sharded = write_base(folder / "sharded", shards=2)
    configs = [lora_config(), lora_config(rank_pattern={"q_proj": 2}, alpha_pattern={"v_proj": 4}, use_rslora=True)]
    configs += [
        lora_config(target_modules="all-linear"),
        lora_config(layers_to_transform=[0, 1], layers_pattern="layers"),
    ]
    configs += [lora_config(init_lora_weights="eva", eva_config={"rho": 2.0}), virtual_config("PREFIX_TUNING")]
    configs += [virtual_config("PROMPT_TUNING", num_virtual_tokens=3)]
    tokens = (
        *words('"peft_type" "LORA" "PREFIX_TUNING" "all-linear" ".*" "lm_head" "SEQ_CLS" "os.system" null true'),
        *(f'"{key}"'.encode() for key in lora_config()),
    )
    named = words(
        '"dtype" "F32" "F16" "BF16" "I64" "BOOL" "F4" "F6_E2M3" "shape" "data_offsets" "__metadata__" "format" '
        '"pt" [0,0] -0'
    )
    index = (sharded / "model.safetensors.index.json").read_bytes()
    base_json, base_weights = (base / "config.json").read_bytes(), (base / "model.safetensors").read_bytes()

    def framed(content: bytes) -> bool:
        return weights(len(content).to_bytes(8, "little") + content + data)

    def weights(content: bytes) -> bool:
        return admitted(given, WEIGHTS, content, base)

    return {
        "adapter_config.json": Entry(
            lambda content: admitted(given, CONFIG, content, base), Format(dumped(*configs), tokens, tree=True)
        ),
        "the header of weights": Entry(framed, Format((header,), named, tree=True)),
        "weights": Entry(weights, Format((head[1],), named)),
        "classes.json": Entry(
            lambda content: admitted(classifier, "classes.json", content, base), Format((b'["a", "b"]',), tree=True)
        ),
        "config.json of a base": Entry(
            lambda content: read_changed(base, "config.json", content),
            Format(
                (base_json,),
                words('"architectures" "LlamaForCausalLM" "tie_word_embeddings" "quantization_config"'),
                tree=True,
            ),
            always_odd=True,
        ),
        "weights of a base": Entry(
            lambda content: read_changed(base, "model.safetensors", content), Format((base_weights,), named)
        ),
        "an index of weights": Entry(
            lambda content: read_changed(sharded, "model.safetensors.index.json", content),
            Format((index,), words('"weight_map" "metadata" "../up" "." "config.json"'), tree=True),
        ),
    }


def admitted(folder: Path, name: str, content: bytes, base: Path) -> bool:
    """Whether an adapter with such a file is admitted, with its base known or not; a server's rules are asked too."""
    known, refused = read_base(base), []
    with replaced(folder / name, content):
        for judge in (
            lambda: admit(folder, known),
            lambda: admit(folder, BaseWeights()),
            lambda: refuse_unservable(folder, max_lora_rank=16),
            lambda: base_named_by(folder),
        ):
            try:
                judge()
            except InvalidInputError as error:
                assert str(folder) in str(error)
                refused.append(error)
    if len(refused) > 1:  # servers refuse classifiers
        raise refused[0]
    return True


def read_changed(folder: Path, name: str, content: bytes) -> bool:
    with replaced(folder / name, content):
        return bool(read_base(folder).shapes)


# --- servers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CannedServer(ChatServer):
    """A server that always sends the same body."""

    body: bytes

    def request(self, url: str, content: Any, cancelled: Event, *, json_only: bool = True) -> bytes:
        return self.body


class RawServer:
    """Answers each connection on 127.0.0.1 with the bytes in `content`, then closes it."""

    def __init__(self) -> None:
        self.content = b""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection, suppress(OSError):  # the client hangs up on what it refuses
                received = b""
                while b"\r\n\r\n" not in received and (piece := connection.recv(65536)):
                    received += piece
                connection.sendall(self.content)


REPLY_WORDS = words(
    '"choices" "message" "role" "assistant" "content" "finish_reason" "stop" "length" "logprobs" "top_logprobs" '
    '"token" "bytes" '
    '"logprob" "usage" "prompt_tokens" "completion_tokens" "tool_calls" "data" "id" "prompt" "tokens" -Infinity '
    '{"better": "A"}'
)


def reply_entries(_: Path) -> dict[str, Entry]:
    likely = [{"token": "a", "bytes": [97], "logprob": -0.5}, {"token": "b", "bytes": None, "logprob": -1}]
    listed = {"content": [{**likely[0], "top_logprobs": likely}, {"token": "é", "logprob": -2.5, "top_logprobs": []}]}
    replies = [faulty_server.completion("a b"), faulty_server.completion('{"better": "A"}', logprobs=listed)]
    replies += [faulty_server.completion('Well: {"better": "tie"}', finish_reason="length", usage=None)]
    told = dumped(
        {"object": "list", "data": [{"id": "m"}, {"id": "n"}]}, {"prompt": "hello"}, {"tokens": [1, 2], "count": 2}
    )
    whole = [faulty_server.response(json.dumps(reply), "200 OK", "Server: x") for reply in replies]
    body = json.dumps(replies[0]).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    whole += [
        head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
        head + b"\r\n" + body,
    ]
    whole += [faulty_server.response("no", "429 Too Many Requests", "Retry-After: Wed, 21 Oct 2065 07:28:00 GMT")]
    whole += [
        faulty_server.response("no", "503 Unavailable", "Retry-After: 7"),
        b"HTTP/1.1 100 Continue\r\n\r\n" + whole[0],
    ]
    tokens = (
        *(b"\r\n", b"\r\n\r\n", b" 200 ", b" 204 ", b" 304 ", b" 301 ", b" 100 ", b"X: " + b"y" * 66000),
        *words(
            "HTTP/1.1 HTTP/1.0 HTTP/9 Content-Length: Content-Type: application/json charset=utf-7 Transfer-Encoding:"
        ),
        *words("chunked Content-Encoding: gzip Retry-After: Location: Wed, 0 ffffffffffffffff -1 ;"),
    )
    server = RawServer()
    asked = ChatServer(base_url=server.url, timeout_seconds=4)

    def feed_http(content: bytes) -> bool:
        server.content = content
        try:
            return bool(read_reply(asked.request(server.url, None, Event())))
        except ChatFault as fault:
            if fault.retry_after is not None:
                assert asked_seconds(fault.retry_after, datetime(2026, 1, 1, tzinfo=UTC)) >= 0
            raise

    given = Format(dumped(*replies), REPLY_WORDS, tree=True)
    return {
        "a chat completion": Entry(lambda content: bool(read_reply(content)), given),
        "a judge's reply": Entry(
            feed_judged, Format((b'{"better": "A"}', b'So: {"better": "tie"}'), REPLY_WORDS, tree=True)
        ),
        "models and renderings": Entry(feed_told, Format(told, REPLY_WORDS, tree=True)),
        "a response of HTTP": Entry(feed_http, Format(tuple(whole), tokens)),
    }


def feed_judged(content: bytes) -> bool:
    text = content.decode("utf-8", "surrogateescape")
    reply = ChatReply(text=text, stop="end", prompt_tokens=None, output_tokens=None)
    return read_preference(reply, candidate_first=True) == -read_preference(reply, candidate_first=False)


def feed_told(content: bytes) -> bool:
    server = CannedServer(base_url="http://127.0.0.1:9/v1", timeout_seconds=1, body=content)
    wanted = Rendered(text="hello", tokens=(1, 2))
    told = renders_as(server, "m", (Message(role="user", content="hello"),), wanted, Event())
    assert told in {None, True, False}
    return bool(served_models(server)) or told is True


# --- benchmarks ------------------------------------------------------------------------------------------------------


def benchmark_entries(folder: Path) -> dict[str, Entry]:
    templates = (
        b"doc_to_text: '{{question}}'\ndoc_to_choice: '{{choices}}'\n",
        b'description: "d {subject}"\ndoc_to_text: question\ndoc_to_choice: [A, B, C, D]\nnum_fewshot: 2\n',
        b'doc_to_text: "Q: {{question.strip()}}\\n{% for c in choices %}{{c}}{% endfor %}"\ndoc_to_choice: choices\n'
        b'target_delimiter: " "\nfewshot_delimiter: "\\n\\n"\n',
    )
    allowed = words(
        "doc_to_text: doc_to_choice: description: num_fewshot: target_delimiter: doc_to_target: !function x.f"
    )
    rows = b'What is 1+1?,1,2,3,4,B\n"a, ""b""\nc",x,y,z,w,A\n'
    kept = [
        file.read_bytes()[:3000] for file in sorted((Path(__file__).parents[1] / "fixtures" / "mmlu").rglob("*.csv"))
    ]
    questions = folder / "quiz"
    for part in ("test", "dev"):
        (questions / part).mkdir(parents=True)
        (questions / part / f"small_{part}.csv").write_bytes(rows)

    def feed_template(content: bytes) -> bool:
        (folder / "task.yaml").write_bytes(content)
        return bool(read_template(folder / "task.yaml"))

    def feed_questions(part: str, content: bytes) -> bool:
        with replaced(questions / part / f"small_{part}.csv", content):
            return bool(read_subjects(questions))

    given = Format((rows, rows.replace(b"\n", b"\r\n"), *kept[:4]), (b",A\n", b'""', b'"', b",,,,,", b",AB", b"\r"))
    return {
        "task.yaml": Entry(feed_template, Format(templates, allowed)),
        "questions": Entry(partial(feed_questions, "test"), given),
        "solved questions": Entry(partial(feed_questions, "dev"), given),
    }


# --- rules and documents ---------------------------------------------------------------------------------------------

XSD = (
    b'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="a"><xs:complexType><xs:sequence>'
    b'<xs:element name="b" type="xs:int" maxOccurs="3"/></xs:sequence><xs:attribute name="c" use="required"/>'
    b"</xs:complexType></xs:element></xs:schema>"
)
LARK = (
    b'start: greeting " " name\ngreeting: "hello" | "bye"\nname: /[a-z]+/ | "(" name ")"\n',
    b'%import common.NUMBER\n%ignore " "\nstart: sum\n?sum: NUMBER ("+" sum)?\n',
)
PATTERNS = words(r"^[a-z]+\d{2,4}$ (?P<a>x|y)(?P=a)* (?i:a)(?=b)(?<!c)\w+ [^\]\-a-f]{0,9}? a|b|(?:c|d)* \bé\B(?>x+)y++")
TEMPLATES = (
    b"{% for m in messages %}<|{{ m['role'] }}|>{{ m.content | trim }}{% endfor %}{% if add_generation_prompt "
    b"%}x{% endif %}",
    b"{{ bos_token }}{%- set ns = namespace(n=0) -%}{% for m in messages %}{% set ns.n = ns.n + 1 %}{{ "
    b"loop.index0 ~ m.content }}"
    b"{% generation %}{{ m | tojson(indent=1) }}{% endgeneration %}{% endfor %}{{ raise_exception('no') if ns.n > 3 }}",
)


def rule_entries(folder: Path) -> dict[str, Entry]:
    written = folder / "manual"
    written.mkdir()

    def feed_documents(content: bytes) -> bool:
        (written / "guide.md").write_bytes(content)
        return bool(read_documents(written))

    def feed_rule(read: Callable[[str], Callable[[str], bool]], probes: tuple[str, ...], content: bytes) -> bool:
        rule, _, text = content.decode("utf-8", "surrogateescape").partition(PART.decode())
        accepts = read(rule)
        for probe in (*probes, text):
            assert accepts(probe) in {True, False}
        return True

    def feed_template(content: bytes) -> bool:
        render = chat_template(
            {"template": content.decode("utf-8", "surrogateescape"), "variables": {"bos_token": "<s>"}}
        )
        text, why = render(json.dumps({"messages": [{"role": "user", "content": "a"}], "add_generation_prompt": True}))
        json.dumps([text, why])
        task_template(content.decode("utf-8", "surrogateescape"))(json.dumps({"question": "a", "choices": ["b"]}))
        return not why

    names = words(
        "xs:element xs:sequence xs:choice xs:all xs:import xs:include schemaLocation= minOccurs= maxOccurs= "
        "unbounded xs:string "
        "xs:pattern xs:restriction base= type= ref= name= <!DOCTYPE <!ENTITY &amp; &#0; &#xD800; <?xml version= "
        "encoding= ]]> <!--"
    )
    jinja = words(
        "{{ }} {% %} {%- -%} {# #} for in if elif else endif set endset macro endmacro call filter raw endraw "
        "import include "
        "extends block loop.index namespace( ) | tojson | join( .__class__ ['__init__'] | attr( range(9) ~ ** // "
        "% [::2] self "
        "generation endgeneration break continue messages[0] strftime_now('%Y') | default( | map( | selectattr( "
        "| format("
    )
    terminals = words(
        'start: | "a" /b/ /[/ ( ) [ ] ? * + ~ 3 -> %import common.WORD %ignore %declare %override %extend .2 _x '
        '{y} "i" ..'
    )
    regexes = words(
        r"( ) [ ] { } {2,3} {99999} * + ? *? ++ | ^ $ \ \d \b \1 \x \u{1} (?: (?= (?<= (?P<n> (?P=n) (?i) (?x) "
        r"(?(1)a|b) \N{DIGIT}"
    )
    accepted = [f"{p.decode()}{PART.decode()}ab12".encode() for p in PATTERNS]
    text = b"# Head\n\nSome words. " + b"More words here. " * 60 + "\n\n## 第二\n測試。\r\n\r\nend\n".encode()
    probes = ('<a c="1"><b>2</b></a>', "<a", "")
    return {
        "documents": Entry(
            feed_documents, Format((text, b"a b c\n" * 90), (b"\n\n", b"# ", b"\n#\n", b"\n \n", b"w " * 250))
        ),
        "a regular expression, anywhere": Entry(
            partial(feed_rule, regex_anywhere, ("", "ab12 é")), Format(tuple(accepted), regexes)
        ),
        "a regular expression, whole": Entry(
            partial(feed_rule, regex_whole, ("", "ab12")), Format(tuple(accepted), regexes)
        ),
        "an XML Schema": Entry(
            partial(feed_rule, xml_schema, probes), Format((XSD, XSD.replace(b"sequence", b"choice")), names)
        ),
        "XML by a schema": Entry(
            partial(feed_rule, xml_schema, ()),
            Format((XSD,)),
            inputs(Format((b'<a c="1"><b>2</b></a>', b'<?xml version="1.0" encoding="utf-8"?><a c=""/>'), names)).map(
                lambda text: XSD + PART + text
            ),
            always_odd=True,
        ),
        "a grammar": Entry(partial(feed_rule, grammar, ("hello ab", "1+2", "")), Format(LARK, terminals)),
        "a chat template": Entry(feed_template, Format(TEMPLATES, jinja)),
    }


HANDED: dict[str, Parser] = {
    "adapter": Parser(adapter_entries),
    "reply": Parser(reply_entries, (HarnessError, ChatFault)),
    "benchmark": Parser(benchmark_entries),
    "rules": Parser(rule_entries, CONFINED, confined=True),
}
