"""Feed every input of the corpus to the product, in a process that has no model library, and print what came of it.

Run as `python walk.py FOLDER`: one JSON object a line for each input, then one for the whole walk.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
for name in ("", "data", "scoring", "suite", "systems", "trust"):
    sys.path.append(str(TESTS / name))
os.environ["HARNESS_CACHE"] = str(Path(sys.argv[1]) / "cache")

import bad_adapters  # noqa: E402
import broken_files  # noqa: E402
import faulty_server  # noqa: E402
import hostile_models as models  # noqa: E402
import hostile_suites as suites  # noqa: E402
import test_admission  # noqa: E402
import test_data_broken_files  # noqa: E402
import test_scoring_json_schema as schemas  # noqa: E402
import test_suite_load as documents  # noqa: E402
import test_suite_rules as rules  # noqa: E402
import test_systems_endpoint as endpoints  # noqa: E402
from adapter_files import base_shapes, write_adapter, write_base  # noqa: E402
from plain_suite import write_plain_suite  # noqa: E402

from harness.engine.catalogue import locate  # noqa: E402
from harness.errors import HarnessError  # noqa: E402
from harness.limits import YAML_BYTES  # noqa: E402
from harness.prepare import read_inputs  # noqa: E402
from harness.records import Example, Message, Prediction, Score, ScoreResult, Unscored  # noqa: E402
from harness.scoring.apply import SCORERS, apply_scorer, score_answer  # noqa: E402
from harness.scoring.json_schema import SchemaValidator  # noqa: E402
from harness.strict_json import StrictJsonError, parse  # noqa: E402
from harness.suite.declaration import LocalModel  # noqa: E402
from harness.suite.load import load_suite, parse_suite  # noqa: E402
from harness.trust.admission import admit  # noqa: E402
from harness.trust.expected_tensors import read_base  # noqa: E402

SUITE = "suite.yaml"


@dataclass(frozen=True)
class Input:
    """One input: how it comes to the product, and which file and line must be named; line 0 is any line."""

    kind: str
    title: str
    feed: Callable[[Path], object]  # given an empty folder; what it returns is whether the input counts as a fault
    file: str = ""
    line: int | None = None


# --- suites, data and schemas ----------------------------------------------------------------------------------------


def project(change: Callable[[Path], object]) -> Callable[[Path], object]:
    def feed(folder: Path) -> None:
        suite = write_plain_suite(folder)
        change(suite)
        read_inputs(load_suite(suite / SUITE), registry=folder / "baselines")

    return feed


def suite_text(text: str, *, files: bool) -> Callable[[Path], object]:
    def feed(folder: Path) -> None:
        path = documents.write(folder, text)
        load_suite(path) if files else parse_suite(path.read_text(), path, {}, files=False)

    return feed


def from_suite_tests() -> Iterator[Input]:
    """The suites of the tests of the reader and of the rules."""
    for number, (line, _, reason) in enumerate(documents.STRICT):
        text = f"one: 1\ntwo: [a, b]\n{line}\n"
        yield Input("suite", f"YAML {number}: {line[:40]}: {reason}", suite_text(text, files=True), SUITE, 3)
    for old, new, expected in documents.BAD:
        text = documents.GOOD.replace(old, new, 1)
        yield Input("suite", f"{old} -> {new}", suite_text(text, files=True), SUITE, int(expected.split(":")[1]))
    for old, new, _ in documents.VACUOUS:
        text = documents.GOOD.replace(old, new, 1)
        yield Input("suite", f"{old} -> {new}", suite_text(text, files=True), SUITE, 0)
    for title, changes, expected in rules.REFUSED:
        text = rules.changed(rules.PLAIN, *changes)
        yield Input("suite", title, suite_text(text, files=False), SUITE, int(expected.split(":")[0]))
    for name, place in rules.NAMED:
        yield Input("suite", f"{name} is missing", without(name), SUITE, int(place.split(":")[0]))


def without(name: str) -> Callable[[Path], object]:
    def feed(folder: Path) -> None:
        (rules.write(folder) / name).unlink()
        load_suite(folder)

    return feed


def data_file(file: broken_files.BrokenFile | broken_files.OddFile) -> Callable[[Path], object]:
    return lambda folder: test_data_broken_files.examples_of(folder, file) and None


def from_data_tests() -> Iterator[Input]:
    for file in (*broken_files.BROKEN, *broken_files.BROKEN_AS_A_WHOLE):
        name, _, line = file.where.partition(":")
        yield Input("data", file.title, data_file(file), name, int(line) if line else None)


def a_schema(schema: object) -> Callable[[Path], object]:
    return project(lambda folder: (folder / "schema.json").write_text(json.dumps(schema)))


# --- adapters and base models ----------------------------------------------------------------------------------------


def adapter(bad: bad_adapters.Bad) -> Callable[[Path], object]:
    def feed(folder: Path) -> None:
        given = write_adapter(folder / "given")
        bad.change(given)
        admit(given, read_base(write_base(folder / "base", base_shapes(biases="biases" in bad.says))))

    return feed


def line_of_config(bad: bad_adapters.Bad, folder: Path) -> int | None:
    """Any line, when the configuration is no strict JSON; a setting is named by its key."""
    folder.mkdir()
    bad.change(write_adapter(folder))
    path = folder / bad.file
    if bad.file != bad_adapters.CONFIG or path.is_symlink() or not path.is_file() or path.stat().st_size > YAML_BYTES:
        return None
    try:
        parse(path.read_bytes().decode("utf-8", "replace"))
    except StrictJsonError:
        return 0
    return None


def base(change: Callable[[Path], object]) -> Callable[[Path], object]:
    def feed(folder: Path) -> None:
        change(write_base(folder / "base"))
        read_base(locate(LocalModel(path="base"), suite_folder=folder, cache=folder)[1])

    return feed


def good_base(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def feed(folder: Path) -> None:
        (folder / "base").mkdir()
        make(folder / "base")
        read_base(locate(LocalModel(path="base"), suite_folder=folder, cache=folder)[1])

    return feed


def good_adapter(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def feed(folder: Path) -> None:
        (folder / "given").mkdir()
        make(folder / "given")
        admit(folder / "given", read_base(write_base(folder / "base")))

    return feed


# --- answers and endpoints -------------------------------------------------------------------------------------------

EXAMPLE = Example(id="1", messages=(Message(role="user", content="?"),), target=models.TARGET, tags=("answer",))


@cache
def validator() -> SchemaValidator:
    return SchemaValidator(models.SCHEMA)


def answer(text: str) -> Callable[[Path], object]:
    """Every scorer judges the answer; it is a fault when it is not valid, and not the target."""

    def feed(_: Path) -> bool:
        results = {name: apply_scorer(SCORERS[name], text, EXAMPLE, validator()) for name in SCORERS}
        assert all(isinstance(found, Unscored) or 0 <= found.value <= 1 for found in results.values()), results
        return results["schema_valid"] == Score(0.0)

    return feed


def is_no_answer(row: Prediction, example: Example) -> bool:
    found: ScoreResult = score_answer("exact_match", row, example, None)
    return row.error is not None and row.text == "" and isinstance(found, Unscored)


def endpoint(fault: faulty_server.Fault) -> Callable[[Path], object]:
    def feed(_: Path) -> bool:
        timeout = 0.3 if fault.slow else endpoints.PATIENT
        rows, _requests = endpoints.answered_by(fault.behave, timeout=timeout)
        return all(map(is_no_answer, rows, endpoints.examples(2)))

    return feed


# --- the walk --------------------------------------------------------------------------------------------------------


def bad_inputs(scratch: Path) -> Iterator[Input]:
    yield from from_suite_tests()
    yield from from_data_tests()
    for kind, cases in (("suite", suites.SUITES), ("data", suites.DATA), ("schema", suites.SCHEMAS)):
        for title, case in cases.items():
            yield Input(kind, title, project(case.change), case.file, case.line)
    for number, (schema, reason) in enumerate(schemas.BAD_SCHEMAS):
        yield Input("schema", f"{number}: {reason}", a_schema(schema), "schema.json")
    for title, bad in bad_adapters.BAD.items():
        line = line_of_config(bad, scratch / "config")
        shutil.rmtree(scratch / "config")
        yield Input("adapter", title, adapter(bad), f"given/{bad.file}" if bad.file else "given", line)
    for title, broken in models.BASES.items():
        yield Input("base", title, base(broken.change), f"base/{broken.file}" if broken.file else "base")
    for title, text in models.ANSWERS.items():
        yield Input("output", title, answer(text))
    for title, fault in faulty_server.FAULTS.items():
        yield Input("endpoint", title, endpoint(fault))


def controls() -> Iterator[Input]:
    for file in broken_files.ODD:
        yield Input("data", file.title, data_file(file))
    for title, case in suites.GOOD_PROJECTS.items():
        yield Input("suite", title, project(case.change))
    for title, changes in rules.VALID.items():
        yield Input("suite", title, suite_text(rules.changed(rules.PLAIN, *changes), files=False))
    for title, make in test_admission.GOOD.items():
        yield Input("adapter", title, good_adapter(make))
    for title, make in models.GOOD_BASES.items():
        yield Input("base", title, good_base(make))
    for title, text in models.GOOD_ANSWERS.items():
        yield Input("output", title, answer(text))
    yield Input("endpoint", "no fault", endpoint(faulty_server.Fault(behave=faulty_server.answers)))


def seconds_of_computing() -> float:
    """Of this process and of those of its children that have ended."""
    return sum(os.times()[:4])


def outcome(case: Input, folder: Path) -> dict[str, object]:
    """What came of one input."""
    folder.mkdir()
    before = seconds_of_computing()
    try:
        found, message = ("counted" if case.feed(folder) else "accepted"), ""
    except HarnessError as error:
        found, message = "refused", str(error)
    except Exception as error:  # noqa: BLE001 -- any other exception is what the walk looks for
        found, message = "not caught", repr(error)[:500]
    seconds = seconds_of_computing() - before
    number = r"\d+" if case.line == 0 else str(case.line)
    place = rf"{re.escape(case.file)}:{number}\b|{re.escape(case.file)}: .*\bline {number}\b"
    shutil.rmtree(folder)
    return {
        "kind": case.kind,
        "title": case.title,
        "found": found,
        "message": message[:500],
        "names_file": case.file in message,
        "has_line": case.line is not None,
        "names_line": case.line is not None and re.search(place, message) is not None,
        "seconds": round(seconds, 3),
        "peak_bytes": _peak_bytes(),
    }


def _peak_bytes() -> int:
    """The most memory that this program held until now; getrusage would count the process that started it as well."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10


def main(scratch: Path) -> None:
    for is_control, inputs in ((False, bad_inputs(scratch)), (True, controls())):
        for case in inputs:
            print(json.dumps(outcome(case, scratch / "case") | {"control": is_control}))
    print(json.dumps({"modules": sorted({name.split(".")[0] for name in sys.modules})}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
