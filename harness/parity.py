"""Whether what a server serves is what was judged: N test prompts through the stored evidence and the server."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from harness.assembly import rivals_of, untold_by
from harness.clock import Clock
from harness.engine.local_models import find_local
from harness.environment import cache_folder
from harness.errors import BrokenRunError, ExitCode, InvalidInputError
from harness.files import remove, write_json
from harness.findings import Decision, Parity
from harness.gate.served_as_judged import JudgedAnswer, Rival, drawn_examples, judge_parity, judged_answers
from harness.judged import find_run, suite_of, verdict_of
from harness.progress import Progress
from harness.records import BASE_MODEL, Message, ServedAnswer
from harness.serving import ask_candidate, conversations, counted_prompts, judged_rendering, served_candidate
from harness.store.facts import to_plain
from harness.store.project import project_folders
from harness.store.runs import ADAPTER, MANIFEST, StoredRun
from harness.suite.connections import connection_faults
from harness.suite.declaration import Declaration
from harness.suite.schema import Suite
from harness.suite.systems import Connection, LoadedCandidate
from harness.systems.http_chat import ChatFault, read_key
from harness.systems.requests import declared_server
from harness.systems.server import served_models
from harness.trust.digests import digest_file
from harness.trust.servable import refuse_unservable

D = TypeVar("D", bound=Declaration)

PARITY_VERSION = 1
WHO = "parity"  # the name under which the server is asked


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedPair:
    """One question: what the judged stack answered and what the server did."""

    example_id: str
    judged: str
    served: str
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityReport:
    """What was found out about one server at one time, bound to the run by the digest of its manifest."""

    run_id: str
    suite: str
    decision: Decision  # of the run
    manifest_digest: str
    adapter_digest: str
    endpoint: str
    model: str
    checked: str  # ISO 8601, UTC
    finding: Parity
    answers: tuple[AskedPair, ...]
    format_version: int = PARITY_VERSION

    @property
    def exit_code(self) -> ExitCode:
        """0 served as judged, 3 differs, 1 the server failed and nothing is said, 4 not settled."""
        if self.finding.status == "undecided" and self.finding.errors:
            return ExitCode.BROKE
        return {"pass": ExitCode.SHIP, "fail": ExitCode.HOLD, "undecided": ExitCode.UNDECIDED}[self.finding.status]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How a server is to be asked."""

    base_url: str
    model: str | None  # None: the only one that it has, or the name of what it loads
    key_env: str | None
    prompts: int
    tolerance: float  # nats per token
    max_lora_rank: int | None  # of a server that is to load the candidate first; None: it serves it already
    recompute: bool  # compare token by token with the model in memory, not with the stored sums
    output: Path | None  # of the report; None: beside the run folder


def check_parity(path: Path, wanted: Wanted, *, clock: Clock, progress: Progress) -> tuple[ParityReport, Path]:
    """Ask a server a judged run's own questions, and judge by the run's evidence whether it serves the candidate.

    The report is written, and its place returned too. An earlier one goes first: it must not speak for this time.

    Raises:
        InvalidInputError: no judged run, a report inside its folder, a key that is not there, an address that cannot
            be one, an adapter that no server could load, or answers that were drawn and cannot be compared.
        BrokenRunError: the server does not say what it serves.
        EvidenceRefusedError: the run's evidence or verdict changed.
    """
    run = find_run(path)
    place = wanted.output or _beside(run)
    if place.parent.resolve().is_relative_to(run.folder.resolve()):
        raise InvalidInputError(
            f"--output {place}: in the run folder, which holds evidence and nothing else; choose a place outside"
        )
    if place.exists():
        remove([place])
    report = _report(run, wanted, clock=clock, progress=progress)
    write_json(place, to_plain(report))
    return report, place


def _report(run: StoredRun, wanted: Wanted, *, clock: Clock, progress: Progress) -> ParityReport:
    if not math.isfinite(wanted.tolerance):
        raise InvalidInputError(f"--tolerance: {wanted.tolerance} is no number of nats")
    verdict, suite = verdict_of(run), suite_of(run)
    if suite.decoding.temperature > 0 and not wanted.recompute:
        raise InvalidInputError(
            f"{run.folder}: its answers were drawn at a temperature; `--recompute` lets the model answer greedily"
        )
    loads = _loads(run, suite, wanted)
    connection = _connection(wanted, loads)
    model = base_folder(run, suite)
    candidate = served_candidate(WHO, connection, suite, loads=loads)
    drawn = drawn_examples(run.examples["test"], count=wanted.prompts, seed=suite.seed)
    asked = conversations(drawn, run.manifest.candidate_system)
    judged, rivals = _judged(run, suite, asked, model, recompute=wanted.recompute)
    served = ask_candidate(
        candidate,
        asked,
        counted_prompts(run.predictions, suite.candidate),
        render=judged_rendering(model, template=_template_of(run, suite)),
        loads=run.folder / ADAPTER if loads is not None else None,
        progress=progress,
    )
    return ParityReport(
        run_id=run.manifest.run_id,
        suite=run.manifest.suite,
        decision=verdict.decision,
        manifest_digest=digest_file(run.folder / MANIFEST),
        adapter_digest=run.manifest.digests[f"adapter:{suite.candidate}"],
        endpoint=connection.base_url,
        model=candidate.model,
        checked=clock().isoformat(timespec="seconds"),
        finding=judge_parity(served, judged, rivals, tolerance=wanted.tolerance, untold=untold_by(rivals, run, suite)),
        answers=_pairs(served, judged),
    )


def _beside(run: StoredRun) -> Path:
    """Where a report is kept unless told otherwise: beside the run folder.

    Not in it: the folder is a closed world of evidence and what is derived from it alone, and a server can be another
    one tomorrow.
    """
    return run.folder.with_name(f"{run.folder.name}.parity.json")


def base_folder(run: StoredRun, suite: Suite) -> Path | None:
    """The folder of the run's base model, if it is on this machine."""
    suites = project_folders(run.folder).root / "suites" / run.manifest.suite_path
    return find_local(suite.model, suite_folder=suites, cache=cache_folder())


def _judged(
    run: StoredRun, suite: Suite, asked: Mapping[str, Sequence[Message]], model: Path | None, *, recompute: bool
) -> tuple[dict[str, JudgedAnswer], tuple[Rival, ...]]:
    """The judged answers to what is asked, and what else might answer."""
    if not recompute:
        return judged_answers(run.predictions, suite.candidate, stops=bool(suite.decoding.stop)), rivals_of(run, suite)
    if model is None:
        raise InvalidInputError(f"{run.folder}: `--recompute` needs the base model, which is not on this machine")
    from harness.recomputing import answer_again

    ours, theirs = answer_again(run, suite, asked, model)
    if suite.decoding.temperature > 0:
        return ours, (Rival(name=BASE_MODEL, is_base=True, answers=theirs),)
    stored = judged_answers(run.predictions, suite.candidate, stops=bool(suite.decoding.stop))
    # Where this machine answers otherwise than the one that judged, at a near tie, the evidence is what was judged.
    same = {key: answer for key, answer in ours.items() if key not in stored or stored[key].text == answer.text}
    return {**stored, **same}, rivals_of(run, suite)


def _loads(run: StoredRun, suite: Suite, wanted: Wanted) -> LoadedCandidate | None:
    """What the server is to load: the candidate's files, under the wanted name or one of their own."""
    if wanted.max_lora_rank is None:
        return None
    refuse_unservable(run.folder / ADAPTER, max_lora_rank=wanted.max_lora_rank)
    own = f"{suite.suite}-{run.manifest.digests[f'adapter:{suite.candidate}'][:12]}"
    return _declared(LoadedCandidate, name=wanted.model or own, max_lora_rank=wanted.max_lora_rank)


def _connection(wanted: Wanted, loads: LoadedCandidate | None) -> Connection:
    """The connection, found to be one that a suite could declare."""
    named = wanted.model or (loads.name if loads is not None else None)
    connection = _declared(Connection, base_url=wanted.base_url, model=named or "unnamed", key_env=wanted.key_env)
    for key, message in connection_faults(connection):
        raise InvalidInputError(f"--{'endpoint' if key == 'base_url' else 'key-env'}: {message}")
    try:
        read_key(WHO, wanted.key_env)
    except InvalidInputError as error:  # its place is an option here
        said = str(error).replace(f"{WHO}.key_env", "--key-env").replace("`key_env`", "`--key-env`")
        raise InvalidInputError(said) from None
    if named is not None:
        return connection
    try:
        names = served_models(declared_server(WHO, connection))
    except ChatFault as fault:
        raise BrokenRunError(
            f"{wanted.base_url}: it does not say which models it serves ({fault}); name one by --model"
        ) from None
    if len(names) != 1:
        raise InvalidInputError(f"{wanted.base_url}: it serves {', '.join(names) or 'nothing'}; choose one by --model")
    return connection.model_copy(update={"model": names[0]})


def _declared(kind: type[D], **fields: Any) -> D:
    """What an option says, held to the rules for what a suite says."""
    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidInputError(f"--{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _template_of(run: StoredRun, suite: Suite) -> str:
    """The beginning of the digest of the chat template that the candidate answered under, from its signature."""
    signature = next(fact.signature for fact in run.manifest.systems if fact.name == suite.candidate)
    return next((part.removeprefix("template:") for part in signature.split("|") if part.startswith("template:")), "")


def _pairs(served: Sequence[ServedAnswer], judged: Mapping[str, JudgedAnswer]) -> tuple[AskedPair, ...]:
    return tuple(
        AskedPair(
            example_id=answer.example_id,
            judged=judged[answer.example_id].text if answer.example_id in judged else "",
            served=answer.text,
            error=answer.error,
        )
        for answer in served
    )
