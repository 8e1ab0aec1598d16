"""What reads a pattern, an XML Schema or a grammar, and then says of a text whether it is accepted.

Rules and texts may be hostile: `harness.confined` runs these functions in a process of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from harness.confined.worker import UnusableRuleError

XSD = "{http://www.w3.org/2001/XMLSchema}"
Accepts = Callable[[str], bool]


def regex_anywhere(rule: str) -> Accepts:
    """Whether Python's `re` finds the pattern in a text."""
    pattern = _pattern(rule)
    return lambda text: pattern.search(text.strip()) is not None


def regex_whole(rule: str) -> Accepts:
    """Whether Python's `re` matches the pattern to the whole text."""
    pattern = _pattern(rule)
    return lambda text: pattern.fullmatch(text.strip()) is not None


def _pattern(rule: str) -> re.Pattern[str]:
    try:
        return re.compile(rule)
    except (re.error, OverflowError) as error:
        raise UnusableRuleError(f"not a regular expression: {error}") from None


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
            root = parse(text.strip())
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
            parser.parse(text.strip())
        except lark.exceptions.LarkError:
            return False
        return True

    return accepts
