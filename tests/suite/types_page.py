"""docs/types.md: the type that each type becomes in each format, from the round trips that the tests make."""

import re

from conftest import ROOT
from round_trip import FORMATS, RUNS, Outcome, Run, Verdict

PATH = ROOT / "docs" / "types.md"
HEAD = """# Types in each format

Each row is a column of a table that was written by a format's writer and read again by the same format's reader, both with
default options. *Declared* means that the same file or table was read with the column's type in `dtype` (and for CSV with
`na_values: [""]` and `quoted_na: false`, which distinguish null from text). The tests make these round
trips with real servers and files and fail if this page is wrong; `BLESS=1` regenerates it. The values of each row are in
`tests/suite/type_cases.py`; they include a null.
[writing-types.md](writing-types.md) shows how each type is written to an existing table.

| word | meaning |
|---|---|
| `=` | the same type and the same values, doubles to the last bit |
| a type | the same values in that type |
| refused | the writer refuses the column, with its name in the error, and writes nothing |
| unread | the reader refuses the column, with its name in the error |
| warned | some values become null; a warning names the column and counts them |
"""


def cell(outcome: Outcome, marks: dict[str, str]) -> str:
    words = {Verdict.EQUAL: "=", Verdict.REFUSED: "refused", Verdict.UNREAD: "unread", Verdict.WARNED: "warned", Verdict.UNNAMED: "UNNAMED", Verdict.DIFFERENT: "DIFFERENT"}
    text = words.get(outcome.verdict) or shortened(outcome.detail)
    for note in sorted(outcome.notes):
        marks.setdefault(note, chr(ord("a") + len(marks)))
    return text + "".join(f" [{marks[note]}]" for note in sorted(outcome.notes))


def shortened(kind: str) -> str:
    kind = kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ").replace("TIME WITH TIME ZONE", "TIMETZ")
    kind = re.sub(r"^(STRUCT|MAP|UNION|ENUM)\(.*\)", r"\1", kind)
    return kind


def row_title(case: str) -> str:
    return f"`{case.removeprefix('all types: ')}`" if case.startswith("all types: ") else case


def page(cases: dict[str, str], outcomes: dict[tuple[Run, str], Outcome]) -> str:
    runs = [run for run in RUNS if any(one == run for one, _ in outcomes)]
    marks: dict[str, str] = {}
    whole = [case for case in cases if case.startswith("all types: ")]
    parts = [HEAD]
    for title, some in [("DuckDB's `test_all_types()`: smallest, largest, null", whole), ("Extremes", [case for case in cases if case not in whole])]:
        lines = ["| " + " | ".join(["column", *(run.title for run in runs)]) + " |", "|---" * (len(runs) + 1) + "|"]
        for case in some:
            cells = [cell(outcomes[run, case], marks) for run in runs]
            lines.append("| " + " | ".join([row_title(case), *cells]) + " |")
        parts.append(f"## {title}\n\n" + "\n".join(lines) + "\n")
    notes = "\n".join(f"- [{mark}] {note}" for note, mark in marks.items())
    return "\n".join([*parts, *([notes + "\n"] if notes else [])])


def refused(cases: dict[str, str]) -> set[tuple[str, str]]:
    """Which cases the page calls refused or unread, by format; all cases that it does not know."""
    rows = {}
    for line in PATH.read_text().splitlines() if PATH.exists() else []:
        name, *cells = line.strip("| ").split(" | ")
        if len(cells) == len(RUNS):
            rows[name] = dict(zip(RUNS, cells))
    alone = set()
    for case in cases:
        for format in FORMATS:
            cells = [text for run, text in rows.get(row_title(case), {}).items() if run.format == format]
            if not cells or any(text.startswith(("refused", "unread", "UNNAMED")) for text in cells):
                alone.add((format.name, case))
    return alone
