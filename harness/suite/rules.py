"""What must hold across a suite: the gate may not be vacuous, and every name must mean something."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path as FilePath

from harness.records import FEWEST_SEEDS
from harness.suite.catalogue import CATALOGUE, not_in_catalogue
from harness.suite.checks import (
    BenchmarkDrop,
    BetterThan,
    KLDivergence,
    LogprobDrop,
    Preferred,
    RecipeBetterThan,
    ValidOutput,
)
from harness.suite.connections import connection_problems, served_problems
from harness.suite.declaration import LocalModel, ModelRef, RowsRef
from harness.suite.schema import Suite
from harness.suite.scorers import BrierScorer, RegexScorer
from harness.suite.source import Document, Path, Problem
from harness.suite.systems import (
    AdapterSystem,
    ConstrainedSystem,
    EndpointSystem,
    PromptSystem,
    RetrievalSystem,
)
from harness.suite.training import Train
from harness.suite.training_rules import row_problems, training_problems

COLDEST = 0.01  # the lowest temperature at which vLLM samples (_MAX_TEMP in its sampling_params.py)
CONSTRAINABLE = ("prompt", "few_shot", "retrieval")  # the arms that a grammar can be put over


def semantic_problems(suite: Suite, document: Document) -> Iterator[Problem]:
    """Every rule a suite breaks beyond the types of its values."""
    for path, message in (found for rule in _RULES for found in rule(suite)):
        yield Problem(document.position(path), path, message)


def file_problems(suite: Suite, document: Document, folder: FilePath) -> Iterator[Problem]:
    """Every file and every model that the suite names and that is not there."""
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
        if system.role == "candidate" and system.train is not None:
            yield ("systems", name, "train"), "the candidate's training is the suite's own `train` section"
        if system.role == "candidate" and system.source is not None and suite.train and suite.train.rows:
            # They would not be read, so nobody would see that a test prompt stands among them.
            yield ("train", "rows"), "has no effect, since the candidate comes from a folder; take it out"


def _adapters(suite: Suite) -> Iterator[tuple[Path, str]]:
    """Whether each baseline adapter is made in one way, and not in the candidate's, which would be the same adapter."""
    candidates = [_made(suite, name) for name, spec in suite.systems.items() if spec.role == "candidate"]
    for name, spec in suite.systems.items():
        if not isinstance(spec, AdapterSystem) or spec.role == "candidate":
            continue
        if (spec.source is None) == (spec.train is None):
            yield ("systems", name), "a baseline adapter needs one of `from: promoted`, `from: FOLDER` and `train`"
        elif _made(suite, name) in candidates:
            message = (
                "is made exactly like the candidate, which would be compared with itself; change it or take it out"
            )
            yield ("systems", name), message


def _made(suite: Suite, name: str) -> tuple[str | None, str | None, Train | None]:
    """What an adapter comes from: its folder, or its training, and the system message that both need."""
    spec, train = suite.systems[name], suite.trainings.get(name)
    source = spec.source if isinstance(spec, AdapterSystem) else None
    return source, system_file(suite, name), train and train.model_copy(update={"seeds": 1})


def _baselines(suite: Suite) -> Iterator[tuple[Path, str]]:
    if not suite.bare_prompts:
        message = "a baseline of `kind: prompt` is required, without a `model`: the base model is always an arm"
        yield ("systems",), message
    elif not _untuned(suite):
        message = "no `kind: prompt` baseline has the candidate's own system message, so the base model is not an arm"
        yield ("systems",), message


def _untuned(suite: Suite) -> set[str]:
    """The arms that are what the candidate was before its training: the base model under the same system message."""
    wanted = {system_file(suite, name) for name, spec in suite.systems.items() if spec.role == "candidate"}
    return {name for name in suite.bare_prompts if not wanted or system_file(suite, name) in wanted}


def system_file(suite: Suite, name: str) -> str | None:
    """The file of a system's message: its own, that of the arm under its grammar, else that of the first bare prompt.

    A prompt arm may do without, and the promoted adapter keeps the message that it was judged with.
    """
    spec = suite.systems[name]
    if isinstance(spec, ConstrainedSystem):
        return system_file(suite, spec.over)
    is_promoted = isinstance(spec, AdapterSystem) and spec.source == "promoted"
    if spec.system is not None or spec.kind == "prompt" or is_promoted:
        return spec.system
    return next((system_file(suite, bare) for bare in suite.bare_prompts), None)


def _columns(suite: Suite) -> Iterator[tuple[Path, str]]:
    """Whether each column of the files is taken for one thing."""
    owner: dict[str, str] = {}
    for key, named in suite.data.columns.named.items():
        for column in [named] if isinstance(named, str) else named:
            if column in owner:
                yield ("data", "columns", key), f"the column '{column}' is already the `{owner[column]}`"
            owner[column] = key


def _constrained(suite: Suite) -> Iterator[tuple[Path, str]]:
    for name, spec in suite.systems.items():
        if not isinstance(spec, ConstrainedSystem):
            continue
        over = suite.systems.get(spec.over)
        if over is None or over.kind not in CONSTRAINABLE:
            known = ", ".join(other for other, arm in suite.systems.items() if arm.kind in CONSTRAINABLE)
            yield ("systems", name, "over"), f"'{spec.over}' is not a {'/'.join(CONSTRAINABLE)} arm; known: {known}"
        if spec.regex is not None and spec.lark is not None:
            yield ("systems", name), "one grammar at a time: `regex` or `lark`, or neither for the JSON Schema"
        if spec.regex is None and spec.lark is None and suite.data.schema_file is None:
            yield ("systems", name), "needs `data.schema`, the JSON Schema of an answer, or `regex`, or `lark`"


def _judges(suite: Suite) -> Iterator[tuple[Path, str]]:
    """Whether every judge that is asked is there, and every judge that is there is asked."""
    asking = {index: check for index, check in enumerate(suite.checks) if isinstance(check, Preferred)}
    for index, check in asking.items():
        if check.judge not in suite.judges:
            known = ", ".join(suite.judges) or "none"
            yield ("checks", index, "judge"), f"'{check.judge}' is not one of `judges`; known: {known}"
    for name in suite.judges:
        if name not in {check.judge for check in asking.values()}:
            yield ("judges", name), "no `preferred` check asks this judge; add one, or take the judge out"


def _checks(suite: Suite) -> Iterator[tuple[Path, str]]:
    yield from _not_vacuous(suite)
    names = [check.name for check in suite.checks if check.name is not None]
    for index, check in enumerate(suite.checks):
        here: Path = ("checks", index)
        if check.name is not None and names.count(check.name) > 1:
            yield (*here, "name"), f"two checks are named '{check.name}'"
        if isinstance(check, BetterThan | RecipeBetterThan | Preferred):
            yield from _against(suite, check, here)
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
        if isinstance(check, RecipeBetterThan | Preferred):
            yield here, f"`{check.kind}` needs mode fixed, not {mode}"
        if isinstance(check, ValidOutput) and check.on == "test":
            yield here, f"`valid_output` on test needs mode fixed, since mode {mode} may stop early; use a probe"
        if isinstance(check, LogprobDrop) and _is_whole(suite, check.benchmark):
            yield here, f"`logprob_drop` needs mode fixed, since mode {mode} may stop the benchmark early"


def _engine(suite: Suite) -> Iterator[tuple[Path, str]]:
    """Whether the engine draws answers at the temperature that the suite declares."""
    if suite.engine is not None and 0 < suite.decoding.temperature < COLDEST:
        message = f"vLLM takes {COLDEST:g} for anything between 0 and that; take 0 or a higher one, or `engine` out"
        yield ("decoding", "temperature"), message


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
        if isinstance(check, Preferred):
            yield ("checks", index), "`preferred` compares one answer with one, and each test example has several"


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


def _confidences(suite: Suite) -> Iterator[tuple[Path, str]]:
    """Whether a gain is asked of log-probabilities that a baseline does not have: it could never be shown."""
    remote = {name for name, spec in suite.systems.items() if isinstance(spec, EndpointSystem)}
    told = [spec for spec in suite.declared_scorers if isinstance(spec, BrierScorer) and spec.confidence == "logprob"]
    for index, check in enumerate(suite.checks):
        if not isinstance(check, BetterThan | RecipeBetterThan) or check.scorer not in {spec.name for spec in told}:
            continue
        if without := sorted(remote & set(suite.baselines if check.baselines == "all" else check.baselines)):
            message = f"needs log-probabilities, which a server does not say; leave {', '.join(without)} out"
            yield ("checks", index, "scorer"), f"'{check.scorer}' {message} of `baselines`"


def _is_whole(suite: Suite, benchmark: str) -> bool:
    return benchmark in suite.benchmarks and suite.benchmarks[benchmark].per_subject is None


def _not_vacuous(suite: Suite) -> Iterator[tuple[Path, str]]:
    if not suite.checks:
        yield ("checks",), "no checks: a gate that checks nothing cannot ship anything"
    elif not any(check.blocking for check in suite.checks):
        yield ("checks",), "no check is blocking: a gate that blocks nothing cannot ship anything"
    elif not _bare_prompt_is_compared(suite):
        message = (
            "no blocking `better_than` check against the bare prompt, under the candidate's system message and on the "
            "whole test set: a fine-tune that does not beat it must not ship"
        )
        yield ("checks",), message


def _against(suite: Suite, check: BetterThan | RecipeBetterThan | Preferred, here: Path) -> Iterator[tuple[Path, str]]:
    if check.baselines == "all":
        return
    if not check.baselines:
        yield (*here, "baselines"), "an empty list compares with nothing"
    for name in dict.fromkeys(check.baselines):
        if name not in suite.baselines:
            known = ", ".join(suite.baselines)
            yield (*here, "baselines"), f"'{name}' is not a baseline of this suite; known: {known}"
        if check.baselines.count(name) > 1:
            yield (*here, "baselines"), f"'{name}' is named twice"


def _bare_prompt_is_compared(suite: Suite) -> bool:
    untuned = _untuned(suite)
    return any(
        isinstance(check, BetterThan)
        and check.blocking
        and check.require == "all"
        and check.tag is None
        and (check.baselines == "all" or untuned & set(check.baselines))
        for check in suite.checks
    )


def named_files(suite: Suite) -> Iterator[tuple[Path, str]]:
    """Every file that the suite names, after the place where it does."""
    data = suite.data
    named: list[tuple[Path, float | RowsRef | None]] = [
        (("data", "train"), data.train),
        (("data", "test"), data.test),
        (("data", "probe"), data.probe),
        (("data", "schema"), data.schema_file),
        (("data", "mix", "from"), data.mix.source if data.mix else None),
        (("data", "validation"), data.validation),
    ]
    named += [
        (("checks", index, "prompts"), check.prompts)
        for index, check in enumerate(suite.checks)
        if isinstance(check, KLDivergence)
    ]
    named += [(("judges", name, "rubric"), judge.rubric) for name, judge in suite.judges.items()]
    if suite.train is not None:
        named.append((("train", "rows"), suite.train.rows))
    for name, spec in suite.systems.items():
        keys = {"system", "template", "lark"} & set(type(spec).model_fields)
        named += [(("systems", name, key), getattr(spec, key)) for key in sorted(keys)]
        if isinstance(spec, AdapterSystem) and spec.train is not None:
            named.append((("systems", name, "train", "rows"), spec.train.rows))
    yield from ((path, relative) for path, relative in named if isinstance(relative, str))


def named_folders(suite: Suite) -> Iterator[tuple[Path, str]]:
    """Every folder of documents, questions or served adapters that the suite names, after the place where it does."""
    for name, spec in suite.systems.items():
        if isinstance(spec, RetrievalSystem) and spec.documents is not None:
            yield ("systems", name, "documents"), spec.documents
        if isinstance(spec, EndpointSystem) and spec.served_adapter is not None:
            yield ("systems", name, "served_adapter", "path"), spec.served_adapter.path
    for name, benchmark in suite.benchmarks.items():
        if benchmark.mmlu_dir is not None:
            yield ("benchmarks", name, "mmlu_dir"), benchmark.mmlu_dir
        if benchmark.task != "mmlu":
            yield ("benchmarks", name, "task"), benchmark.task


def _models(suite: Suite) -> Iterator[tuple[Path, ModelRef]]:
    yield ("model",), suite.model
    for name, spec in suite.systems.items():
        if isinstance(spec, PromptSystem) and spec.model is not None:
            yield ("systems", name, "model"), spec.model


def _files(suite: Suite, folder: FilePath) -> Iterator[tuple[Path, str]]:
    # Those of `os.path` find no file under a name that the operating system refuses, such as too long a one.
    for path, relative in named_files(suite):
        if not os.path.isfile(folder / relative):
            yield path, f"no such file: {folder / relative}"
    for path, relative in named_folders(suite):
        if path[-1] == "task":
            if not os.path.isfile(folder / relative / "task.yaml"):
                yield path, f"'{relative}' is neither `mmlu` nor a folder with a task.yaml in {folder}"
        elif not os.path.isdir(folder / relative):
            yield path, f"no such folder: {folder / relative}"
    for path, model in _models(suite):
        if isinstance(model, str) and model not in CATALOGUE:
            yield path, not_in_catalogue(model)
        if isinstance(model, LocalModel) and not os.path.isfile(folder / model.path / "config.json"):
            yield (*path, "path"), f"no such model: {folder / model.path} is no folder with a config.json and weights"


def _error_rate(suite: Suite) -> Iterator[tuple[Path, str]]:
    """Whether the resamples can show what is asked of them: of N, the smallest p-value is 1 / (N + 1)."""
    statistics = suite.statistics
    candidates = statistics.holdout_budget or 1
    if candidates > statistics.alpha * (statistics.resamples + 1) + 1e-9:
        shared = f", shared out over {candidates:,} candidates," if statistics.holdout_budget else ""
        yield (
            ("statistics", "holdout_budget" if statistics.holdout_budget else "alpha"),
            f"an `alpha` of {statistics.alpha:g}{shared} is less than {statistics.resamples:,} resamples can show, so "
            f"that nothing could pass; raise `alpha` or `resamples`{', or lower `holdout_budget`' if shared else ''}",
        )


_RULES = (
    _candidate,
    _adapters,
    training_problems,
    row_problems,
    _columns,
    _baselines,
    _constrained,
    connection_problems,
    served_problems,
    _judges,
    _checks,
    _early,
    _sampled,
    _engine,
    _scorers,
    _confidences,
    _error_rate,
)
