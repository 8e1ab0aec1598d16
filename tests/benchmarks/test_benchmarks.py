"""Benchmarks ask what lm-eval asks and score what lm-eval scores, question by question."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tiny_model import load_tiny

from harness.benchmarks.lm import SessionLM
from harness.benchmarks.questions import read_subjects, sample_subjects
from harness.benchmarks.run import run_benchmark
from harness.benchmarks.tasks import plan_benchmark
from harness.engine.meter import Meter
from harness.engine.session import ModelSession
from harness.errors import BrokenRunError, InvalidInputError
from harness.records import QuestionOutcome
from harness.suite.schema import Benchmark

FIXTURE = Path(__file__).parent.parent / "fixtures" / "mmlu"
MMLU = Benchmark(task="mmlu", mmlu_dir=str(FIXTURE), per_subject=4)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> ModelSession:
    return ModelSession(load_tiny(tmp_path_factory.mktemp("model")), Meter())


def by_lm_eval(session: ModelSession, benchmark: Benchmark) -> dict[str, tuple[float, ...]]:
    """The same tasks through lm-eval's own model class, one full forward pass per choice."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    tasks = plan_benchmark("mmlu", benchmark, folder=FIXTURE, seed=7)
    model = HFLM(pretrained=session.base.model, tokenizer=session.tokenizer, batch_size=4, device="cpu")
    result = simple_evaluate(
        model=model,
        tasks=tasks.build(),
        task_manager=TaskManager(include_defaults=False),
        bootstrap_iters=0,
        log_samples=True,
    )
    samples = [sample for subject in tasks.subjects for sample in result["samples"][tasks.task_name(subject)]]
    return {s["doc"]["question_id"]: tuple(float(r[0][0]) for r in s["resps"]) for s in samples}


def test_every_question_scores_as_in_lm_eval(session: ModelSession) -> None:
    tasks = plan_benchmark("mmlu", MMLU, folder=FIXTURE, seed=7)
    found = run_benchmark(tasks, session, system="base model", adapter=None)
    expected = by_lm_eval(session, MMLU)
    assert {outcome.question_id for outcome in found.outcomes} == set(expected)
    for outcome in found.outcomes:
        reference = expected[outcome.question_id]
        # Wide random weights give values down to -20, where float32 sums of another order differ in the fourth place.
        assert outcome.logprobs == pytest.approx(reference, abs=1e-4, rel=2e-5)
        assert outcome.choice == max(range(4), key=lambda i: reference[i])
        assert outcome.correct == (outcome.choice == outcome.target)


def test_the_prompt_is_mmlus_own_five_shot_prompt() -> None:
    tasks = plan_benchmark("mmlu", MMLU, folder=FIXTURE, seed=7)
    assert tasks.shots == 5
    task = tasks.build()[1]
    doc = next(iter(task.test_docs()))
    prompt = task.fewshot_context(doc, num_fewshot=5)
    assert prompt.startswith("The following are multiple choice questions (with answers) about small world.\n\n")
    assert "Which animal gives milk?\nA. cow\nB. hen\nC. bee\nD. fish\nAnswer: A\n\n" in prompt
    assert prompt.count("Answer:") == 6
    assert prompt.endswith("\nAnswer:")


def test_choices_are_scored_by_their_text_where_the_task_says_so(session: ModelSession) -> None:
    suite = Path(__file__).parents[2] / "suites" / "ticket-triage"
    tasks = plan_benchmark("general", Benchmark(task="general-knowledge", per_subject=1), folder=suite, seed=1)
    found = run_benchmark(tasks, session, system="base model", adapter=None)
    assert len(found.outcomes) == 12
    assert tasks.shots == 0
    # Texts of different length: their log-probabilities differ far more than those of four letters would.
    assert all(max(o.logprobs) - min(o.logprobs) > 1 for o in found.outcomes)


def test_the_sample_is_seeded_random_and_weights_follow_the_whole_subject() -> None:
    subjects = read_subjects(FIXTURE)
    first, again, other = (sample_subjects(subjects, per_subject=3, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert [q.id for s in first for q in s.asked] != [q.id for s in other for q in s.asked]
    assert [len(subject.asked) for subject in first] == [3, 3]
    assert [subject.available for subject in first] == [6, 6]
    everything = sample_subjects(subjects, per_subject=None, seed=1)
    assert [len(subject.asked) for subject in everything] == [6, 6]


def test_the_digest_changes_with_anything_that_shapes_a_score() -> None:
    def digest(seed: int = 7, **changes: object) -> str:
        declared = MMLU.model_copy(update=changes)
        return plan_benchmark("mmlu", declared, folder=FIXTURE, seed=seed).digest

    assert digest() == digest()
    assert len({digest(), digest(seed=8), digest(per_subject=5), digest(shots=4)}) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Q,a,b,c,A\n", r"x_test.csv:1: needs question, four choices"),
        ("Q,a,b,c,d,A\nQ,a,b,c,d,E\n", r"x_test.csv:2: needs question"),
        ('Q,"a,b,c,d,A\n', r"x_test.csv:\d: not valid CSV"),
        ("Q,a,b,c,d,\n", r"x_test.csv:1: needs question"),
    ],
)
def test_a_bad_question_is_named_with_file_and_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "x_test.csv").write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        read_subjects(tmp_path)


def test_more_shots_than_solved_examples_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="6 shots need as many dev questions"):
        plan_benchmark("mmlu", MMLU.model_copy(update={"shots": 6}), folder=FIXTURE, seed=1)


def test_a_task_file_may_not_run_code(tmp_path: Path) -> None:
    (tmp_path / "quiz" / "test").mkdir(parents=True)
    (tmp_path / "quiz" / "task.yaml").write_text("process_docs: anything\n")
    with pytest.raises(InvalidInputError, match="unknown key process_docs"):
        plan_benchmark("quiz", Benchmark(task="quiz"), folder=tmp_path, seed=1)


def test_outcomes_are_finite(session: ModelSession) -> None:
    tasks = plan_benchmark("mmlu", MMLU, folder=FIXTURE, seed=7)
    outcomes: tuple[QuestionOutcome, ...] = run_benchmark(tasks, session, system="x", adapter=None).outcomes
    assert all(math.isfinite(value) and value < 0 for outcome in outcomes for value in outcome.logprobs)


def instances(kind: str, arguments: list[tuple[object, ...]]) -> list[Instance]:
    return [Instance(kind, {}, row, index) for index, row in enumerate(arguments)]


def test_any_pair_of_texts_is_split_and_scored_as_in_lm_eval(session: ModelSession) -> None:
    pairs = [
        ("the question is", " long"),
        ("the question is ", "short"),
        ("the question is", " something else again"),
        ("", "no context"),
        ("another beginning", " long"),
    ]
    reference = HFLM(pretrained=session.base.model, tokenizer=session.tokenizer, batch_size=2, device="cpu")
    expected = reference.loglikelihood(instances("loglikelihood", pairs), disable_tqdm=True)
    calls = session.meter.tokenizer_calls
    found = SessionLM(session, None).loglikelihood(instances("loglikelihood", pairs))
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]
    assert [score for score, _ in found] == pytest.approx([score for score, _ in expected], abs=1e-4)
    assert session.meter.tokenizer_calls - calls == 2  # all texts with a context, and the one without


def test_whole_texts_are_scored_as_in_lm_eval(session: ModelSession) -> None:
    texts = [("a short text",), ("a much longer text, which goes over several windows of the model. " * 40,)]
    reference = HFLM(
        pretrained=session.base.model, tokenizer=session.tokenizer, batch_size=2, device="cpu", max_length=500
    )
    ours = SessionLM(session, None)
    ours._max_length = 500
    asked = instances("loglikelihood_rolling", texts)
    expected = reference.loglikelihood_rolling(asked, disable_tqdm=True)
    assert ours.loglikelihood_rolling(asked) == pytest.approx(expected, rel=1e-5)


def test_free_answers_are_those_of_lm_eval(session: ModelSession) -> None:
    arguments = [
        (f"question {i} of a few: ", {"until": ["e", "\n"] if i % 2 else "zz", "max_gen_toks": 6 + i % 2})
        for i in range(8)
    ]
    reference = HFLM(pretrained=session.base.model, tokenizer=session.tokenizer, batch_size=3, device="cpu")
    expected = reference.generate_until(instances("generate_until", arguments), disable_tqdm=True)
    found = SessionLM(session, None).generate_until(instances("generate_until", arguments))
    assert sum(ours == theirs for ours, theirs in zip(found, expected, strict=True)) >= 7  # one near tie is allowed
    assert len(set(found)) > 2


def test_a_question_that_does_not_fit_the_context_loses_its_beginning_as_with_lm_eval(session: ModelSession) -> None:
    model = SessionLM(session, None)
    long, cut = (Instance("loglikelihood", {}, ("b" * more + "x" * 2043, " right"), 0) for more in (500, 0))
    assert model.loglikelihood([long]) == model.loglikelihood([cut])


@pytest.mark.parametrize("asked", [{"do_sample": True}, {"temperature": 0.7}, {"num_beams": 4}])
def test_a_benchmark_that_wants_other_than_greedy_answers_is_refused(
    asked: dict[str, object], session: ModelSession
) -> None:
    with pytest.raises(BrokenRunError, match="answers benchmarks greedily"):
        SessionLM(session, None).generate_until(instances("generate_until", [("question", asked)]))
