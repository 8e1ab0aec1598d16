"""What every arm took to answer: tokens, seconds and cost, when a training pays, and where the effort was unequal."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from itertools import chain

from harness.findings import ArmUse, BreakEven
from harness.records import Prediction, TrainingHistory
from harness.suite.declaration import HubModel, LocalModel, ModelRef
from harness.suite.schema import Suite
from harness.suite.systems import ConstrainedSystem, EndpointSystem, PromptSystem

FAR_MORE = 0.05  # of an arm's answers cut off beyond the share of the arm that was cut off least
SECONDS_PER_HOUR = 3600
PER_PRICE = 1_000_000  # tokens that an endpoint's price is for


def arm_use(suite: Suite, present: Collection[str], predictions: Sequence[Prediction]) -> tuple[ArmUse, ...]:
    """What the answers to the test set took, for each system that is `present`.

    The candidate stands first, then the baselines in the order of the suite with a constrained arm directly below
    the arm that it constrains, then the candidate's further trainings. A local arm costs its seconds at the price
    of a machine hour, an endpoint its tokens at its prices.

    Raises:
        ValueError: a time is not finite.
    """
    answers: dict[str, list[Prediction]] = {name: [] for name in _ordered(suite, present)}
    for prediction in predictions:
        if prediction.dataset == "test" and prediction.system in answers:
            answers[prediction.system].append(prediction)
    return tuple(_use(suite, name, given) for name, given in answers.items())


def _ordered(suite: Suite, present: Collection[str]) -> Iterator[str]:
    names = [name for name in (suite.candidate, *suite.baselines, *suite.replicas) if name in present]
    over = {name: arm for name in names if (arm := _constrained_arm(suite, name)) in names}
    for name in names:
        if name not in over:
            yield name
            yield from (constrained for constrained, arm in over.items() if arm == name)


def _constrained_arm(suite: Suite, name: str) -> str | None:
    spec = suite.systems.get(name)
    return spec.over if isinstance(spec, ConstrainedSystem) else None


def _use(suite: Suite, name: str, given: Sequence[Prediction]) -> ArmUse:
    answered = [row for row in given if row.error is None]
    spec = suite.systems.get(name)
    # Only a server can leave counts out; a classifier writes no token and still answers.
    remote = isinstance(spec, EndpointSystem)
    uncounted = [row for row in answered if remote and not (_prompt_counted(row) and _output_counted(row))]
    prompts_known = not remote or all(map(_prompt_counted, answered))
    outputs_known = not remote or all(map(_output_counted, answered))
    prompt_tokens = _mean([row.prompt_tokens for row in answered], known=prompts_known)
    output_tokens = _mean([row.output_tokens for row in answered], known=outputs_known)
    seconds = _mean([row.seconds for row in answered], known=True)
    if isinstance(spec, EndpointSystem):
        cost = _token_cost(spec, prompt_tokens, output_tokens)
    else:
        cost = machine_cost(suite, seconds)
    return ArmUse(
        system=name,
        requests=len(given),
        errors=len(given) - len(answered),
        truncated=sum(row.stop == "length" for row in answered),
        uncounted=len(uncounted),
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        seconds=seconds,
        cost=cost if cost is None else cost * 1000,
        over=_constrained_arm(suite, name),
    )


def _prompt_counted(row: Prediction) -> bool:
    """Whether the prompt's tokens were counted: none is empty, and an endpoint's missing count is stored as 0."""
    return row.prompt_tokens > 0


def _output_counted(row: Prediction) -> bool:
    return row.output_tokens > 0 or not row.text


def _mean(values: Sequence[float], *, known: bool) -> float | None:
    if not values or not known:
        return None
    mean = math.fsum(values) / len(values)
    if not math.isfinite(mean):
        raise ValueError("what an answer took must be finite")
    return mean


def _token_cost(spec: EndpointSystem, prompt_tokens: float | None, output_tokens: float | None) -> float | None:
    """The cost of one request; None where a price or a count is missing."""
    if spec.price_input is None or spec.price_output is None or prompt_tokens is None or output_tokens is None:
        return None
    return (prompt_tokens * spec.price_input + output_tokens * spec.price_output) / PER_PRICE


def machine_cost(suite: Suite, seconds: float | None) -> float | None:
    """What this machine costs for so long, in the suite's currency; None where its price or the time is not known."""
    if suite.prices is None or seconds is None:
        return None
    return seconds * suite.prices.machine_hour / SECONDS_PER_HOUR


def break_even(suite: Suite, arms: Sequence[ArmUse], training: TrainingHistory | None) -> tuple[BreakEven, ...]:
    """When the candidate's training is paid back, against each arm that is an endpoint with prices.

    The training costs its seconds at the price of a machine hour; a machine that waits for requests costs nothing.
    """
    candidate = next((arm for arm in arms if arm.system == suite.candidate), None)
    spent = machine_cost(suite, training.seconds if training else None)
    return tuple(_break_even(suite, candidate, arm, spent) for arm in arms if _is_priced(suite, arm.system))


def _is_priced(suite: Suite, name: str) -> bool:
    spec = suite.systems.get(name)
    return isinstance(spec, EndpointSystem) and spec.price_input is not None


def _break_even(suite: Suite, candidate: ArmUse | None, endpoint: ArmUse, spent: float | None) -> BreakEven:
    ours = candidate.cost if candidate is not None else None
    saving = endpoint.cost - ours if endpoint.cost is not None and ours is not None else None
    requests, unknown = None, ""
    if ours is None:
        unknown = "the candidate answered no request"
    elif saving is None:
        unknown = "the server left out token counts" if endpoint.uncounted else "the endpoint answered no request"
    elif saving > 0 and spent is None:
        unknown = "the candidate was not trained in this run"
    elif saving > 0 and spent is not None:
        requests = math.ceil(spent / saving * 1000)
    return BreakEven(endpoint=endpoint.system, requests=requests, training_cost=spent, saving=saving, unknown=unknown)


def effort_differences(suite: Suite, arms: Sequence[ArmUse]) -> tuple[str, ...]:
    """What is unequal between the arms beyond what each of them is, as declared or measured; one sentence each."""
    declared = chain.from_iterable(_declared_differences(suite, arm) for arm in arms)
    return (*declared, *_failures(arms), *_cut_off(suite, arms))


def _declared_differences(suite: Suite, arm: ArmUse) -> Iterator[str]:
    spec, decoding = suite.systems.get(arm.system), suite.decoding
    if isinstance(spec, EndpointSystem):
        yield (
            f"{arm.system} counts its tokens, and its limit of {decoding.max_new_tokens:,}, by its server's tokenizer; "
            f"its seconds are those of one request with the network, up to {spec.concurrency} at a time, "
            f"those of a local arm a share of its batch of up to {decoding.batch_size}"
        )
        if decoding.temperature > 0:
            yield f"{arm.system} draws its answers with its server's random numbers, local arms all with the same"
    elif isinstance(spec, PromptSystem) and spec.model is not None:
        yield (
            f"{arm.system} has a model of its own, {_model_name(spec.model)} instead of {_model_name(suite.model)}, "
            "and counts tokens by that model's tokenizer"
        )
    elif isinstance(spec, ConstrainedSystem):
        yield f"{arm.system} is {spec.over} held to {_grammar(spec)} while it answers; {spec.over} answers freely"


def _model_name(model: ModelRef) -> str:
    match model:
        case HubModel():
            return f"{model.hub} at {model.revision[:7]}"
        case LocalModel():
            return model.path
        case _:
            return model


def _grammar(spec: ConstrainedSystem) -> str:
    if spec.lark is not None:
        return f"the grammar {spec.lark}"
    return "the JSON Schema" if spec.regex is None else "a regular expression"


def _failures(arms: Sequence[ArmUse]) -> Iterator[str]:
    for arm in arms:
        if arm.errors:
            yield f"{arm.errors:,} of {arm.requests:,} requests of {arm.system} failed; its means leave them out"
        if arm.uncounted:
            yield (
                f"the server of {arm.system} did not report the tokens of {arm.uncounted:,} of "
                f"{arm.requests - arm.errors:,} answers, so that its mean tokens and its cost are not known"
            )


def _cut_off(suite: Suite, arms: Sequence[ArmUse]) -> Iterator[str]:
    """The arms that the length limit cut off in far more of their answers than the arm it touched least."""
    shares = {arm.system: arm.truncated / answered for arm in arms if (answered := arm.requests - arm.errors)}
    least = min((arm for arm in arms if arm.system in shares), key=lambda arm: shares[arm.system], default=None)
    for arm in arms:
        if least is not None and arm.system in shares and shares[arm.system] - shares[least.system] >= FAR_MORE:
            yield (
                f"{arm.truncated:,} of {arm.requests - arm.errors:,} answers of {arm.system} were cut off at the limit "
                f"of {suite.decoding.max_new_tokens:,} tokens, {least.truncated:,} of "
                f"{least.requests - least.errors:,} of {least.system}"
            )
