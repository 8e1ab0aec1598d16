"""A run as a table: one row per example, system and scorer, for pandas and for comparison.csv."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.records import Example, Prediction, Score, ScoredAnswer

if TYPE_CHECKING:
    import pandas as pd

# OWASP, "CSV Injection"; the full-width forms are read as the others.
_FORMULA = re.compile(r"[\s\x00-\x1f]*[-=+@\uff0b\uff0d\uff1d\uff20]")
_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


def comparison_frame(
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    scores: Sequence[ScoredAnswer],
    *,
    dataset: str,
) -> pd.DataFrame:
    """One row per example and system: tags, first answer, and a column for each scorer (empty where unscored)."""
    import pandas as pd

    by_id = {example.id: example for example in examples}
    rows = [
        {
            "example": item.example_id,
            "system": item.system,
            "tags": " ".join(by_id[item.example_id].tags),
            "input": by_id[item.example_id].messages[-1].content,
            "target": by_id[item.example_id].target,
            "answer": item.text,
            "stop": item.stop,
            "prompt_tokens": item.prompt_tokens,
            "output_tokens": item.output_tokens,
            "seconds": item.seconds,
            "error": item.error,
        }
        for item in predictions
        if item.dataset == dataset and item.sample == 0
    ]
    answers = pd.DataFrame(rows)
    values = pd.DataFrame(
        [
            {
                "example": item.example_id,
                "system": item.system,
                "scorer": item.scorer,
                "value": item.result.value if isinstance(item.result, Score) else None,
            }
            for item in scores
            if item.dataset == dataset
        ]
    )
    wide = values.pivot(index=["example", "system"], columns="scorer", values="value").reset_index()
    return answers.merge(wide, on=["example", "system"], how="left", validate="one_to_one")


def as_csv(frame: pd.DataFrame) -> str:
    """The table as CSV with a fixed number format, so that equal runs give equal bytes.

    A text that a spreadsheet would calculate gets an apostrophe before it, which tells a spreadsheet that it is text.
    A carriage return, which would end the row, is a line break.
    """
    shown = frame.copy()
    for name in shown.select_dtypes(exclude="number"):
        shown[name] = shown[name].map(_cell, na_action="ignore")
    buffer = io.StringIO()
    shown.to_csv(buffer, index=False, float_format="%.6g", lineterminator="\n")
    return buffer.getvalue()


def _cell(text: str) -> str:
    is_formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return f"'{lines}" if is_formula else lines


def as_json_lines(frame: pd.DataFrame) -> str:
    """The table as JSON Lines, one object a row, null where there is no value."""
    return frame.to_json(orient="records", lines=True, force_ascii=False, double_precision=15)


def as_parquet(frame: pd.DataFrame) -> bytes:
    """The table as Parquet."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()


FORMATS: dict[str, Callable[[pd.DataFrame], bytes]] = {
    ".csv": lambda frame: as_csv(frame).encode("utf-8"),
    ".jsonl": lambda frame: as_json_lines(frame).encode("utf-8"),
    ".parquet": as_parquet,
}
