"""What must hold across a suite: what would make its gate empty, wasteful or other than it says is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.errors import InvalidInputError
from harness.suite.load import load_suite, parse_suite
from harness.suite.rules import CONSTRAINABLE, system_file
from harness.suite.schema import Suite

FULL = """\
suite: full
seed: 1
model: smollm2-135m-instruct
data: {train: rows.jsonl, test: test.jsonl, probe: probe.jsonl, schema: schema.json}
train: {epochs: 2, seeds: 3}
prices: {currency: EUR, machine_hour: 1.5}
systems:
  candidate: {kind: adapter, role: candidate}
  bare: {kind: prompt, system: plain.txt}
  wordy: {kind: prompt, system: wordy.txt}
  larger: {kind: prompt, model: smollm2-360m-instruct}
  shots: {kind: few_shot, selection: nearest}
  manual: {kind: retrieval, documents: manual, template: template.txt}
  solved: {kind: retrieval}
  strict: {kind: constrained, over: larger}
  digits: {kind: constrained, over: wordy, regex: "[0-9]+"}
  listed: {kind: constrained, over: wordy, lark: answer.lark}
  other: {kind: adapter, train: {method: dora, quantize: 4bit}}
  previous: {kind: adapter, from: promoted}
  remote: {kind: endpoint, base_url: "https://a.example/v1", model: m, price_input: 1, price_output: 2}
judges:
  fair: {base_url: "https://a.example/v1", model: m, rubric: rubric.txt, price_input: 1, price_output: 2}
checks:
  - {kind: better_than}
  - {kind: recipe_better_than, baselines: [bare]}
  - {kind: preferred, judge: fair, baselines: [wordy, remote]}
"""
PLAIN = """\
suite: plain
seed: 1
model: smollm2-135m-instruct
data: {train: rows.jsonl, test: test.jsonl}
train: {epochs: 2}
systems:
  candidate: {kind: adapter, role: candidate}
  bare: {kind: prompt}
checks:
  - {kind: better_than}
"""
CANDIDATE = "kind: adapter, role: candidate"
FROM_A_FOLDER = (CANDIDATE, f"{CANDIDATE}, from: mine")
NO_ROWS = ("train: rows.jsonl, ", "")
Change = tuple[str, str]


def arm(declared: str) -> Change:
    """One more system, on line 7 of the plain suite; the candidate then stands on line 8."""
    return "systems:\n", f"systems:\n  arm: {{{declared}}}\n"


def training(declared: str) -> Change:
    return "{epochs: 2}", f"{{{declared}}}"


def changed(text: str, *changes: Change) -> str:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def suite_of(text: str) -> Suite:
    return parse_suite(text, Path("suite.yaml"), {}, files=False).suite


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidInputError) as caught:
        suite_of(text)
    return str(caught.value).splitlines()


# --- what a suite says about itself ----------------------------------------------------------------------------------


def test_every_arm_and_judge_may_be_declared_side_by_side() -> None:
    suite = suite_of(FULL)
    assert (suite.candidate, len(suite.baselines), suite.replicas) == (
        "candidate",
        12,
        {"candidate@seed2": 2, "candidate@seed3": 3},
    )
    assert suite.bare_prompts == ("bare", "wordy")  # and not the larger model, which is no base model of the candidate
    assert suite.constrained == ("larger", "strict", "wordy", "digits", "listed")
    assert {name: (train.method, train.epochs) for name, train in suite.trainings.items()} == {
        "candidate": ("lora", 2),
        "other": ("dora", 3),
    }


def test_there_is_no_training_of_an_adapter_that_comes_from_a_folder() -> None:
    suite = suite_of(changed(PLAIN, FROM_A_FOLDER, arm("kind: adapter, from: theirs")))
    assert suite.trainings == {} and suite.constrained == ()
    assert suite.train is not None and suite.train.epochs == 2


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("bare", "plain.txt"),
        ("wordy", "wordy.txt"),
        ("larger", None),
        ("strict", None),
        ("digits", "wordy.txt"),
        ("candidate", "plain.txt"),
        ("shots", "plain.txt"),
        ("manual", "plain.txt"),
        ("other", "plain.txt"),
        ("remote", "plain.txt"),
        ("previous", None),
    ],
)
def test_a_system_without_a_message_has_the_first_bare_prompts(name: str, file: str | None) -> None:
    assert system_file(suite_of(FULL), name) == file


VALID: dict[str, tuple[Change, ...]] = {
    "a training beside a candidate from a folder": (FROM_A_FOLDER,),
    "no training and no rows": (FROM_A_FOLDER, ("train: {epochs: 2}\n", ""), NO_ROWS),
    "a baseline trained here, a candidate that is not": (
        FROM_A_FOLDER,
        ("train: {epochs: 2}\n", ""),
        arm("kind: adapter, train: {}"),
    ),
    "the candidate's training under another system message": (
        arm("kind: adapter, system: other.txt, train: {epochs: 2}"),
    ),
    "the candidate's folder under another system message": (
        FROM_A_FOLDER,
        arm("kind: adapter, from: mine, system: other.txt"),
    ),
    "an error rate that the resamples can just show": (
        ("checks:\n", "statistics: {alpha: 0.05, holdout_budget: 500}\nchecks:\n"),
    ),
    "dora on a quantised model": (training("method: dora, quantize: 8bit"),),
    "full": (training("method: full, learning_rate: 1e-5"),),
    "prefix tuning": (training("method: prefix_tuning, virtual_tokens: 8"),),
    "prompt tuning of texts": (training("method: prompt_tuning, objective: continued_pretraining"),),
    "preferences in data.train": (training("objective: dpo, beta: 0.2"),),
    "preferences of their own beside shots": (
        training("objective: dpo, rows: pairs.jsonl"),
        arm("kind: few_shot"),
    ),
    "texts of their own beside searched rows": (
        training("objective: continued_pretraining, rows: text.txt"),
        arm("kind: retrieval"),
    ),
    "texts in data.train beside searched documents": (
        training("objective: continued_pretraining"),
        arm("kind: retrieval, documents: manual"),
    ),
    "general rows for texts": (
        training("objective: continued_pretraining"),
        ("test: test.jsonl", "test: test.jsonl, mix: {from: general.jsonl}"),
    ),
    "general rows for the candidate beside preferences of a baseline": (
        ("test: test.jsonl", "test: test.jsonl, mix: {from: general.jsonl}"),
        arm("kind: adapter, train: {objective: dpo, rows: pairs.jsonl}"),
    ),
    "a classifier held against the base model's general ability": (
        training("objective: classification"),
        ("checks:\n", "benchmarks: {mmlu: {task: mmlu}}\nchecks:\n"),
        (
            "{kind: better_than}",
            "{kind: better_than}\n  - {kind: kl_divergence, prompts: general.jsonl}\n"
            "  - {kind: benchmark_drop, benchmark: mmlu}\n  - {kind: logprob_drop, benchmark: mmlu}",
        ),
    ),
    "validation rows of a baseline": (
        training("objective: dpo, rows: pairs.jsonl"),
        ("test: test.jsonl", "test: test.jsonl, validation: held.jsonl"),
        arm("kind: adapter, train: {}"),
    ),
    "a price of the machine alone": (("systems:\n", "prices: {machine_hour: 2}\nsystems:\n"),),
    "an endpoint without prices": (arm('kind: endpoint, base_url: "https://a.example/v1", model: m'),),
    "a constrained arm over documents": (
        arm("kind: retrieval, documents: manual"),
        ("systems:\n", "systems:\n  strict: {kind: constrained, over: arm, regex: yes|no}\n"),
    ),
    "confidence by log-probability against local arms": (
        arm('kind: endpoint, base_url: "https://a.example/v1", model: m'),
        ("checks:\n", "scorers:\n  - {name: sure, kind: brier, confidence: logprob}\nchecks:\n"),
        ("{kind: better_than}", "{kind: better_than, scorer: sure, baselines: [bare]}"),
    ),
    **{
        f"a gain in {kind} against a server": (
            arm('kind: endpoint, base_url: "https://a.example/v1", model: m'),
            (
                "checks:\n",
                f"scorers:\n  - {{name: sure, {kind}}}\n  - {{name: l, kind: brier, confidence: logprob}}\nchecks:\n",
            ),
            ("{kind: better_than}", "{kind: better_than, scorer: sure}"),
        )
        for kind in ("kind: brier", "kind: number")
    },
    "validation rows beside a candidate from a folder": (
        FROM_A_FOLDER,
        ("test: test.jsonl", "test: test.jsonl, validation: held.jsonl"),
    ),
    "a slice beside the whole": (("{kind: better_than}", "{kind: better_than}\n  - {kind: better_than, tag: hard}"),),
}


@pytest.mark.parametrize("changes", VALID.values(), ids=VALID)
def test_a_suite_that_means_something_is_taken(changes: tuple[Change, ...]) -> None:
    assert suite_of(changed(PLAIN, *changes)).candidate == "candidate"


# --- trainings -------------------------------------------------------------------------------------------------------

LOW_RANK_KEYS = {"rank": "8", "alpha": "16", "dropout": "0", "targets": "[q_proj]", "quantize": "4bit"}
TRAININGS: list[tuple[str, tuple[Change, ...], str]] = [
    *(
        (
            f"{key} with {method}",
            (training(f"method: {method}, {key}: {value}"),),
            f"5:{len(f'train: {{method: {method}, {key}: ') + 1} train.{key}: has no effect with method {method}",
        )
        for method in ("full", "prefix_tuning", "prompt_tuning")
        for key, value in LOW_RANK_KEYS.items()
    ),
    *(
        (
            f"virtual tokens with {method}",
            (training(f"virtual_tokens: 16, method: {method}"),),
            f"5:25 train.virtual_tokens: has no effect with method {method}; take it out",
        )
        for method in ("lora", "rslora", "dora", "full")
    ),
    *(
        (
            f"beta with {objective}",
            (training(f"beta: 0.1, objective: {objective}"),),
            f"5:15 train.beta: has no effect with objective {objective}; take it out",
        )
        for objective in ("sft", "continued_pretraining", "classification")
    ),
    *(
        (
            f"{objective} with {method}",
            (training(f"objective: {objective}, method: {method}"),),
            f"5:{len(f'train: {{objective: {objective}, method: ') + 1} train.method: `objective: {objective}` is "
            "trained with one of lora, rslora, dora",
        )
        for objective in ("dpo", "classification")
        for method in ("full", "prefix_tuning", "prompt_tuning")
    ),
    (
        "a key of a baseline's training",
        (arm("kind: adapter, train: {method: full, rank: 4}"),),
        "7:52 systems.arm.train.rank: has no effect with method full; take it out",
    ),
    (
        "seeds of a baseline",
        (arm("kind: adapter, train: {rank: 4, seeds: 2}"),),
        "7:48 systems.arm.train.seeds: several seeds judge the candidate's recipe; a baseline is trained once",
    ),
    ("no targets", (training("targets: []"),), "5:18 train.targets: "),
    (
        "the word for every layer as a layer",
        (training("targets: [all-linear]"),),
        "5:19 train.targets.0: is no name of a layer; for every linear layer write `targets: all-linear`",
    ),
    (
        "the output layer of a baseline's training",
        (arm("kind: adapter, train: {targets: [q_proj, lm_head]}"),),
        "7:50 systems.arm.train.targets.1: cannot be a target: servers do not load such adapters",
    ),
    (
        "an alpha that no adapter may have",
        (training("alpha: 65537"),),
        "5:16 train.alpha: must be less than or equal to 65536, not 65537",
    ),
    (
        "general rows for preferences",
        (training("objective: dpo"), ("test: test.jsonl", "test: test.jsonl, mix: {from: general.jsonl}")),
        "4:50 data.mix: general rows have no rejected answer, so dpo cannot learn from them",
    ),
    (
        "general rows for a classifier",
        (training("objective: classification"), ("test: test.jsonl", "test: test.jsonl, mix: {from: general.jsonl}")),
        "4:50 data.mix: general rows have no class, so classification cannot learn from them",
    ),
    (
        "a training of the candidate's own",
        ((CANDIDATE, f"{CANDIDATE}, train: {{rank: 4}}"),),
        "7:54 systems.candidate.train: the candidate's training is the suite's own `train` section",
    ),
    (
        "rows that a candidate from a folder does not read",
        (FROM_A_FOLDER, training("rows: pairs.jsonl")),
        "5:15 train.rows: has no effect, since the candidate comes from a folder; take it out",
    ),
    *(
        (
            f"a baseline adapter with {declared or 'nothing'}",
            (arm(f"kind: adapter{declared}"),),
            "7:8 systems.arm: a baseline adapter needs one of `from: promoted`, `from: FOLDER` and `train`",
        )
        for declared in ("", ", from: promoted, train: {}", ", from: mine, train: {}")
    ),
]
SAME = "7:8 systems.arm: is made exactly like the candidate, which would be compared with itself"
TWINS: list[tuple[str, tuple[Change, ...], str]] = [
    ("the candidate's training", (arm("kind: adapter, train: {epochs: 2}"),), SAME),
    ("its defaults said", (arm("kind: adapter, train: {epochs: 2, rank: 16, objective: sft}"),), SAME),
    (
        "its training, one of several seeds",
        (training("epochs: 2, seeds: 3"), arm("kind: adapter, train: {epochs: 2}")),
        SAME,
    ),
    (
        "its training, and its message said",
        (arm("kind: adapter, system: a.txt, train: {epochs: 2}"), ("{kind: prompt}", "{kind: prompt, system: a.txt}")),
        SAME,
    ),
    ("its folder", (FROM_A_FOLDER, arm("kind: adapter, from: mine")), SAME),
]

# --- rows ------------------------------------------------------------------------------------------------------------

IN_TRAIN = "`data.train`, and it has the preferences of candidate, which belong into `rows` of its training"
ROWS: list[tuple[str, tuple[Change, ...], str]] = [
    ("no rows", (NO_ROWS,), "4:7 data: `train` rows are required, since this suite trains"),
    (
        "no rows of a baseline",
        (NO_ROWS, training("rows: own.jsonl"), arm("kind: adapter, train: {}")),
        "4:7 data: `train` rows are required, since this suite trains",
    ),
    (
        "shots from preferences",
        (training("objective: dpo"), arm("kind: few_shot")),
        f"7:8 systems.arm: needs the labelled rows of {IN_TRAIN}",
    ),
    (
        "nearest shots from preferences",
        (training("objective: dpo"), arm("kind: few_shot, selection: nearest")),
        f"7:8 systems.arm: needs the labelled rows of {IN_TRAIN}",
    ),
    (
        "a search of preferences",
        (training("objective: dpo"), arm("kind: retrieval")),
        f"7:8 systems.arm: needs `documents`, or the labelled rows of {IN_TRAIN}",
    ),
    (
        "shots from texts",
        (training("objective: continued_pretraining"), arm("kind: few_shot")),
        "7:8 systems.arm: needs the labelled rows of `data.train`, and it has the raw texts of candidate",
    ),
    *(
        (
            f"{declared} without rows",
            (FROM_A_FOLDER, NO_ROWS, arm(declared)),
            f"7:8 systems.arm: needs {instead}the labelled rows of `data.train`, and it is not given",
        )
        for declared, instead in (("kind: few_shot", ""), ("kind: retrieval", "`documents`, or "))
    ),
    (
        "shots without labelled rows, as the candidate has its own",
        (training("rows: own.jsonl"), NO_ROWS, arm("kind: few_shot")),
        "7:8 systems.arm: needs the labelled rows of `data.train`, and it is not given",
    ),
    (
        "a baseline's preferences in the candidate's rows",
        (arm("kind: adapter, train: {objective: dpo}"),),
        "7:31 systems.arm.train: learns from preferences, and `data.train` has the labelled rows of candidate; name",
    ),
    (
        "the candidate's texts in a baseline's rows",
        (training("objective: continued_pretraining"), arm("kind: adapter, train: {}")),
        "5:8 train: learns from raw texts, and `data.train` has the labelled rows of arm; name its own in `rows`",
    ),
    (
        "texts among preferences",
        (training("objective: dpo"), arm("kind: adapter, train: {objective: continued_pretraining}")),
        "5:8 train: learns from preferences, and `data.train` has the raw texts of arm; name its own in `rows`",
    ),
    *(
        (
            f"validation rows that {declared} does not use",
            (training(declared), ("test: test.jsonl", "test: test.jsonl, validation: held.jsonl")),
            "4:57 data.validation: no training learns from labelled rows, so none would use these; give a share",
        )
        for declared in ("objective: dpo", "objective: continued_pretraining", "rows: own.jsonl")
    ),
]

# --- arms and judges -------------------------------------------------------------------------------------------------

REMOTE = 'kind: endpoint, base_url: "https://a.example/v1", model: m'
JUDGE = 'base_url: "https://a.example/v1", model: m, rubric: r.txt'
ASKED = ("{kind: better_than}", "{kind: better_than}\n  - {kind: preferred, judge: fair}")


def judge(more: str = "", name: str = "fair") -> Change:
    """A judge, on line 7 of the plain suite."""
    return "systems:\n", f"judges:\n  {name}: {{{JUDGE}{more}}}\nsystems:\n"


ARMS: list[tuple[str, tuple[Change, ...], str]] = [
    *(
        (
            f"a grammar over {over}",
            (arm(f"kind: constrained, regex: a, over: {over}"), ("systems:\n", f"systems:\n  far: {{{REMOTE}}}\n")),
            f"8:44 systems.arm.over: '{over}' is not a prompt/few_shot/retrieval arm; known: bare",
        )
        for over in ("candidate", "far", "arm", "nobody")
    ),
    (
        "two grammars",
        (arm("kind: constrained, over: bare, regex: a, lark: a.lark"),),
        "7:8 systems.arm: one grammar at a time: `regex` or `lark`, or neither for the JSON Schema",
    ),
    (
        "no grammar",
        (arm("kind: constrained, over: bare"),),
        "7:8 systems.arm: needs `data.schema`, the JSON Schema of an answer, or `regex`, or `lark`",
    ),
    (
        "another model as the only prompt arm",
        (("{kind: prompt}", "{kind: prompt, model: smollm2-360m-instruct}"),),
        "7:3 systems: a baseline of `kind: prompt` is required, without a `model`: the base model is always an arm",
    ),
    (
        "a constrained prompt as the only one of the base model",
        (
            ("{kind: prompt}", "{kind: prompt, model: smollm2-360m-instruct}"),
            arm("kind: constrained, over: bare, regex: a"),
        ),
        "7:3 systems: a baseline of `kind: prompt` is required, without a `model`",
    ),
    (
        "no bare prompt with the candidate's message",
        ((CANDIDATE, f"{CANDIDATE}, system: a.txt"),),
        "7:3 systems: no `kind: prompt` baseline has the candidate's own system message",
    ),
    (
        "another model with the candidate's message",
        ((CANDIDATE, f"{CANDIDATE}, system: a.txt"), arm("kind: prompt, model: smollm2-360m-instruct, system: a.txt")),
        "7:3 systems: no `kind: prompt` baseline has the candidate's own system message",
    ),
    (
        "a replica's name",
        (("bare:", "candidate@seed2:"), training("seeds: 3")),
        "8:20 systems.candidate@seed2: string should match pattern",
    ),
    ("an unasked judge", (judge(),), "7:9 judges.fair: no `preferred` check asks this judge; add one, or take the"),
    (
        "an unknown judge",
        (("{kind: better_than}", "{kind: better_than}\n  - {kind: preferred, judge: fair}"),),
        "11:30 checks.1.judge: 'fair' is not one of `judges`; known: none",
    ),
    (
        "another judge",
        (judge(name="unfair"), ASKED),
        "13:30 checks.1.judge: 'fair' is not one of `judges`; known: unfair",
    ),
    (
        "a judge of a system that is no baseline",
        (judge(), ("{kind: better_than}", "{kind: better_than}\n  - {kind: preferred, judge: fair, baselines: [me]}")),
        "13:47 checks.1.baselines: 'me' is not a baseline of this suite; known: bare",
    ),
    (
        "a judge of nothing",
        (judge(), ("{kind: better_than}", "{kind: better_than}\n  - {kind: preferred, judge: fair, baselines: []}")),
        "13:47 checks.1.baselines: an empty list compares with nothing",
    ),
    (
        "a baseline named twice",
        (("{kind: better_than}", "{kind: better_than, baselines: [bare, bare]}"),),
        "10:36 checks.0.baselines: 'bare' is named twice",
    ),
    (
        "a judge's address with a query",
        (("systems:\n", f"judges:\n  fair: {{{JUDGE.replace('/v1', '/v1?key=x')}}}\nsystems:\n"), ASKED),
        "7:20 judges.fair.base_url: must be an address such as https://host/v1, without user name, password, query",
    ),
    (
        "a judge's key in the clear",
        (("systems:\n", f"judges:\n  fair: {{key_env: KEY, {JUDGE.replace('https', 'http')}}}\nsystems:\n"), ASKED),
        "7:34 judges.fair.base_url: must be https, since the key would travel readable for all",
    ),
    (
        "a judge's key itself",
        (("systems:\n", f"judges:\n  fair: {{key_env: sk-secret, {JUDGE}}}\nsystems:\n"), ASKED),
        "7:19 judges.fair.key_env: must be the name of an environment variable, in capitals, and not the key itself",
    ),
    (
        "one price of a judge",
        (judge(", price_output: 1"), ASKED),
        "7:9 judges.fair: a cost needs both prices, `price_input` and `price_output`",
    ),
    (
        "prices of a judge in no currency",
        (judge(", price_input: 1, price_output: 2"), ASKED),
        "7:82 judges.fair.price_input: is in no currency; add `prices`, with a `currency` and what a `machine_hour`",
    ),
    (
        "prices of an endpoint in no currency",
        (arm(f"{REMOTE}, price_input: 0, price_output: 0"),),
        "7:82 systems.arm.price_input: is in no currency; add `prices`, with a `currency` and what a `machine_hour`",
    ),
    *(
        (
            f"no judgement in mode {mode}",
            (judge(), ASKED, ("checks:\n", f"statistics: {{mode: {mode}}}\nchecks:\n")),
            f"14:5 checks.1: `preferred` needs mode fixed, not {mode}",
        )
        for mode in ("hybrid", "anytime")
    ),
    (
        "a judgement of several answers",
        (judge(), ASKED, ("checks:\n", "decoding: {temperature: 0.5, samples: 2}\nchecks:\n")),
        "14:5 checks.1: `preferred` compares one answer with one, and each test example has several",
    ),
    (
        "log-probabilities of a server",
        (
            arm(REMOTE),
            ("checks:\n", "scorers:\n  - {name: sure, kind: brier, confidence: logprob}\nchecks:\n"),
            ("{kind: better_than}", "{kind: better_than}\n  - {kind: better_than, scorer: sure}"),
        ),
        "14:33 checks.1.scorer: 'sure' needs log-probabilities, which a server does not say; leave arm out of",
    ),
]

# --- a gate that decides nothing -------------------------------------------------------------------------------------

WEAK = ("  bare: {kind: prompt}", "  bare: {kind: prompt, system: a.txt}\n  poor: {kind: prompt, system: nonsense.txt}")
NOT_COMPARED = ": no blocking `better_than` check against the bare prompt, under the candidate's system message"
VACUOUS: list[tuple[str, tuple[Change, ...], str]] = [
    (
        "only a worse prompt is beaten",
        (WEAK, ("{kind: better_than}", "{kind: better_than, baselines: [poor]}")),
        f"11:3 checks{NOT_COMPARED}",
    ),
    (
        "only a worse prompt than the candidate's is beaten",
        (
            WEAK,
            (CANDIDATE, f"{CANDIDATE}, system: nonsense.txt"),
            ("{kind: better_than}", "{kind: better_than, baselines: [bare]}"),
        ),
        f"11:3 checks{NOT_COMPARED}",
    ),
    (
        "only another model is beaten",
        (
            arm("kind: prompt, model: smollm2-360m-instruct"),
            ("{kind: better_than}", "{kind: better_than, baselines: [arm]}"),
        ),
        f"11:3 checks{NOT_COMPARED}",
    ),
    (
        "only a constrained arm is beaten",
        (
            arm("kind: constrained, over: bare, regex: a"),
            ("{kind: better_than}", "{kind: better_than, baselines: [arm]}"),
        ),
        f"11:3 checks{NOT_COMPARED}",
    ),
    ("only a slice is won", (("{kind: better_than}", "{kind: better_than, tag: easy}"),), f"10:3 checks{NOT_COMPARED}"),
    (
        "only a judge is convinced",
        (judge(), ("{kind: better_than}", "{kind: preferred, judge: fair}")),
        f"12:3 checks{NOT_COMPARED}",
    ),
    (
        "only the recipe is better",
        (training("seeds: 3"), ("{kind: better_than}", "{kind: recipe_better_than}")),
        f"10:3 checks{NOT_COMPARED}",
    ),
]

# --- modes, samples, scorers, names ----------------------------------------------------------------------------------

BETTER = "{kind: better_than}"


def more(check: str) -> Change:
    """One more check, at 11:5 of the plain suite, or a line below what is put before it."""
    return BETTER, f"{BETTER}\n  - {{{check}}}"


EARLY: Change = ("checks:\n", "statistics: {mode: hybrid}\nchecks:\n")
MMLU: Change = ("checks:\n", "benchmarks: {mmlu: {task: mmlu, per_subject: null}}\nchecks:\n")
SCHEMA: Change = ("test: test.jsonl", "test: test.jsonl, schema: schema.json")
REST: list[tuple[str, tuple[Change, ...], str]] = [
    (
        "an error rate that the resamples cannot show",
        (("checks:\n", "statistics: {alpha: 0.00005}\nchecks:\n"),),
        "9:21 statistics.alpha: an `alpha` of 5e-05 is less than 9,999 resamples can show, so that nothing could pass",
    ),
    (
        "an error rate that is shared out too far",
        (("checks:\n", f"statistics: {{holdout_budget: {10**7}, resamples: 99999}}\nchecks:\n"),),
        "9:30 statistics.holdout_budget: an `alpha` of 0.05, shared out over 10,000,000",
    ),
    (
        "any of several in an early mode",
        (EARLY, more("kind: better_than, require: any")),
        "12:34 checks.1.require: `require: any` needs mode fixed, not hybrid",
    ),
    (
        "a slice in an early mode",
        (EARLY, more("kind: better_than, tag: hard")),
        "12:30 checks.1.tag: a slice cannot be judged in mode hybrid, which may stop before the slice is whole",
    ),
    (
        "validity on test in an early mode",
        (EARLY, SCHEMA, more("kind: valid_output, on: test")),
        "12:5 checks.1: `valid_output` on test needs mode fixed, since mode hybrid may stop early; use a probe",
    ),
    (
        "log-probabilities of a whole benchmark in an early mode",
        (EARLY, MMLU, more("kind: logprob_drop, benchmark: mmlu")),
        "13:5 checks.1: `logprob_drop` needs mode fixed, since mode hybrid may stop the benchmark early",
    ),
    (
        "several greedy answers",
        (("checks:\n", "decoding: {samples: 2}\nchecks:\n"),),
        "9:21 decoding.samples: greedy answers are all the same; several samples need a `temperature` above 0",
    ),
    (
        "a temperature that the engine does not have",
        (("checks:\n", "decoding: {temperature: 0.005}\nengine: {kind: vllm}\nchecks:\n"),),
        "9:25 decoding.temperature: vLLM takes 0.01 for anything between 0 and that; take 0 or a higher one, or "
        "`engine` out",
    ),
    (
        "validity of several answers",
        (
            ("checks:\n", "decoding: {samples: 2, temperature: 1}\nchecks:\n"),
            SCHEMA,
            more("kind: valid_output, on: test"),
        ),
        "12:5 checks.1: `valid_output` counts one answer to a case, and each test example has several; use a probe",
    ),
    (
        "a scorer twice",
        (("checks:\n", "scorers: [bleu, bleu]\nchecks:\n"),),
        "9:17 scorers.1: 'bleu' is already named above",
    ),
    (
        "a declared scorer twice",
        (("checks:\n", "scorers: [near, {name: near, kind: number}]\nchecks:\n"),),
        "9:24 scorers.1.name: 'near' is already named above",
    ),
    (
        "no pattern",
        (("checks:\n", "scorers: [{name: form, kind: regex, pattern: '('}]\nchecks:\n"),),
        "9:46 scorers.0.pattern: not a regular expression: ",
    ),
    (
        "too few seeds for a recipe",
        (training("seeds: 2"), more("kind: recipe_better_than")),
        "11:5 checks.1: `recipe_better_than` needs `train.seeds` of 3 or more",
    ),
    (
        "two checks of one name",
        (more("kind: better_than, name: a"), more("kind: healthy_training, name: a")),
        "11:36 checks.1.name: two checks are named 'a'",
    ),
    (
        "nothing that blocks",
        ((BETTER, "{kind: better_than, blocking: false}"),),
        "10:3 checks: no check is blocking: a gate that blocks nothing cannot ship anything",
    ),
    (
        "the promoted adapter as the candidate",
        ((CANDIDATE, f"{CANDIDATE}, from: promoted"),),
        "7:53 systems.candidate.from: the candidate cannot be the promoted adapter; that is a baseline",
    ),
    (
        "two candidates",
        (arm(CANDIDATE),),
        "7:3 systems: exactly one system must have `role: candidate`; found arm, candidate",
    ),
]
REFUSED = TRAININGS + TWINS + ROWS + ARMS + VACUOUS + REST


@pytest.mark.parametrize(("changes", "expected"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_suite_is_refused_with_the_place_of_what_is_wrong(changes: tuple[Change, ...], expected: str) -> None:
    found = problems(changed(PLAIN, *changes))
    assert any(line.startswith(f"suite.yaml:{expected}") for line in found), found


def test_one_problem_is_told_once_when_several_trainings_have_it() -> None:
    few = ("  bare:", "  few: {kind: few_shot}\n  bare:")
    found = problems(changed(PLAIN, NO_ROWS, arm("kind: adapter, train: {rank: 4}"), few))
    assert [line.split(" ")[1] for line in found] == ["data:", "systems.few:"]


@pytest.mark.parametrize("kind", CONSTRAINABLE)
def test_a_grammar_may_be_put_over_each_arm_that_writes_here(kind: str) -> None:
    text = changed(
        PLAIN, arm("kind: constrained, over: inner, lark: a.lark"), ("  bare:", f"  inner: {{kind: {kind}}}\n  bare:")
    )
    assert suite_of(text).constrained == ("inner", "arm")


@pytest.mark.parametrize("line", [line for line in FULL.splitlines() if line.startswith("  ")])
def test_every_problem_is_told_and_never_a_traceback_when_a_part_is_missing(line: str) -> None:
    text = FULL.replace(f"{line}\n", "")
    try:
        suite_of(text)
    except InvalidInputError as error:
        assert all(problem.startswith("suite.yaml:") for problem in str(error).splitlines())


def test_a_trained_baseline_without_a_candidate_is_told_and_no_traceback() -> None:
    text = changed(PLAIN, arm("kind: adapter, train: {rank: 4}"), (f"  candidate: {{{CANDIDATE}}}\n", ""))
    assert problems(text) == ["suite.yaml:7:3 systems: exactly one system must have `role: candidate`; found none"]


# --- files -----------------------------------------------------------------------------------------------------------

WITH_FILES = changed(
    FULL,
    ("{epochs: 2, seeds: 3}", "{epochs: 2, seeds: 3, rows: own.jsonl}"),
    ("quantize: 4bit", "quantize: 4bit, rows: other-rows.jsonl"),
    ("{kind: better_than}", "{kind: better_than}\n  - {kind: kl_divergence, prompts: general.jsonl}"),
    ("model: smollm2-360m-instruct", "model: {path: larger}"),
)
NAMED = [
    ("rows.jsonl", "4:15 data.train"),
    ("test.jsonl", "4:33 data.test"),
    ("probe.jsonl", "4:52 data.probe"),
    ("schema.json", "4:73 data.schema"),
    ("own.jsonl", "5:36 train.rows"),
    ("plain.txt", "9:32 systems.bare.system"),
    ("template.txt", "13:58 systems.manual.template"),
    ("answer.lark", "17:50 systems.listed.lark"),
    ("other-rows.jsonl", "18:70 systems.other.train.rows"),
    ("rubric.txt", "22:62 judges.fair.rubric"),
    ("general.jsonl", "25:36 checks.1.prompts"),
]


def write(folder: Path) -> Path:
    names = [name for name, _ in NAMED]
    for name in [*names, "wordy.txt"]:
        (folder / name).write_text("{}\n")
    for name in ("manual", "larger"):
        (folder / name).mkdir()
    (folder / "larger" / "config.json").write_text("{}")
    (folder / "suite.yaml").write_text(WITH_FILES)
    return folder


def test_a_suite_is_taken_when_all_its_files_are_there(tmp_path: Path) -> None:
    assert load_suite(write(tmp_path)).suite.suite == "full"


@pytest.mark.parametrize(("name", "place"), NAMED)
def test_a_missing_file_is_named_with_its_place(name: str, place: str, tmp_path: Path) -> None:
    (write(tmp_path) / name).unlink()
    with pytest.raises(InvalidInputError) as caught:
        load_suite(tmp_path)
    assert str(caught.value).replace(f"{tmp_path}/", "") == f"suite.yaml:{place}: no such file: {name}"


@pytest.mark.parametrize("instead", ["nothing", "a file"])
def test_documents_must_be_a_folder(instead: str, tmp_path: Path) -> None:
    shutil.rmtree(write(tmp_path) / "manual")
    if instead == "a file":
        (tmp_path / "manual").write_text("text")
    with pytest.raises(InvalidInputError, match=r":13:40 systems\.manual\.documents: no such folder: .*manual$"):
        load_suite(tmp_path)


IN_NO_CATALOGUE = (
    "model 'smollm2' is not in the catalogue (smollm2-135m-instruct); "
    "for the hub write `model: {hub: OWNER/NAME, revision: COMMIT}`, for a folder `model: {path: FOLDER}`"
)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("larger}}", "nowhere}}", "11:40 systems.larger.model.path: no such model: nowhere is no folder with a config"),
        ("{path: larger}", "smollm2", f"11:33 systems.larger.model: {IN_NO_CATALOGUE}"),
        ("-135m-instruct", "", f"3:8 model: {IN_NO_CATALOGUE}"),
        ("smollm2-135m-instruct", "{path: manual}", "3:15 model.path: no such model: manual is no folder with a con"),
    ],
)
def test_a_model_must_be_there(old: str, new: str, expected: str, tmp_path: Path) -> None:
    text = changed(WITH_FILES, (old, new))
    (write(tmp_path) / "suite.yaml").write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        load_suite(tmp_path)
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(f"suite.yaml:{expected}")
    parse_suite(text, tmp_path / "suite.yaml", {}, files=False)  # of a stored run, wherever it is read


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("task: mine", "9:27 benchmarks.mine.task: 'mine' is neither `mmlu` nor a folder with a task.yaml in "),
        ("task: mmlu, mmlu_dir: far", "9:43 benchmarks.mine.mmlu_dir: no such folder: far"),
    ],
)
def test_a_benchmark_must_be_there(declared: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(
        changed(PLAIN, ("checks:\n", f"benchmarks: {{mine: {{{declared}}}}}\nchecks:\n"))
    )
    for name in ("rows.jsonl", "test.jsonl"):
        (tmp_path / name).write_text("{}\n")
    with pytest.raises(InvalidInputError) as caught:
        load_suite(tmp_path)
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(f"suite.yaml:{expected}")
