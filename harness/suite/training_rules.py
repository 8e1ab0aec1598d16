"""What must hold for the trainings of a suite: each can be made, and has rows of the form that it learns from."""

from __future__ import annotations

from collections.abc import Iterator

from harness.suite.schema import Suite
from harness.suite.source import Path
from harness.suite.systems import FewShotSystem, RetrievalSystem
from harness.suite.training import LABELLED, LOW_RANK, VIRTUAL, Train

_NO_TARGETS = {  # that a list of layers may name
    "all-linear": "is no name of a layer; for every linear layer write `targets: all-linear`",
    "lm_head": "cannot be a target: servers do not load such adapters",
}


def training_problems(suite: Suite) -> Iterator[tuple[Path, str]]:
    """Whether each training is one that there is, and says nothing that it would not use."""
    for name, train in suite.trainings.items():
        is_candidate, here = suite.systems[name].role == "candidate", place_of_training(suite, name)
        if train.objective in {"dpo", "classification"} and train.method not in LOW_RANK:
            yield (*here, "method"), f"`objective: {train.objective}` is trained with one of {', '.join(LOW_RANK)}"
        for key in sorted(train.model_fields_set):
            if reason := _unused(key, train):
                yield (*here, key), f"has no effect with {reason}; take it out"
        for index, target in enumerate(train.targets if isinstance(train.targets, list) else ()):
            if target in _NO_TARGETS:
                yield (*here, "targets", index), _NO_TARGETS[target]
        if is_candidate and suite.data.mix is not None and train.objective in {"dpo", "classification"}:
            lacking = "rejected answer" if train.objective == "dpo" else "class"
            yield (
                ("data", "mix"),
                f"general rows have no {lacking}, so {train.objective} cannot learn from them; take `mix` out",
            )
        if not is_candidate and train.seeds > 1:
            yield (*here, "seeds"), "several seeds judge the candidate's recipe; a baseline is trained once"


def place_of_training(suite: Suite, name: str) -> Path:
    """Where the suite declares how a system is trained."""
    return ("train",) if suite.systems[name].role == "candidate" else ("systems", name, "train")


def _unused(key: str, train: Train) -> str:
    """Why a key of a training would change nothing; empty when it would."""
    if key in {"rank", "alpha", "dropout", "targets", "quantize"} and train.method not in LOW_RANK:
        return f"method {train.method}"
    if key == "virtual_tokens" and train.method not in VIRTUAL:
        return f"method {train.method}"
    return f"objective {train.objective}" if key == "beta" and train.objective != "dpo" else ""


def row_problems(suite: Suite) -> Iterator[tuple[Path, str]]:
    """Whether `data` has the rows that each training and each arm takes from it."""
    data, trainings = suite.data, suite.trainings
    taken = {name: train.form for name, train in trainings.items() if train.rows is None}
    if taken and data.train is None:
        yield ("data",), "`train` rows are required, since this suite trains"
    # A file has rows of one form: that of its labelled rows, where something learns from them.
    owner = min(taken, key=lambda name: taken[name] != LABELLED, default=None)
    for name, form in taken.items():
        if owner is not None and form != taken[owner]:
            message = f"learns from {form}, and `data.train` has the {taken[owner]} of {owner}; name its own in `rows`"
            yield place_of_training(suite, name), message
    shared = [name for name, train in trainings.items() if train.is_labelled]
    if not isinstance(data.validation, float) and trainings and not shared:
        message = "no training learns from labelled rows, so none would use these; give a share, such as 10%"
        yield ("data", "validation"), message
    lacking = "it is not given" if data.train is None else ""
    if owner is not None and taken[owner] != LABELLED:
        lacking = f"it has the {taken[owner]} of {owner}, which belong into `rows` of its training"
    for name, spec in suite.systems.items() if lacking else ():
        if isinstance(spec, FewShotSystem):
            yield ("systems", name), f"needs the labelled rows of `data.train`, and {lacking}"
        if isinstance(spec, RetrievalSystem) and spec.documents is None:
            yield ("systems", name), f"needs `documents`, or the labelled rows of `data.train`, and {lacking}"
