"""What every rendering of one record looks like, kept byte for byte in `golden/`.

After an intended change, write them anew, and read the difference before committing it:

    .venv/bin/python tests/report/golden_files.py
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import lxml.html
from record_factory import complete, make_record, priced

from harness.report.html import render_html
from harness.report.junit import render_junit
from harness.report.markdown import render_markdown
from harness.report.metrics import flat_metrics
from harness.report.view import build_page

GOLDEN = Path(__file__).with_name("golden")
# Attributes that say what an element is; numbers of drawings and texts are left out.
SHOWN = ("id", "class", "role", "scope", "type", "name", "data-label", "data-copy", "aria-labelledby", "hidden", "open")


def renderings() -> dict[str, str]:
    """File name in `golden/` -> what is rendered now."""
    record = complete(priced(make_record("hold", rows=12, probes=3, errors=1, warnings=["something to know"])))
    page = build_page(record)
    return {
        "structure.html.txt": structure(render_html(page)),
        "summary.md": render_markdown(page),
        "junit.xml": render_junit(page),
        "metrics.json": json.dumps(flat_metrics(record), indent=2, ensure_ascii=False) + "\n",
    }


def structure(html: str) -> str:
    """The elements of a page, one a line and indented by depth; neighbours that are alike are counted."""
    return "\n".join(_lines(lxml.html.document_fromstring(html.encode()), "")) + "\n"


def _lines(element: lxml.html.HtmlElement, indent: str) -> list[str]:
    kept = "".join(f' {name}="{element.get(name)}"' for name in SHOWN if element.get(name) is not None)
    lines = [f"{indent}{element.tag}{kept}"]
    children = [_lines(child, indent + "  ") for child in element if isinstance(child.tag, str)]
    for alike, group in groupby(children):
        times = len(list(group))
        lines += alike if times == 1 else [f"{alike[0]} × {times}", *alike[1:]]
    return lines


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, text in renderings().items():
        (GOLDEN / name).write_text(text, encoding="utf-8")
