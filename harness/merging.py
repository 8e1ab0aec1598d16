"""Put the shards of a run together: the same evidence, row for row, as one process would have written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from harness.assembly import differing_answers
from harness.earlier import INPUTS
from harness.errors import InvalidInputError
from harness.files import hold, write_bytes, write_json, write_json_lines
from harness.preferring import ask_judges, declared_judges
from harness.progress import Progress
from harness.records import BenchmarkResult, Counters, Liveness, Prediction, RunManifest, no_answer
from harness.serving import JudgedStack, ask_served_checks, served_candidates
from harness.store.facts import to_plain
from harness.store.runs import ADAPTER, MANIFEST, StoredRun, begin_run, finish_run, read_run
from harness.suite.checks import KLDivergence
from harness.suite.load import LoadedSuite
from harness.suite.schema import Suite

SHARED_OUT = ("predictions.jsonl", "benchmarks.jsonl", "drift.jsonl", "preferences.jsonl", "liveness.json")
TIMED = ("training.json", "histories/")  # a training's seconds, which no two machines share
PLANNED = (
    "suite",
    "tool_version",
    "seed",
    "digests",
    "planned",
    "pool",
    "systems",
    "absent_systems",
    "overrides",
    "versions",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A shard that was given up, and why."""

    index: int
    why: str


def merge_shards(
    loaded: LoadedSuite,
    folders: Sequence[Path],
    *,
    reports: Path,
    progress: Progress,
    command: str,
    failed: Sequence[Failed] = (),
    model: Path | None = None,
) -> Path:
    """Write the evidence of the whole run from that of its shards, and return its folder.

    The answers of a `failed` shard are errors, so that they stay in every denominator. Judges are asked here, since
    they compare answers of different shards, and so are the servers that should serve the candidate; `model` is the
    base model's folder, if it is on this machine.

    Raises:
        InvalidInputError: no shards, or one is missing, given twice, or of another run; or one failed that had more
            to give than answers.
        EvidenceRefusedError: a shard changed since it was written.
    """
    shards = _in_order([read_run(path) for path in _paths(folders)], failed)
    first = shards[0]
    _refuse_other_suite(first, loaded)
    suite = loaded.suite
    _refuse_failed(failed, suite)
    predictions = _answers(shards, failed)
    benchmarks = _benchmarks(shards)
    judges, servers = declared_judges(loaded), served_candidates(loaded)
    absent = first.manifest.absent_systems
    preferences = ask_judges(suite, judges, first.examples["test"], predictions, absent=absent, progress=progress)
    name = first.folder.name.rsplit("-shard-", 1)[0]
    folder = begin_run(reports / suite.suite / name, {"suite": loaded.digest})
    with hold(folder):
        progress.say(f"run {folder}")
        for name in first.manifest.evidence:
            if name not in SHARED_OUT:
                write_bytes(folder / name, (first.folder / name).read_bytes())
        drift = sorted((row for shard in shards for row in shard.drift), key=lambda row: (row.prompts, row.example_id))
        stack = JudgedStack(system=first.manifest.candidate_system, adapter=folder / ADAPTER, model=model)
        test = first.examples["test"]
        served = ask_served_checks(suite, servers, test, predictions, stack=stack, progress=progress)
        tables: dict[str, Sequence[Any]] = {
            "predictions": predictions,
            "benchmarks": benchmarks,
            "drift": drift,
            "preferences": preferences,
            **({"served": served} if served else {}),
        }
        for table, records in tables.items():
            write_json_lines(folder / f"{table}.jsonl", [to_plain(record) for record in records])
        if first.liveness is not None:
            write_json(
                folder / "liveness.json", to_plain(_liveness(first.liveness, first.manifest, suite, predictions))
            )
        finish_run(folder, _manifest(folder, shards, command, whole=not failed))
    return folder


def _refuse_other_suite(shard: StoredRun, loaded: LoadedSuite) -> None:
    if shard.manifest.digests.get("suite") != loaded.digest:
        raise InvalidInputError(
            f"{shard.folder}: a shard of another suite than {loaded.path}, of its earlier text, or with other "
            "settings; give `merge` the --set of the shards"
        )


def _refuse_failed(failed: Sequence[Failed], suite: Suite) -> None:
    if failed and (suite.benchmarks or any(isinstance(check, KLDivergence) for check in suite.checks)):
        raise InvalidInputError(
            "only an answer can be counted as an error, and a benchmark question or a general row that nobody scored "
            f"cannot: run the shards that failed again ({', '.join(str(item.index) for item in failed)}: "
            f"{failed[0].why})"
        )


def absent_arms(folders: Iterable[Path]) -> Mapping[str, str]:
    """The arms that took no part in the run of these shards and why, by the first of them, of which all must be like.

    Raises:
        InvalidInputError: no shards.
        EvidenceRefusedError: the first changed since it was written.
    """
    return read_run(_paths(folders)[0]).manifest.absent_systems


def _paths(folders: Iterable[Path]) -> list[Path]:
    """The folders of the shards in these folders, each either one itself or a folder of them."""
    found: list[Path] = []
    for folder in folders:
        inside = (
            [folder] if (folder / MANIFEST).is_file() else sorted(path.parent for path in folder.glob(f"*/{MANIFEST}"))
        )
        if not inside:
            raise InvalidInputError(f"{folder}: no finished shard; `harness run SUITE --shard INDEX/COUNT` makes one")
        found += inside
    return found


def _in_order(shards: Sequence[StoredRun], failed: Sequence[Failed]) -> list[StoredRun]:
    """The shards by their index, found to be those of one run, each once and none missing."""
    if not shards:
        raise InvalidInputError("no shard was finished, so there is nothing to judge")
    by_index: dict[int, StoredRun] = {}
    counts = set()
    for shard in shards:
        index, count = _place(shard)
        counts.add(count)
        if index in by_index:
            there = by_index[index]
            raise InvalidInputError(
                f"{shard.folder}: shard {shard.manifest.shard} of run {_round(shard)}, again; {there.folder}, of run "
                f"{_round(there)}, is it already: remove the folders of the earlier round, or name the shards of one "
                "round one by one"
            )
        by_index[index] = shard
        _refuse_foreign(shard, shards[0])
    if len(counts) > 1:
        raise InvalidInputError(f"the shards are of {' and of '.join(map(str, sorted(counts)))}; take those of one run")
    given_up = {item.index for item in failed}
    if missing := [index for index in range(counts.pop()) if index not in by_index and index not in given_up]:
        raise InvalidInputError(f"shard {', '.join(map(str, missing))} is missing; a verdict needs all of them")
    return [by_index[index] for index in sorted(by_index)]


def _round(shard: StoredRun) -> str:
    """Which run a shard belongs to, and when it began."""
    return f"{shard.manifest.run_id.rsplit('-shard-', 1)[0]}, started {shard.manifest.started}"


def _place(shard: StoredRun) -> tuple[int, int]:
    """Its index, and how many shards its run has."""
    if shard.manifest.shard is None:
        raise InvalidInputError(f"{shard.folder}: a whole run and no shard of one")
    index, count = shard.manifest.shard.split("/")
    return int(index), int(count)


def _refuse_foreign(shard: StoredRun, first: StoredRun) -> None:
    """Shards of one run agree in all that was asked and in all that they were asked with."""
    ours, theirs = first.manifest, shard.manifest
    for name in PLANNED:
        if getattr(ours, name) != getattr(theirs, name):
            raise InvalidInputError(
                f"{shard.folder}: of another run than {first.folder}: {_difference(name, ours, theirs)}"
            )
    for file in sorted(ours.evidence.keys() | theirs.evidence.keys()):
        if (
            file not in SHARED_OUT
            and not file.startswith(TIMED)
            and ours.evidence.get(file) != theirs.evidence.get(file)
        ):
            raise InvalidInputError(
                f"{shard.folder / file}: not the file of {first.folder}; where each shard trains for itself on "
                "another machine, train once (`harness train`) and give all of them `--adapter`"
            )


def _difference(name: str, ours: RunManifest, theirs: RunManifest) -> str:
    one, other = getattr(ours, name), getattr(theirs, name)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
        why = " (machine, libraries or inputs)" if keys == ["inputs"] else ""
        return f"`{name}` differs in {', '.join(keys)}{why}"
    return f"`{name}` differs"


def _answers(shards: Sequence[StoredRun], failed: Sequence[Failed]) -> list[Prediction]:
    """Every planned answer once, in the order of one process; errors where a shard was given up."""
    manifest, examples = shards[0].manifest, shards[0].examples
    found: dict[tuple[str, str, str, int], Prediction] = {}
    for shard in shards:
        for answer in shard.predictions:
            key = (answer.system, answer.dataset, answer.example_id, answer.sample)
            if key in found:
                raise InvalidInputError(f"{shard.folder}: {'/'.join(map(str, key))} was answered by two shards")
            found[key] = answer
    merged = []
    for arm, count in manifest.planned.items():
        system, _, dataset = arm.rpartition("/")
        rows = examples[dataset]
        for example in rows:
            for sample in range(count // len(rows)):
                key = (system, dataset, example.id, sample)
                merged.append(found.pop(key) if key in found else _missing(*key, failed))
    if found:
        raise InvalidInputError(f"{'/'.join(map(str, next(iter(found))))}: an answer that was not planned")
    return merged


def _missing(system: str, dataset: str, example_id: str, sample: int, failed: Sequence[Failed]) -> Prediction:
    if not failed:
        raise InvalidInputError(f"{system}/{dataset}/{example_id}: no shard answered it")
    why = "; ".join(f"shard {item.index} was given up: {item.why}" for item in failed)
    return no_answer(system, dataset, example_id, sample, why)


def _benchmarks(shards: Sequence[StoredRun]) -> list[BenchmarkResult]:
    """Each system's outcomes on each benchmark, by subject and question."""
    merged = []
    for number, result in enumerate(shards[0].benchmarks):
        parts = [shard.benchmarks[number] for shard in shards]
        if {(part.benchmark, part.system, part.task_digest) for part in parts} != {
            (result.benchmark, result.system, result.task_digest)
        }:
            raise InvalidInputError(f"the shards have other benchmarks than {result.benchmark} of {result.system}")
        outcomes = sorted(
            (outcome for part in parts for outcome in part.outcomes), key=lambda item: (item.subject, item.question_id)
        )
        if len({outcome.question_id for outcome in outcomes}) != len(outcomes):
            raise InvalidInputError(f"two shards answered a question of {result.benchmark}")
        merged.append(replace(result, outcomes=tuple(outcomes)))
    return merged


def _liveness(found: Liveness, manifest: RunManifest, suite: Suite, answers: Sequence[Prediction]) -> Liveness:
    """The difference of the answers over all shards; that of the logits is the same in each."""
    prompt = manifest.digests.get(f"prompt:{suite.candidate}")
    twin = next(name for name in suite.bare_prompts if manifest.digests.get(f"prompt:{name}") == prompt)
    asked, differing = differing_answers(answers, suite.candidate, twin)
    return replace(found, prompts=asked, differing_answers=differing)


def _manifest(folder: Path, shards: Sequence[StoredRun], command: str, *, whole: bool) -> RunManifest:
    """One manifest for all shards: times and counts summed, since all of it was spent.

    One that is not `whole` is not what its inputs give, and no later run of them takes it for its own.
    """
    manifests = [shard.manifest for shard in shards]
    stages = dict.fromkeys(stage for manifest in manifests for stage in manifest.seconds)
    sums = {
        item.name: sum(getattr(manifest.counters, item.name) for manifest in manifests) for item in fields(Counters)
    }
    peaks: list[Any] = [manifest.peak_bytes for manifest in manifests if manifest.peak_bytes is not None]
    return replace(
        manifests[0],
        run_id=folder.name,
        digests={name: sha for name, sha in manifests[0].digests.items() if whole or name != INPUTS},
        started=min(manifest.started for manifest in manifests),
        finished=min(manifest.finished for manifest in manifests),  # by which a verdict grows old
        command=command,
        counters=Counters(**sums),
        seconds={stage: round(sum(m.seconds.get(stage, 0.0) for m in manifests), 3) for stage in stages},
        peak_bytes=max(peaks) if peaks else None,
        shard=None,
        shards=_place(shards[0])[1],
    )
