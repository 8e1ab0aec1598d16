"""What a run would compute, counted, and how long this machine would need for it, measured on a little of it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.arms import machine_cost
from harness.candidates import training_rows
from harness.clock import Clock, monotonic_seconds
from harness.environment import cache_folder, numerics, quiet_libraries
from harness.prepare import Inputs
from harness.progress import Progress, SilentProgress
from harness.records import BASE_MODEL
from harness.report.formatting import amount, duration
from harness.store.answers import ANSWERS, AnswerStore
from harness.suite.checks import ValidOutput
from harness.suite.systems import EndpointSystem
from harness.trust.digests import digest_model_folder, digest_tree, weights_digest

if TYPE_CHECKING:
    from harness.engine.session import ModelSession

PROBED_BATCHES = 2  # of training
PROBED_ANSWERS = 8
PROBED_TOKENS = 8  # of each answer
PROBED_PROMPTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of a run. `tokens` and `seconds` are upper bounds: training and answers may end earlier."""

    name: str
    tokens: int  # trained, or forwarded and decoded
    stored: int  # answers or scores that are read back
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedRun:
    """All stages, the rates they were computed with (tokens a second), and the memory that the probe reached."""

    stages: tuple[Stage, ...]
    training_rate: float | None
    forward_rate: float
    decoding_rate: float
    peak_bytes: int
    cost: float | None  # of the whole on this machine, at most, in the suite's currency; None without `prices`
    currency: str | None

    @property
    def seconds(self) -> float:
        """The whole run, at most, without start and loading."""
        return sum(stage.seconds for stage in self.stages)


def probe_run(inputs: Inputs, *, clock: Clock, progress: Progress) -> ProbedRun:
    """Load the model, try a little of everything, and add up what the whole would take.

    Raises:
        InvalidInputError, BrokenRunError: as the run itself would, when the model or its data cannot be used.
    """
    quiet_libraries()
    from harness.engine.catalogue import locate
    from harness.engine.loading import load
    from harness.engine.meter import Meter, peak_bytes
    from harness.engine.session import ModelSession
    from harness.engine.vllm_engine import declared_engine, refuse_missing_engine

    suite = inputs.loaded.suite
    refuse_missing_engine(suite)
    name, folder = locate(suite.model, suite_folder=inputs.loaded.folder, cache=cache_folder())
    base, meter = load(name, folder), Meter()
    session = ModelSession(base, meter, engine=declared_engine(suite, base, meter))
    if session.engine is not None:
        session.engine.start()
    progress.say("measuring how fast this machine trains, reads and answers")
    training_rate, per_epoch, per_validation = _try_training(inputs, base) if inputs.adapter is None else (None, 0, 0)
    forward_rate, decoding_rate = _try_answers(inputs, session)
    with _recalling(inputs, session, digest_model_folder(folder), clock):
        stages = [
            *_training_stages(inputs, per_epoch, per_validation, training_rate, forward_rate),
            *_answer_stages(inputs, session, forward_rate, decoding_rate),
            *_benchmark_stages(inputs, session, forward_rate),
        ]
    return ProbedRun(
        stages=tuple(stages),
        cost=machine_cost(suite, sum(stage.seconds for stage in stages)),
        currency=suite.prices.currency if suite.prices else None,
        training_rate=training_rate,
        forward_rate=forward_rate,
        decoding_rate=decoding_rate,
        peak_bytes=peak_bytes(),
    )


def _try_training(inputs: Inputs, base: Any) -> tuple[float, int, int]:
    """Trained tokens a second, tokens of an epoch, and tokens of one measurement of the validation loss."""
    from harness.engine.meter import Meter
    from harness.train.recipe import Job, train_candidate
    from harness.train.rows import count_tokens

    suite = inputs.loaded.suite
    assert suite.train is not None  # else the inputs name a finished adapter
    rows = training_rows(inputs, suite.candidate)
    few = PROBED_BATCHES * suite.train.batch_size * suite.train.gradient_accumulation
    short = replace(rows, train=rows.train[:few], mix=(), validation=rows.validation[:1])
    train = suite.train.model_copy(update={"epochs": 1})
    with tempfile.TemporaryDirectory() as scratch:  # nothing in it is read again
        job = Job(seed=suite.seed, target=Path(scratch) / "adapter")
        history = train_candidate(base, short, train, job, meter=Meter(), progress=SilentProgress())
    return history.trained_tokens / history.seconds, *count_tokens(base, rows, train)


def _try_answers(inputs: Inputs, session: ModelSession) -> tuple[float, float]:
    """Prompt tokens and answer tokens a second, on the bare prompts of some test rows."""
    from harness.engine.chat import with_system
    from harness.engine.generate import GenerationSettings

    suite = inputs.loaded.suite
    system = inputs.prompts[suite.candidate]
    prompts = session.encode([with_system(row.messages, system) for row in inputs.datasets.test[:PROBED_PROMPTS]])
    started = monotonic_seconds()
    session.next_token_logits(prompts, adapter=None)
    forward_rate = sum(map(len, prompts)) / (monotonic_seconds() - started)
    settings = GenerationSettings(max_new_tokens=PROBED_TOKENS, batch_size=PROBED_ANSWERS)
    session.meter.decoded_rows = session.meter.forwarded_tokens = 0
    started = monotonic_seconds()
    list(session.generate(prompts[:PROBED_ANSWERS], settings, adapter=None))
    spent = monotonic_seconds() - started - session.meter.forwarded_tokens / forward_rate
    # With few and short answers the prompts can take all of the time that was measured.
    return forward_rate, max(1, session.meter.decoded_rows) / max(spent, 1e-3)


@contextlib.contextmanager
def _recalling(inputs: Inputs, session: ModelSession, base_digest: str, clock: Clock) -> Iterator[None]:
    """Let the session see what is stored of the base model and of the adapters that there are."""
    from harness.engine.recall import Recall

    path = cache_folder() / ANSWERS
    if not path.is_file() or session.engine is not None:  # of an engine all adapters would have to be known
        yield
        return
    weights: dict[str | None, str] = {None: weights_digest(base_digest, None)}
    weights |= {name: weights_digest(base_digest, digest_tree(given.files)) for name, given in inputs.admitted.items()}
    with AnswerStore(path, clock=clock) as store:
        session.recall = Recall(store, numerics(), weights)
        yield
        session.recall = None


def _training_stages(
    inputs: Inputs, per_epoch: int, per_validation: int, training_rate: float | None, forward_rate: float
) -> Iterator[Stage]:
    train = inputs.loaded.suite.train
    if train is None or training_rate is None:
        return
    tokens = per_epoch * train.epochs * train.seeds
    measured = 1 + train.epochs * train.early_stopping.checks_per_epoch
    validated = per_validation * measured * train.seeds
    yield Stage(name="train", tokens=tokens, stored=0, seconds=tokens / training_rate)
    yield Stage(name="validation loss", tokens=validated, stored=0, seconds=validated / forward_rate)


def _answer_stages(inputs: Inputs, session: ModelSession, forward_rate: float, decoding_rate: float) -> Iterator[Stage]:
    from harness.systems.build import Ingredients, LocalModel, build_system

    suite, sets = inputs.loaded.suite, inputs.datasets
    made_of = Ingredients(
        specs=suite.systems,
        prompts=inputs.prompts,
        base=LocalModel(session, ""),
        decoding=suite.decoding,
        train=sets.train,
        seed=suite.seed,
        passages=inputs.passages,
        templates=inputs.templates,
        grammars=inputs.grammars,
    )
    probed = any(isinstance(check, ValidOutput) and check.on == "probe" for check in suite.checks)
    for name, spec in suite.systems.items():
        if name in inputs.absent or isinstance(spec, EndpointSystem):  # how fast a server answers is not this machine's
            continue
        system = build_system(name, made_of)
        candidate = spec.role == "candidate"
        answered = [("test", sets.test, 1 + len(suite.replicas) if candidate else 1)]
        answered += [("probe", sets.probe, 1)] if probed and name in {suite.candidate, *suite.constrained} else []
        for dataset, examples, times in answered:
            forwarded, rows, stored = system.plan(examples, dataset)
            decoded = rows * (suite.decoding.max_new_tokens - 1) * times
            forwarded *= times
            yield Stage(
                name=f"{name} answers {dataset}",
                tokens=forwarded + decoded,
                stored=stored,
                seconds=forwarded / forward_rate + decoded / decoding_rate,
            )


def _benchmark_stages(inputs: Inputs, session: ModelSession, forward_rate: float) -> Iterator[Stage]:
    suite = inputs.loaded.suite
    if not suite.benchmarks:
        return
    from harness.benchmarks.run import count_benchmark
    from harness.benchmarks.tasks import plan_benchmark

    for name, declared in suite.benchmarks.items():
        tasks = plan_benchmark(name, declared, folder=inputs.loaded.folder, seed=suite.seed)
        for system, adapter in ((BASE_MODEL, None), (suite.candidate, suite.candidate)):
            tokens, stored = count_benchmark(tasks, session, adapter=adapter)
            yield Stage(name=f"{system} on {name}", tokens=tokens, stored=stored, seconds=tokens / forward_rate)


def lines_of(run: ProbedRun) -> Sequence[str]:
    """The estimate in words, a line a stage."""
    rates = [f"{run.training_rate:,.0f} trained"] if run.training_rate is not None else []
    rates += [f"{run.forward_rate:,.0f} read", f"{run.decoding_rate:,.0f} written"]
    lines = [f"measured here: {', '.join(rates)} tokens a second; {run.peak_bytes / 2**30:.1f} GiB of memory"]
    for stage in run.stages:
        stored = f", {stage.stored:,} stored" if stage.stored else ""
        lines.append(f"{stage.name}: up to {stage.tokens:,} tokens{stored}, {duration(stage.seconds)}")
    money = f", {amount(run.cost)} {run.currency}" if run.cost is not None else ""
    return [*lines, f"in all at most {duration(run.seconds)}{money}, and the time to start and load"]
