"""Show one row of a suite's data as the candidate meets it: what stands before its answer, and what is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.data.formats import describe, to_examples
from harness.data.local_tokenizer import LocalTokenizer
from harness.data.reading import read_declared
from harness.data.splits import training_rows
from harness.engine.chat import prompt_ids, text_ids, training_ids, with_system
from harness.errors import InvalidInputError
from harness.prepare import system_message
from harness.records import Example
from harness.suite.declaration import RowsRef
from harness.suite.load import LoadedSuite
from harness.suite.training import Train

LEARNED = ("train", "validation", "mix")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRow:
    """One row of a suite, before a tokenizer has seen it."""

    example: Example
    held: str  # what its file holds
    train: Train | None  # the training that learns from it, or measures its loss on it
    system: str | None  # the candidate's system message, where the row gets one


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Tokens of one kind in a row, as the text that they stand for."""

    text: str
    tokens: int
    trained: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """A row as the model gets it; a preference is two, named by their answers."""

    name: str
    spans: tuple[Span, ...]

    @property
    def tokens(self) -> int:
        """All tokens."""
        return sum(span.tokens for span in self.spans)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRow:
    """A row, how it is rendered, and what the model is not shown of it."""

    where: str
    held: str
    renderings: tuple[Rendering, ...]
    reference: str | None  # the answer or class, where no token of it is trained
    notes: tuple[str, ...]


def find_row(loaded: LoadedSuite, part: str, number: int | None) -> FoundRow:
    """The row of `data`'s part that begins at line (of Parquet: is row) `number`, by default the first.

    Raises:
        InvalidInputError: there is no such part or row, or a row of the file does not fit.
        BrokenRunError: the hub cannot be reached.
    """
    suite = loaded.suite
    train = suite.trainings.get(suite.candidate)
    declared = _declared(loaded, part, train)
    source = read_declared(loaded, declared)
    if part == "train" and train is not None:
        examples = training_rows(source, train)
    else:
        examples = to_examples(source, labelled=part != "probe")
    if not examples:
        raise InvalidInputError(f"{declared}: no rows")
    places = [int(str(example.source).rpartition(":")[2]) for example in examples]
    if number is not None and number not in places:
        raise InvalidInputError(f"{declared}: no row begins at {number}; the first is at {places[0]}")
    return FoundRow(
        example=examples[places.index(number) if number is not None else 0],
        held=describe(source),
        train=train if part in LEARNED else None,
        system=system_message(loaded, suite.candidate, None) if part != "mix" else None,
    )


def _declared(loaded: LoadedSuite, part: str, train: Train | None) -> RowsRef:
    data = loaded.suite.data
    declared: RowsRef | float | None = {
        "train": (train.rows if train else None) or data.train,
        "validation": data.validation,
        "test": data.test,
        "probe": data.probe,
        "mix": data.mix.source if data.mix else None,
    }[part]
    if declared is None:
        raise InvalidInputError(f"data.{part}: this suite has no such rows")
    if isinstance(declared, float):
        raise InvalidInputError(f"data.validation: {declared:.0%} of the training rows; see them with --file train")
    return declared


def render_row(found: FoundRow, tokenizer: LocalTokenizer) -> ShownRow:
    """A row in the tokens of a model.

    Raises:
        InvalidInputError: the chat template refuses the row, or does not put its answer directly after its prompt.
    """
    example, train = found.example, found.train
    try:
        renderings, reference = _render(found, tokenizer)
    except InvalidInputError as error:
        raise InvalidInputError(f"{example.source}: {error}") from None
    longest = max(rendering.tokens for rendering in renderings)
    notes = []
    if train is not None and longest > train.max_length:
        over = f"{longest:,} tokens are over train.max_length, {train.max_length:,}"
        notes.append(f"{over}: the row is refused, or loses its beginning where train.max_truncated allows it")
    return ShownRow(
        where=str(example.source), held=found.held, renderings=renderings, reference=reference, notes=tuple(notes)
    )


def _render(found: FoundRow, tokenizer: LocalTokenizer) -> tuple[tuple[Rendering, ...], str | None]:
    example, train = found.example, found.train
    objective = train.objective if train is not None else ""
    if not example.messages:  # raw text, every token of which is trained
        ids = [*text_ids(tokenizer, example.target or ""), tokenizer.eos_token_id]
        return (Rendering(name="", spans=(_span(tokenizer, ids, trained=True),)),), None
    messages = with_system(example.messages, found.system)
    if objective in ("", "classification"):
        prompt = _span(tokenizer, prompt_ids(tokenizer, messages), trained=False)
        return (Rendering(name="", spans=(prompt,)),), example.target
    pair = {"chosen": example.target, "rejected": example.rejected}
    answers = pair if example.rejected is not None else {"": example.target}
    renderings = []
    for name, answer in answers.items():
        before, trained = training_ids(tokenizer, messages, str(answer))
        spans = (_span(tokenizer, before, trained=False), _span(tokenizer, trained, trained=True))
        renderings.append(Rendering(name=name, spans=spans))
    return tuple(renderings), None


def _span(tokenizer: LocalTokenizer, ids: Sequence[int], *, trained: bool) -> Span:
    return Span(text=tokenizer.decode(ids), tokens=len(ids), trained=trained)
