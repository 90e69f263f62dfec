"""The file extractors read what people have: patterns, folders, lists, columns that drift, partitions, and only what is new."""

import csv
import gzip
import io
import json
import os
from pathlib import Path

import duckdb
import pyarrow
import pytest
from conftest import OSIRIS
from pyarrow import parquet

FORMATS = ["csv", "json", "parquet"]
STEP = "read"


def content(format: str, rows: list[dict], folder: Path) -> bytes:
    """Rows as a file. Values are numbers, texts or None; Parquet gets DuckDB's types for them."""
    if format == "json":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if format == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    source, target = folder / "rows.ndjson", folder / "rows.parquet"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with duckdb.connect() as connection:
        connection.execute(f"copy (from read_json('{source}', format = 'newline_delimited')) to '{target}' (format parquet)")
    return target.read_bytes()


class Inputs:
    def __init__(self, project, format: str, folder: Path):
        self.project, self.format, self.folder = project, format, folder

    def write(self, name: str, *rows: dict) -> None:
        self.project.write(name, content(self.format, list(rows), self.folder))

    def step(self, path, **config) -> dict:
        return {"id": STEP, "component": f"filesystem.{self.format}_extractor", "config": {"path": path, **config}}

    def read(self, path, sql: str = "from main order by all", *arguments, **config) -> list[tuple]:
        return self.project.rows(self.run(path, *arguments, **config), STEP, sql)

    def run(self, path, *arguments, expect: int = 0, **config) -> dict:
        return self.project.run([self.step(path, **config)], *arguments, expect=expect)

    def error(self, path, **config) -> str:
        result = self.run(path, expect=1, **config)
        return result["step"][STEP]["error"]["message"]

    def refusal(self, path, **config) -> str:
        return self.run(path, expect=2, **config)["stderr"]


@pytest.fixture(params=FORMATS)
def inputs(request, project, tmp_path_factory) -> Inputs:
    return Inputs(project, request.param, tmp_path_factory.mktemp("made"))


@pytest.fixture
def csvs(project, tmp_path_factory) -> Inputs:
    return Inputs(project, "csv", tmp_path_factory.mktemp("made"))


def test_a_pattern_a_folder_and_a_list_stand_for_files_in_the_order_of_their_names(inputs):
    ending = inputs.format
    for number, name in enumerate(["in/b", "in/a", "in/deep/c", "in/.hidden", "in/_marker", "other/d"]):
        inputs.write(f"{name}.{ending}", {"n": number})
    names = lambda path, **more: [Path(name).stem for (name,) in inputs.read(path, "select filename from main", filename=True, **more)]  # noqa: E731
    assert names(f"in/*.{ending}") == ["_marker", "a", "b"]
    assert names("in") == ["a", "b", "c"]
    assert names(f"in/**/?.{ending}") == ["a", "b", "c"]
    assert names("**/[cd].*") == ["c", "d"]
    assert names(f"in/.*.{ending}") == [".hidden"]
    # A file is read once, whatever stands for it.
    assert names([f"other/*.{ending}", "in", f"in/a.{ending}", f"./in/../in/b.{ending}"]) == ["a", "b", "c", "d"]
    # The control: a single file, with the column's name as the author wants it.
    assert inputs.read(f"./in/a.{ending}", filename="source") == [(1, f"in/a.{ending}")]


def test_a_file_whose_name_is_a_pattern_is_that_file(inputs):
    inputs.write(f"a[1].{inputs.format}", {"n": 1})
    inputs.write(f"a1.{inputs.format}", {"n": 2})
    assert inputs.read(f"a[1].{inputs.format}") == [(1,)]
    assert inputs.read(f"a[12].{inputs.format}") == [(2,)]


def test_columns_that_differ_are_an_error_unless_they_are_united_by_name(inputs):
    inputs.write(f"in/1.{inputs.format}", {"id": 1, "a": "x"})
    inputs.write(f"in/2.{inputs.format}", {"B": "y", "id": 2})
    message = inputs.error("in")
    assert f"`in/2.{inputs.format}` has other columns than `in/1.{inputs.format}`: it lacks `a`, and has also `B`" in message and "union_by_name" in message, message
    assert inputs.read("in", "select id, a, b from main order by id", union_by_name=True) == [(1, "x", None), (2, None, "y")]
    assert inputs.read("in", columns=["B", "id"], union_by_name=True) == [("y", 2), (None, 1)]


def test_a_type_is_that_of_all_files_together(inputs):
    for name, value in (("1", 1), ("2", 2), ("3", 2.5)):
        inputs.write(f"in/{name}.{inputs.format}", {"v": value, "w": value if name != "3" else 3_000_000_000})
    if inputs.format == "parquet":
        # Its files have types of their own.
        message = inputs.error("in", union_by_name=True)
        assert "column `v` is DOUBLE in `in/3.parquet`, but BIGINT in `in/1.parquet`" in message and "separate steps" in message, message
        assert inputs.project.types(inputs.run("in", columns=["w"]), STEP) == {"w": "BIGINT"}
        return
    assert inputs.project.types(inputs.run("in"), STEP) == {"v": "DOUBLE", "w": "BIGINT"}
    assert inputs.read("in", "select v, w from main order by v") == [(1, 1), (2, 2), (2.5, 3_000_000_000)]


def test_the_files_path_becomes_columns_whose_values_do_not_change(inputs):
    for path, number in (("day=2024-01-31/n=1/code=007", 1), ("day=2024-02-29/n=-2/code=a%2Fb", 2), ("day=2024-03-01/n=3/code=__HIVE_DEFAULT_PARTITION__", 3)):
        inputs.write(f"lake/{path}/rows.{inputs.format}", {"v": number})
    result = inputs.run("lake", hive_partitioning=True)
    assert inputs.project.types(result, STEP) == {"v": "BIGINT", "day": "DATE", "n": "BIGINT", "code": "VARCHAR"}
    assert inputs.project.rows(result, STEP, "select v, day::varchar, n, code from main order by v") == [(1, "2024-01-31", 1, "007"), (2, "2024-02-29", -2, "a/b"), (3, "2024-03-01", 3, None)]
    # Without the option, folders are folders.
    assert inputs.read("lake") == [(1,), (2,), (3,)]
    inputs.write(f"lake/day=2024-03-02/rows.{inputs.format}", {"v": 4})
    assert "is partitioned by" in inputs.error("lake", hive_partitioning=True)
    assert inputs.read("lake", "select v, n, code from main where n is null", hive_partitioning=True, union_by_name=True) == [(4, None, None)]
    inputs.write(f"clash/v=1/rows.{inputs.format}", {"v": 4})
    assert "`v` is a column of the files, and also" in inputs.error("clash", hive_partitioning=True)


def test_only_new_files_are_read_and_each_once(inputs):
    inputs.write(f"in/1.{inputs.format}", {"id": 1, "a": "x"})
    new = {"new_files_only": True, "filename": True, "union_by_name": True}
    path = f"in/*.{inputs.format}"
    assert inputs.read(path, **new) == [(1, "x", f"in/1.{inputs.format}")]
    # Nothing is new: the columns are known, and there are no rows.
    result = inputs.run(path, **new)
    assert inputs.project.rows(result, STEP) == [] and inputs.project.types(result, STEP) == {"id": "BIGINT", "a": "VARCHAR", "filename": "VARCHAR"}
    inputs.write(f"in/2.{inputs.format}", {"id": 2, "a": "y"})
    inputs.write(f"in/0.{inputs.format}", {"id": 0, "a": "late"})
    assert [row[0] for row in inputs.read(path, **new)] == [0, 2]
    assert inputs.read(path, **new) == []
    # A file that was touched, but has the same content, was read.
    os.utime(inputs.project.folder / f"in/1.{inputs.format}")
    assert inputs.read(path, **new) == []
    # One that has changed is an error, or read again as a whole.
    inputs.write(f"in/1.{inputs.format}", {"id": 9, "a": "x"})
    message = inputs.error(path, **new)
    assert f"`in/1.{inputs.format}` has changed since it was read" in message and "on_changed_file" in message, message
    assert [row[0] for row in inputs.read(path, **new, on_changed_file="read")] == [9]
    assert inputs.read(path, **new) == []
    assert "exclude each other" in inputs.error(path, **new, limit=1)


def test_files_of_a_run_that_fails_are_read_again(inputs):
    inputs.write(f"in/1.{inputs.format}", {"id": 1})
    read = inputs.step("in", new_files_only=True)
    broken = {"id": "later", "component": "duckdb.processor", "inputs": {"rows": {"from_step": STEP}}, "config": {"query": "select error('no') from rows"}}
    inputs.project.run([read, broken], expect=1)
    assert inputs.read("in", new_files_only=True) == [(1,)]


def test_an_error_in_one_of_many_files_names_it(inputs):
    for number in range(5):
        inputs.write(f"in/{number}.{inputs.format}", {"id": number, "v": "x"})
    broken = {"csv": "id,v\n1,\"x\n", "json": '{"id": 1, "v": \n', "parquet": "PAR1 is not enough"}[inputs.format]
    inputs.project.write(f"in/3.{inputs.format}", broken)
    message = inputs.error("in")
    assert f"in/3.{inputs.format}" in message and not any(f"in/{number}." in message for number in (0, 1, 2, 4)), message


def test_a_limit_counts_the_rows_of_all_files(inputs):
    for number in range(4):
        inputs.write(f"in/{number}.{inputs.format}", {"id": 2 * number}, {"id": 2 * number + 1})
    assert inputs.read("in", limit=5) == [(number,) for number in range(5)]
    assert inputs.read("in", limit=0) == []


def test_a_parquet_column_without_values_takes_the_type_of_the_others(project):
    for name, values in (("1", [None, None]), ("2", ["x", None]), ("3", [None, None])):
        target = project.write(f"in/{name}.parquet", "")
        parquet.write_table(pyarrow.table({"v": pyarrow.array(values, pyarrow.string() if name == "2" else pyarrow.null())}), target)
    step = {"id": STEP, "component": "filesystem.parquet_extractor", "config": {"path": "in"}}
    result = project.run([step])
    assert project.types(result, STEP) == {"v": "VARCHAR"} and project.rows(result, STEP, "select count(v), count(*) from main") == [(1, 6)]


# Grants

def test_no_match_is_an_error_before_anything_runs(inputs):
    inputs.project.write("empty/.keep", "")
    stderr = inputs.refusal(f"in/*.{inputs.format}")
    assert "no file matches it" in stderr and "there is no folder `in`" in stderr, stderr
    assert "the folder has no file" in inputs.refusal("empty")
    assert "there is no such file" in inputs.refusal(["empty", f"x.{inputs.format}"][1:])


def test_a_pattern_reaches_nothing_outside_and_none_of_osiris_own_files(csvs, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.csv").write_text("secret\n42\n")
    (outside / "more").mkdir()
    (outside / "more" / "secret.csv").write_text("secret\n42\n")
    csvs.write("in/a.csv", {"n": 1})
    for path in ("../*/*.csv", f"{outside}/*.csv", "/etc/*", "in/../../*", f"{outside}/**"):
        assert "outside the base folder" in csvs.refusal(path), path
    # The control: a symlink inside the base folder is followed, and the file is read once.
    os.symlink("a.csv", csvs.project.folder / "in" / "b.csv")
    os.symlink("../in", csvs.project.folder / "in" / "loop")
    assert csvs.read("in/**/*.csv") == [(1,)]
    for link, target, pattern in (("in/x.csv", outside / "secret.csv", "in/*.csv"), ("in/y", outside / "more", "in/**/*.csv"), ("in/z", outside, "in/*/secret.csv"), ("in/f", outside, "in")):
        os.symlink(target, csvs.project.folder / link)
        stderr = csvs.refusal(pattern)
        assert "cannot read" in stderr and link in stderr and "42" not in stderr, stderr
        (csvs.project.folder / link).unlink()
    assert csvs.read("in/**/*.csv") == [(1,)]


def test_a_match_that_is_no_file_or_osiris_own_is_refused(csvs):
    csvs.write("in/a.csv", {"n": 1})
    csvs.project.write("osiris_connections.yaml", "connections: {}\n")
    csvs.project.run([csvs.project.sql("select 1 as a")])
    for pattern in ("*.yaml", "osiris_*", ".osiris_sessions/**/*.duckdb", ".osiris_sessions/latest", ".o*/*/data/*"):
        stderr = csvs.refusal(pattern)
        assert "Osiris's own files" in stderr or "no file matches" in stderr or "no such file" in stderr, (pattern, stderr)
    assert "Osiris's own files" in csvs.refusal("*.yaml")
    assert "Osiris's own files" in csvs.refusal([".osiris_sessions/*/data/*", "in"])
    os.mkfifo(csvs.project.folder / "in" / "pipe.csv")
    assert "it is no plain file" in csvs.refusal("in/*.csv")
    os.unlink(csvs.project.folder / "in" / "pipe.csv")
    os.link(csvs.project.folder / "in" / "a.csv", csvs.project.folder / "in" / "b.csv")
    assert "2 names (hard links)" in csvs.refusal("in/*.csv")
    os.unlink(csvs.project.folder / "in" / "b.csv")
    os.symlink("gone.csv", csvs.project.folder / "in" / "b.csv")
    assert "there is no such file" in csvs.refusal("in/*.csv")
    os.unlink(csvs.project.folder / "in" / "b.csv")
    name = os.fsencode(csvs.project.folder) + b"/in/\xff.csv"
    Path(os.fsdecode(name)).write_text("n\n2\n")
    assert "name is not UTF-8" in csvs.refusal("in/*.csv")
    os.unlink(name)
    assert csvs.read("in/*.csv") == [(1,)]


def test_a_policy_bounds_what_a_pattern_reaches(csvs):
    csvs.write("in/a.csv", {"n": 1})
    csvs.write("other/b.csv", {"n": 2})
    csvs.project.write("policy.yaml", "read: [in]\n")
    policy = ("--policy", "policy.yaml")
    assert csvs.read("in", "from main", *policy) == [(1,)]
    assert csvs.read("in/*.csv", "from main", *policy) == [(1,)]
    for path in ("other/*.csv", "*/a.csv", "**", "other"):
        assert "the policy allows to read" in csvs.run(path, *policy, expect=2)["stderr"], path
    # A symlink in the folder that the policy names may not lead to another one.
    os.symlink("../other", csvs.project.folder / "in" / "there")
    assert "in/there" in csvs.run("in", *policy, expect=2)["stderr"]


def test_a_file_that_appears_after_the_files_were_found_is_not_read(csvs):
    """A step that writes a file while another one reads the folder: what was found before it started is what it gets."""
    csvs.write("in/1.csv", {"n": 1})
    csvs.project.pipeline([csvs.step("in"), {"id": "late", "component": "filesystem.csv_writer", "inputs": {"rows": {"from_step": STEP}}, "config": {"path": "in/2.csv"}}])
    first = csvs.project.run(None)
    assert csvs.project.rows(first, STEP) == [(1,)]
    second = csvs.project.run(None)
    assert csvs.project.rows(second, STEP, "select count(*) from main") == [(2,)]


def test_a_pattern_may_wait_for_what_another_step_writes(csvs):
    made = {"id": "made", "component": "filesystem.csv_writer", "inputs": {"rows": {"from_step": "source"}}, "config": {"path": "out/made.csv", "create_dirs": True}}
    result = csvs.project.run([csvs.project.sql("select 5 as n"), made, csvs.step("out/*.csv") | {"needs": ["made"]}])
    assert csvs.project.rows(result, STEP) == [(5,)]


def test_plan_tells_how_many_files_match(csvs):
    for number in range(3):
        csvs.write(f"in/{number}.csv", {"n": number})
    csvs.project.pipeline([csvs.step(["in/*.csv", "in/0.csv"])])
    words = csvs.project.osiris("plan", "pipeline.yaml").stdout
    assert "matches  3 files (12 B) at present: `in/*.csv`" in words and "in/0.csv`; " not in words.split("matches")[1], words
    planned = json.loads(csvs.project.osiris("plan", "pipeline.yaml", "--json").stdout)
    assert planned["steps"][0]["files"] == [{"path": "in/*.csv", "files": 3, "bytes": 12}, {"path": "in/0.csv", "files": 1, "bytes": 4}]


def test_patterns_work_on_a_worker(inputs):
    for number in range(3):
        # Two of the files have the same content.
        inputs.write(f"in/{number}.{inputs.format}", {"n": number // 2})
    config = {"filename": True, "new_files_only": True}
    worker = ("--on", f"{OSIRIS} worker --slots 2")
    expected = [(0, f"in/0.{inputs.format}"), (0, f"in/1.{inputs.format}"), (1, f"in/2.{inputs.format}")]
    assert inputs.read(f"in/?.{inputs.format}", "from main", *worker, **config) == expected
    assert inputs.read(f"in/?.{inputs.format}", "from main", *worker, **config) == []


def test_thousands_of_files_are_one_table_and_more_are_refused(csvs):
    folder = csvs.project.folder / "in"
    folder.mkdir()
    for number in range(1500):
        (folder / f"{number:05}.csv").write_text(f"n\n{number}\n")
    assert csvs.read("in", "select count(*), sum(n) from main") == [(1500, 1500 * 1499 // 2)]
    assert csvs.read("in", "select count(distinct filename), max(n) from main", filename=True) == [(1500, 1499)]
    for number in range(1500, 5001):
        (folder / f"{number:05}.csv").write_text("n\n1\n")
    assert "more than 5000 files" in csvs.refusal("in")


def month(number: int) -> tuple[str, list[dict]]:
    """A monthly file as a shop's till exports it: columns come and go, and change their order, their type and their delimiter."""
    rows = []
    for n in range(500):
        row = {"id": number * 1000 + n, "amount": str(n) if number < 13 else f"{n}.{n % 100:02}"}
        row |= {"currency": ["EUR", "USD"][n % 2]} if number >= 7 else {}
        row |= {"note": f"till {n}, shift" if n % 3 else ""} if number >= 20 else {}
        row |= {"vat": "19" if number < 24 else "07"} if number >= 15 else {}
        rows.append(row)
    columns = list(rows[0]) if number != 10 else ["currency", "amount", "id"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, delimiter=";" if number == 18 else ",", lineterminator="\r\n" if number % 5 == 0 else "\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue(), rows


def test_24_monthly_files_with_drifting_columns_become_one_table_day_by_day(csvs):
    project, expected = csvs.project, {}
    for number in range(1, 25):
        text, rows = month(number)
        name = f"data/monthly/{2023 + (number - 1) // 12}-{(number - 1) % 12 + 1:02}.csv"
        project.write(name + (".gz" if number == 5 else ""), gzip.compress(text.encode()) if number == 5 else text)
        expected |= {row["id"]: (name + (".gz" if number == 5 else ""), row) for row in rows}
    assert "data/monthly/2023-07.csv` has other columns than `data/monthly/2023-01.csv`: it has also `currency`" in csvs.error("data/monthly/*")
    config = {"union_by_name": True, "filename": True, "new_files_only": True}
    # A bad file stops the run, which names it; the file that replaces it is read with the others.
    bad = project.folder / "data/monthly/2024-03.csv"
    good = bad.read_text()
    bad.write_text(good[: len(good) // 2] + '"\n')
    assert "data/monthly/2024-03.csv" in csvs.error("data/monthly/*", **config)
    bad.write_text(good)
    # A run whose later step fails has read nothing.
    later = {"id": "later", "component": "duckdb.processor", "inputs": {"rows": {"from_step": STEP}}, "config": {"query": "select error('interrupted') from rows"}}
    project.run([csvs.step("data/monthly/*", **config), later], expect=1)
    result = csvs.run("data/monthly/*", **config)
    types = {"id": "BIGINT", "amount": "DOUBLE", "currency": "VARCHAR", "vat": "VARCHAR", "note": "VARCHAR", "filename": "VARCHAR"}
    assert project.types(result, STEP) == types
    rows = project.rows(result, STEP, "select id, amount, currency, vat, note, filename from main order by id")
    wanted = [(id, float(row["amount"]), row.get("currency"), row.get("vat"), row.get("note") or None, name) for id, (name, row) in sorted(expected.items())]
    assert len(rows) == 12_000 and rows == wanted
    # A late file, and then nothing.
    project.write("data/monthly/2022-12.csv", "id,amount\n1,5\n")
    assert csvs.read("data/monthly/*", **config) == [(1, 5, "data/monthly/2022-12.csv")]
    result = csvs.run("data/monthly/*", **config)
    assert project.rows(result, STEP) == [] and project.types(result, STEP) == {"id": "BIGINT", "amount": "BIGINT", "filename": "VARCHAR"}
