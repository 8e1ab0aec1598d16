"""What reads a JSON Schema (Draft 2020-12), and then says what is wrong with a JSON value; nothing is ever fetched.

Schemas and values may be hostile: `harness.confined` runs this in a process of its own. Library: jsonschema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from harness.confined.worker import UnusableRuleError
from harness.scoring.json_schema import NOT_JUDGED, Faults, short

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# What jsonschema asserts without optional packages. It lets every other format pass, so those are refused.
FORMATS = ("date", "email", "ipv4", "ipv6", "regex", "uuid")


def json_schema(schema: Any) -> Callable[[str], Faults]:
    """What the schema finds wrong with a text that is JSON; `format` is asserted.

    Unusable is a schema that is not valid, declares another dialect, refers to anything outside itself, or asks for
    a format that would not be checked.
    """
    if not isinstance(schema, Mapping):
        raise UnusableRuleError("not a usable JSON Schema: it must be an object")
    try:
        Draft202012Validator.check_schema(schema)
        problems = list(dict.fromkeys(_schema_problems(schema)))
    except SchemaError as error:
        where = f"{error.json_path}: {error.message}"
        raise UnusableRuleError(f"not a valid JSON Schema (Draft 2020-12): {short(where)}") from None
    except RecursionError:
        raise UnusableRuleError("not a usable JSON Schema: it is nested too deep") from None
    except ValueError as error:  # an $id that is no address
        raise UnusableRuleError(f"not a usable JSON Schema: {short(str(error))}") from None
    if problems:
        raise UnusableRuleError("not a usable JSON Schema: " + "; ".join(problems))
    validator = Draft202012Validator(schema, registry=Registry(), format_checker=FormatChecker(formats=FORMATS))

    def faults(text: str) -> Faults:
        try:
            found = sorted((e.json_path, e.message, str(e.validator)) for e in validator.iter_errors(json.loads(text)))
        except RecursionError:
            return [(NOT_JUDGED, "$", "nested too deep to be judged by this schema")]
        except OverflowError:  # multipleOf 0.1 divides the answer's integer by a float
            return [(NOT_JUDGED, "$", "an integer too large to be judged by this schema")]
        return [(keyword, path, short(message)) for path, message, keyword in found]

    return faults


def _schema_problems(schema: Mapping[str, Any]) -> Iterator[str]:
    """What the meta-schema does not see: another dialect, a reference to elsewhere, an unchecked format."""
    dialect = schema.get("$schema", DIALECT)
    if dialect.rstrip("#") != DIALECT:
        yield f"`$schema` is {short(dialect)}, and only {DIALECT} is judged"
    root = DRAFT202012.create_resource(schema)
    pending = [(root, Registry().resolver_with_root(root))]
    seen: set[int] = set()
    while pending:
        resource, resolver = pending.pop()
        contents = resource.contents
        if not isinstance(contents, Mapping) or id(contents) in seen:
            continue
        seen.add(id(contents))
        for reference in (contents[key] for key in ("$ref", "$dynamicRef") if key in contents):
            try:
                found = resolver.lookup(reference)
            except (Unresolvable, ValueError, TypeError):  # a name where an index belongs, a place in no list or object
                yield f"$ref {short(reference)!r} is not in the schema itself, and nothing is fetched"
            else:
                # The target may lie where the meta-schema does not look.
                Draft202012Validator.check_schema(found.contents)
                pending.append((DRAFT202012.create_resource(found.contents), found.resolver))
        if contents.get("format", FORMATS[0]) not in FORMATS:
            name = short(contents["format"])
            yield f"format {name!r} is not checked (only {', '.join(FORMATS)} are); use `pattern`"
        pending.extend((part, resolver.in_subresource(part)) for part in resource.subresources())
