"""An engine in transformers' place gets what it can answer, and is believed only where transformers agrees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_model import attach_as_it_is, make_tiny_adapter, make_tiny_model, write_tiny_suite

from harness.cli.main import main
from harness.clock import utc_now
from harness.engine.generate import Generation, GenerationSettings, Sampling
from harness.engine.grammar import regex_grammar
from harness.engine.interface import Wave
from harness.engine.loading import load
from harness.engine.loglikelihood import Scored, ScoringUnit
from harness.engine.meter import Meter
from harness.engine.session import ModelSession
from harness.errors import BrokenRunError
from harness.prepare import read_inputs
from harness.produce import produce
from harness.progress import SilentProgress
from harness.records import Message
from harness.store.answers import ANSWERS, AnswerStore
from harness.store.project import project_folders
from harness.suite.load import load_suite

SETTINGS = GenerationSettings(max_new_tokens=5, batch_size=4)
ARMS = (
    "systems:\n"
    "  candidate: {kind: adapter, role: candidate, system: plain.txt, from: candidate}\n"
    "  bare: {kind: prompt, role: baseline, system: plain.txt}\n"
    "  theirs: {kind: adapter, role: baseline, system: plain.txt, from: theirs}"
)
PLACES = ("an answer", "a choice")


@dataclass
class OtherEngine:
    """Another session's numbers, moved by `error` nats a token."""

    session: ModelSession
    error: float = 0.0
    room: int = 1000  # tokens
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    adapters: set[str | None] = field(default_factory=lambda: {None})
    version: str = "other 1.0"
    facts: Mapping[str, str] = field(default_factory=lambda: {"other": "1.0"})

    def attach(self, name: str, folder: Path) -> None:
        attach_as_it_is(self.session, name, folder)
        self.adapters.add(name)

    def has(self, adapter: str | None) -> bool:
        return adapter in self.adapters

    def start(self) -> None:
        self.asked.clear()

    def has_room(self, tokens: int) -> bool:
        return tokens <= self.room

    def answer(self, wave: Wave, settings: GenerationSettings, *, adapter: str | None) -> list[Generation]:
        prompts, draws = zip(*wave, strict=True)
        self.asked.append(("an answer", adapter))
        found = sorted(
            self.session.generate(prompts, settings, adapter=adapter, draws=draws), key=lambda one: one.index
        )
        return [replace(one, logprob=one.logprob + self.error * (len(one.tokens) + one.ended)) for one in found]

    def score(self, unit: ScoringUnit, *, adapter: str | None) -> list[Scored]:
        self.asked.append(("a choice", adapter))
        pairs = [(context, branch) for context, branches in unit.tokens for branch in branches]
        found = self.session.score(pairs, adapter=adapter)
        return [
            Scored(one.logprob + self.error * len(branch), one.is_greedy)
            for one, (_, branch) in zip(found, pairs, strict=True)
            if one is not None
        ]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return make_tiny_model(folder / "model"), make_tiny_adapter(folder / "model", folder / "adapter")


@pytest.fixture
def engine(folders: tuple[Path, Path]) -> Iterator[OtherEngine]:
    yield OtherEngine(ModelSession(load("tiny", folders[0]), Meter()))


def with_engine(folders: tuple[Path, Path], engine: OtherEngine | None) -> ModelSession:
    session = ModelSession(load("tiny", folders[0]), Meter(), engine=engine)
    attach_as_it_is(session, "tuned", folders[1])
    return session


def answers(session: ModelSession, settings: GenerationSettings, adapter: str | None) -> list[tuple[int, str, float]]:
    prompts = session.encode([[Message(role="user", content=f"item {n}")] for n in range(9)])
    found = session.generate(prompts, settings, adapter=adapter)
    return sorted((one.index, one.text, round(one.logprob, 4)) for one in found)


def scores(session: ModelSession, adapter: str | None) -> list[float]:
    found = session.score([([1, 2, 3], [4, 5]), ([1, 2, 3], [6]), ([7, 8], [9])], adapter=adapter)
    return [round(one.logprob, 4) for one in found if one is not None]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.7, seed=3)])
def test_answers_and_scores_are_those_of_the_engine_when_it_has_the_adapter(
    sampling: Sampling, folders: tuple[Path, Path], engine: OtherEngine
) -> None:
    engine.attach("tuned", folders[1])
    session, alone = with_engine(folders, engine), with_engine(folders, None)
    settings = replace(SETTINGS, sampling=sampling)
    for adapter in (None, "tuned"):
        assert answers(session, settings, adapter) == answers(alone, settings, adapter)
        assert scores(session, adapter) == scores(alone, adapter)
    assert {(place, adapter) for place in PLACES for adapter in (None, "tuned")} == set(engine.asked)


def test_transformers_answers_with_an_adapter_or_a_grammar_that_the_engine_does_not_take(
    folders: tuple[Path, Path], engine: OtherEngine
) -> None:
    session = with_engine(folders, engine)
    answers(session, SETTINGS, "tuned")
    scores(session, "tuned")
    bound = answers(session, replace(SETTINGS, grammar=regex_grammar("yes|no")), None)
    assert engine.asked == [] and {text for _, text, _ in bound} <= {"yes", "no"}
    assert [session.engine_of(*asked) for asked in ((None, None), ("tuned", None), (None, "x"))] == [
        "other 1.0",
        "",
        "",
    ]


def test_transformers_answers_and_scores_what_the_engine_has_no_room_for(
    folders: tuple[Path, Path], engine: OtherEngine
) -> None:
    session, alone = with_engine(folders, engine), with_engine(folders, None)
    engine.room = 4
    assert answers(session, SETTINGS, None) == answers(alone, SETTINGS, None)
    assert scores(session, None) == scores(alone, None)
    assert engine.asked == []
    engine.room = 5
    assert scores(session, None) == scores(alone, None)
    assert engine.asked == [("a choice", None)], "three tokens and two"


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", [2e-3, -2e-3, float("nan")])
def test_an_engine_that_computes_something_else_is_found_out(
    place: str, error: float, folders: tuple[Path, Path], engine: OtherEngine
) -> None:
    session = with_engine(folders, engine)
    engine.error = error
    with pytest.raises(BrokenRunError, match=f"other 1.0 gives {place} of the base model a log-probability of"):
        answers(session, SETTINGS, None) if place == "an answer" else scores(session, None)


def test_an_engine_with_another_adapter_is_found_out(
    folders: tuple[Path, Path], engine: OtherEngine, tmp_path: Path
) -> None:
    engine.attach("tuned", make_tiny_adapter(folders[0], tmp_path / "other", seed=2))
    session = with_engine(folders, engine)
    answers(session, SETTINGS, None)
    with pytest.raises(BrokenRunError, match="of tuned a log-probability of"):
        answers(session, SETTINGS, "tuned")


def test_an_adapter_is_compared_until_it_differs_from_the_base_model(
    folders: tuple[Path, Path], engine: OtherEngine, tmp_path: Path
) -> None:
    idle = make_tiny_adapter(folders[0], tmp_path / "idle", std=0.0)
    engine.attach("idle", idle)
    session = with_engine(folders, engine)
    attach_as_it_is(session, "idle", idle)
    for _ in range(2):
        answers(session, SETTINGS, "idle")
    assert ("an answer", "idle") not in session._compared
    engine.error = 2e-3
    with pytest.raises(BrokenRunError, match="of idle a log-probability of"):
        answers(session, SETTINGS, "idle")


class Meddler(SilentProgress):
    """Another process, which changes a baseline's weights while arms answer."""

    def __init__(self, weights: Path) -> None:
        self.weights = weights

    def start(self, stage: str, total: int) -> None:
        if stage.startswith("answer"):
            self.weights.write_bytes(self.weights.read_bytes()[:-1] + b"\x01")


def test_an_adapter_that_changes_while_an_engine_reads_it_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "baselines").mkdir()
    suite = write_tiny_suite(tmp_path / "suites" / "tiny", systems=ARMS, checks="checks:\n  - {kind: better_than}")
    for seed, name in enumerate(("candidate", "theirs")):
        make_tiny_adapter(suite / "model", suite / name, seed=seed)
    other = OtherEngine(ModelSession(load("tiny", suite / "model"), Meter()))
    monkeypatch.setattr("harness.engine.vllm_engine.declared_engine", lambda *_: other)
    inputs = read_inputs(load_suite(suite), registry=tmp_path / "baselines")
    progress = Meddler(suite / "theirs" / "adapter_model.safetensors")
    with pytest.raises(BrokenRunError, match="theirs: changed while it was judged"):
        produce(inputs, folders=project_folders(suite), clock=utc_now, progress=progress, command="")
    assert {adapter for _, adapter in other.asked} == {None, "candidate", "theirs"}
    with AnswerStore(tmp_path / "cache" / ANSWERS, clock=utc_now) as store:
        assert (store.summary(), len(store.refusals())) == ((), 3), "nothing of it is read back"


def test_an_engine_that_is_not_installed_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    suite = write_tiny_suite(tmp_path / "suites" / "tiny", decoding="engine: {kind: vllm}")
    assert CliRunner().invoke(main, ["validate", str(suite)]).exit_code == 0, "another machine may have it"
    for command in (["run"], ["plan", "--probe"]):
        done = CliRunner().invoke(main, [command[0], str(suite), *command[1:]])
        assert (done.exit_code, "engine.kind: vllm is not installed here" in done.output) == (2, True), done.output


def test_parts_in_one_process_are_refused_with_an_engine_that_starts_once(tmp_path: Path) -> None:
    suite = write_tiny_suite(tmp_path / "suites" / "tiny", decoding="engine: {kind: vllm}")
    done = CliRunner().invoke(main, ["run", str(suite), "--workers", "2"])
    assert (done.exit_code, "one process starts vLLM once" in done.output) == (2, True), done.output
