"""What must hold across a suite: the gate may not be vacuous, and every name must mean something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path as FilePath

from harness.records import FEWEST_SEEDS
from harness.suite.schema import (
    AdapterSystem,
    BenchmarkDrop,
    BetterThan,
    EndpointSystem,
    KLDivergence,
    LogprobDrop,
    RecipeBetterThan,
    RegexScorer,
    Suite,
    ValidOutput,
)
from harness.suite.source import Document, Path, Problem

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_URL = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?:/[A-Za-z0-9._~/-]*)?"
)
_ON_THIS_MACHINE = {"localhost", "127.0.0.1", "[::1]"}
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


def semantic_problems(suite: Suite, document: Document) -> Iterator[Problem]:
    """Every rule a suite breaks beyond the types of its values."""
    rules = (_candidate, _baselines, _endpoints, _checks, _early, _sampled, _scorers)
    for path, message in (found for rule in rules for found in rule(suite)):
        yield Problem(document.position(path), path, message)


def file_problems(suite: Suite, document: Document, folder: FilePath) -> Iterator[Problem]:
    """Every file that the suite names and that is not in its folder."""
    for path, message in _files(suite, folder):
        yield Problem(document.position(path), path, message)


def _candidate(suite: Suite) -> Iterator[tuple[Path, str]]:
    candidates = [name for name, system in suite.systems.items() if system.role == "candidate"]
    if len(candidates) != 1:
        found = ", ".join(candidates) or "none"
        yield ("systems",), f"exactly one system must have `role: candidate`; found {found}"
    for name, system in suite.systems.items():
        if not isinstance(system, AdapterSystem):
            continue
        if system.role == "candidate" and system.source is None and suite.train is None:
            yield (
                ("systems", name),
                "the candidate needs a `train` section, or `from: FOLDER` of a finished adapter",
            )
        if system.role == "candidate" and system.source == "promoted":
            yield (
                ("systems", name, "from"),
                "the candidate cannot be the promoted adapter; that is a baseline",
            )
        if system.role == "baseline" and system.source is None:
            yield ("systems", name), "a baseline adapter needs `from: promoted` or `from: FOLDER`"
    if suite.train is not None and suite.data.train is None:
        yield ("data",), "`train` rows are required, since this suite trains"


def _baselines(suite: Suite) -> Iterator[tuple[Path, str]]:
    bare = [name for name, system in suite.systems.items() if system.kind == "prompt"]
    if not bare:
        message = "a baseline of `kind: prompt` is required: the base model with the bare prompt is always an arm"
        yield ("systems",), message
        return
    candidate = next((spec for spec in suite.systems.values() if spec.role == "candidate"), None)
    prompts = {suite.systems[name].system for name in bare}
    if candidate is not None and candidate.system is not None and candidate.system not in prompts:
        message = "no `kind: prompt` baseline has the candidate's own system message, so the base model is not an arm"
        yield ("systems",), message


def _endpoints(suite: Suite) -> Iterator[tuple[Path, str]]:
    """Whether each endpoint is one address; no message repeats a value, which may be a key put there by mistake."""
    for name, spec in suite.systems.items():
        if not isinstance(spec, EndpointSystem):
            continue
        here: Path = ("systems", name)
        if spec.key_env is not None and not _VARIABLE.fullmatch(spec.key_env):
            yield (*here, "key_env"), "must be the name of an environment variable, in capitals, and not the key itself"
        url = _URL.fullmatch(spec.base_url)
        if url is None or not 0 < int(url["port"] or 1) <= 65535:
            message = "must be an address such as https://host/v1, without user name, password, query or fragment"
            yield (*here, "base_url"), message
        elif spec.key_env is not None and url["scheme"] == "http" and url["host"] not in _ON_THIS_MACHINE:
            yield (*here, "base_url"), "must be https, since the key would travel readable for all; or take out key_env"
        if (spec.price_input is None) != (spec.price_output is None):
            yield here, "a cost needs both prices, `price_input` and `price_output`"


def _checks(suite: Suite) -> Iterator[tuple[Path, str]]:
    yield from _not_vacuous(suite)
    names = [check.name for check in suite.checks if check.name is not None]
    for index, check in enumerate(suite.checks):
        here: Path = ("checks", index)
        if check.name is not None and names.count(check.name) > 1:
            yield (*here, "name"), f"two checks are named '{check.name}'"
        if isinstance(check, BetterThan | RecipeBetterThan):
            yield from _better_than(suite, check, here)
        if isinstance(check, RecipeBetterThan) and (suite.train is None or suite.train.seeds < FEWEST_SEEDS):
            yield here, f"`recipe_better_than` needs `train.seeds` of {FEWEST_SEEDS} or more"
        if isinstance(check, BenchmarkDrop | LogprobDrop) and check.benchmark not in suite.benchmarks:
            known = ", ".join(suite.benchmarks) or "none declared"
            yield (*here, "benchmark"), f"'{check.benchmark}' is not a benchmark of this suite; known: {known}"
        if isinstance(check, ValidOutput):
            if suite.data.schema_file is None:
                yield here, "`valid_output` needs `data.schema`, the JSON Schema of an answer"
            if check.on == "probe" and suite.data.probe is None:
                yield here, "`valid_output` on probe needs `data.probe`; or say `on: test`"


def _early(suite: Suite) -> Iterator[tuple[Path, str]]:
    """What a mode that may stop early cannot do: its looks are at one random order of whole sets."""
    mode = suite.statistics.mode
    if mode == "fixed":
        return
    for index, check in enumerate(suite.checks):
        here: Path = ("checks", index)
        if isinstance(check, BetterThan) and check.require == "any":
            yield (*here, "require"), f"`require: any` needs mode fixed, not {mode}"
        if isinstance(check, BetterThan) and check.tag is not None:
            yield (*here, "tag"), f"a slice cannot be judged in mode {mode}, which may stop before the slice is whole"
        if isinstance(check, RecipeBetterThan):
            yield here, f"`recipe_better_than` needs mode fixed, not {mode}"
        if isinstance(check, ValidOutput) and check.on == "test":
            yield here, f"`valid_output` on test needs mode fixed, since mode {mode} may stop early; use a probe"
        if isinstance(check, LogprobDrop) and _is_whole(suite, check.benchmark):
            yield here, f"`logprob_drop` needs mode fixed, since mode {mode} may stop the benchmark early"


def _sampled(suite: Suite) -> Iterator[tuple[Path, str]]:
    """What several answers to one example cannot be used for."""
    if suite.decoding.samples == 1:
        return
    if suite.decoding.temperature == 0:
        yield ("decoding", "samples"), "greedy answers are all the same; several samples need a `temperature` above 0"
    for index, check in enumerate(suite.checks):
        if isinstance(check, ValidOutput) and check.on == "test":
            message = "`valid_output` counts one answer to a case, and each test example has several; use a probe"
            yield ("checks", index), message


def _scorers(suite: Suite) -> Iterator[tuple[Path, str]]:
    """Whether every scorer is named once, and every pattern is one."""
    for index, entry in enumerate(suite.scorer_entries):
        name = suite.scorers[index]
        if name in suite.scorers[:index]:
            here: Path = ("scorers", index) if isinstance(entry, str) else ("scorers", index, "name")
            yield here, f"'{name}' is already named above"
        if isinstance(entry, RegexScorer):
            try:
                re.compile(entry.pattern)
            except (re.error, OverflowError, RecursionError) as error:
                yield ("scorers", index, "pattern"), f"not a regular expression: {error}"


def _is_whole(suite: Suite, benchmark: str) -> bool:
    return benchmark in suite.benchmarks and suite.benchmarks[benchmark].per_subject is None


def _not_vacuous(suite: Suite) -> Iterator[tuple[Path, str]]:
    if not suite.checks:
        yield ("checks",), "no checks: a gate that checks nothing cannot ship anything"
    elif not any(check.blocking for check in suite.checks):
        yield ("checks",), "no check is blocking: a gate that blocks nothing cannot ship anything"
    elif not _bare_prompt_is_compared(suite):
        message = (
            "no blocking `better_than` check against the bare prompt: a fine-tune that does not beat it must not ship"
        )
        yield ("checks",), message


def _better_than(suite: Suite, check: BetterThan | RecipeBetterThan, here: Path) -> Iterator[tuple[Path, str]]:
    if check.baselines == "all":
        return
    if not check.baselines:
        yield (*here, "baselines"), "an empty list compares with nothing"
    for name in check.baselines:
        if name not in suite.baselines:
            known = ", ".join(suite.baselines)
            yield (*here, "baselines"), f"'{name}' is not a baseline of this suite; known: {known}"


def _bare_prompt_is_compared(suite: Suite) -> bool:
    bare = {name for name, system in suite.systems.items() if system.kind == "prompt"}
    return any(
        isinstance(check, BetterThan)
        and check.blocking
        and check.require == "all"
        and (check.baselines == "all" or bare & set(check.baselines))
        for check in suite.checks
    )


def _files(suite: Suite, folder: FilePath) -> Iterator[tuple[Path, str]]:
    data = suite.data
    named: list[tuple[Path, str | None]] = [
        (("data", "train"), data.train),
        (("data", "test"), data.test),
        (("data", "probe"), data.probe),
        (("data", "schema"), data.schema_file),
        (("data", "mix", "from"), data.mix.source if data.mix else None),
        (("data", "validation"), data.validation if isinstance(data.validation, str) else None),
    ]
    named += [
        (("checks", index, "prompts"), check.prompts)
        for index, check in enumerate(suite.checks)
        if isinstance(check, KLDivergence)
    ]
    named += [(("systems", name, "system"), spec.system) for name, spec in suite.systems.items()]
    for path, relative in named:
        if relative is not None and not (folder / relative).is_file():
            yield path, f"no such file: {folder / relative}"
    for name, benchmark in suite.benchmarks.items():
        if benchmark.mmlu_dir is not None and not (folder / benchmark.mmlu_dir).is_dir():
            yield ("benchmarks", name, "mmlu_dir"), f"no such folder: {folder / benchmark.mmlu_dir}"
        if benchmark.task != "mmlu" and not (folder / benchmark.task / "task.yaml").is_file():
            message = f"'{benchmark.task}' is neither `mmlu` nor a folder with a task.yaml in {folder}"
            yield ("benchmarks", name, "task"), message
