"""The process in which a text is judged by a pattern, an XML Schema or a grammar that may be hostile, as may the text.

It is run as a file, imports nothing of the harness, and limits itself. The first line of its input is the rule, as
JSON [kind, rule]; it answers what is wrong with the rule, or "". Each later line is a text; it answers true or false.
When one of them takes more than `CPU_SECONDS` of computing, the kernel ends the process with SIGPROF, whatever C
code is running; a text for which `MEMORY_BYTES` are not enough is not accepted. Computing time and not the clock is
limited, so that a busy machine changes no score.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

CPU_SECONDS = 1.0  # of computing for the rule, and for each text
MEMORY_BYTES = 1 << 30

XSD = "{http://www.w3.org/2001/XMLSchema}"
Accepts = Callable[[str], bool]
Result = TypeVar("Result")


class UnusableRuleError(Exception):
    """The rule itself is wrong; the message says why."""


def regex_anywhere(rule: str) -> Accepts:
    """Whether Python's `re` finds the pattern in a text."""
    pattern = re.compile(rule)
    return lambda text: pattern.search(text) is not None


def regex_whole(rule: str) -> Accepts:
    """Whether Python's `re` matches the pattern to the whole text."""
    pattern = re.compile(rule)
    return lambda text: pattern.fullmatch(text) is not None


def xml_schema(rule: str) -> Accepts:
    """Whether a text is one XML document without DTD that the schema (XSD 1.0) accepts; nothing else is ever read."""
    etree: Any = import_module("lxml.etree")

    def parse(text: str) -> Any:
        parser = etree.XMLParser(
            # Whatever encoding the document declares, these are its bytes.
            encoding="utf-8",
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            dtd_validation=False,
            huge_tree=False,
        )
        root = etree.fromstring(text.encode("utf-8"), parser)
        return None if root.getroottree().docinfo.doctype else root

    try:
        declared = parse(rule)
        if declared is None:
            raise UnusableRuleError("a document type (DTD) is not allowed")
        for name in ("include", "import", "redefine"):
            # libxml2 would read the file or fetch the address.
            if any(element.get("schemaLocation") for element in declared.iter(XSD + name)):
                raise UnusableRuleError(f"xs:{name} reads another file, and nothing is read or fetched; write it out")
        schema = etree.XMLSchema(declared)
    except (etree.LxmlError, UnicodeEncodeError) as error:
        raise UnusableRuleError(f"not an XML Schema: {error}") from None

    def accepts(text: str) -> bool:
        try:
            root = parse(text)
            return root is not None and bool(schema.validate(root))
        except (etree.LxmlError, UnicodeEncodeError):
            return False

    return accepts


def grammar(rule: str) -> Accepts:
    """Whether a text is a sentence of the Lark grammar, from its rule `start` (Earley, so any context-free grammar)."""
    try:
        lark: Any = import_module("lark")
    except ImportError:
        raise UnusableRuleError("a grammar needs Lark: pip install 'lora-harness[grammar]'") from None
    try:
        parser = lark.Lark(rule)
    # A faulty grammar raises assertions, OSErrors and errors of `regex` as well as LarkErrors.
    except Exception as error:  # noqa: BLE001
        first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UnusableRuleError(f"not a Lark grammar: {first_line}") from None

    def accepts(text: str) -> bool:
        try:
            parser.parse(text)
        except lark.exceptions.LarkError:
            return False
        return True

    return accepts


KINDS: dict[str, Callable[[str], Accepts]] = {
    "regex_anywhere": regex_anywhere,
    "regex_whole": regex_whole,
    "xml_schema": xml_schema,
    "grammar": grammar,
}


def main() -> None:
    """Read the rule, then judge text after text until the input ends."""
    import resource  # POSIX only, so not where the module is merely imported

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted harness closes the input, which ends this
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(hard, MEMORY_BYTES)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    lines = sys.stdin.buffer
    kind, rule = json.loads(lines.readline())
    try:
        accepts = _limited(KINDS[kind], rule)
    except UnusableRuleError as error:
        return _say(str(error))
    except (re.error, OverflowError) as error:
        return _say(f"not a regular expression: {error}")
    except (RecursionError, MemoryError):
        return _say("nested too deep or too large to be used")
    _say("")
    for line in lines:
        _say(_judge(accepts, json.loads(line)))


def _judge(accepts: Accepts, text: str) -> bool:
    try:
        return _limited(accepts, text.strip())
    except (RecursionError, MemoryError):
        return False


def _limited(function: Callable[[str], Result], text: str) -> Result:
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        return function(text)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _say(answer: str | bool) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
