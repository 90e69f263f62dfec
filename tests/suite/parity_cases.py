"""The pipelines that must give the same in every place, each with named cases, which are some of its steps."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import duckdb
from conftest import Project
from http_server import Reply, Request, Server
from http_steps import SECRET
from test_types import ALL_TYPES, HOSTILE_NAMES, NESTED

STATE_KEY = "secret.of.a.state.7a1b"


@dataclass(frozen=True)
class Pipeline:
    name: str
    cases: dict[str, list[dict]]
    code: int = 1
    arguments: tuple[str, ...] = ()
    prepare: Callable[[Project], None] = lambda _: None
    more: dict = field(default_factory=dict)
    """Other keys of the pipeline."""
    runs: int = 1

    @property
    def steps(self) -> list[dict]:
        return [step for steps in self.cases.values() for step in steps]


def step(id: str, component: str, needs: str | list[str] = [], more: dict = {}, **config) -> dict:
    return {"id": id, "component": component, "needs": [needs] if isinstance(needs, str) else needs, "config": config} | more


def sql(id: str, query: str, needs: str | list[str] = []) -> dict:
    return step(id, "duckdb.processor", needs, query=query)


def copy(source: str, language: str = "rust") -> dict:
    return step(f"{source}-{language}", f"test.passthrough_{language}", source)


def misbehave(how: str, **config) -> dict:
    return step(how, "test.misbehave", how=how, **config)


def inputs(**tables: tuple[str, str]) -> dict:
    return {"inputs": {alias: {"from_step": source, "table": table} for alias, (source, table) in tables.items()}}


NAMES = ", ".join(f"""{place} as "{name.replace('"', '""')}\"""" for place, name in enumerate(HOSTILE_NAMES) if name and name != "Main")
REJECTED = "select i as id, case when i % 3 = 0 then 'row ' || i || ' is odd' end as reason from range(10) t(i)"

TABLES = {
    "all types, by SQL": [sql("all", ALL_TYPES), sql("all-again", "from df_all", "all")],
    "all types, by columns, in Rust": [copy("all")],
    "all types, by columns, in Python": [copy("all", "python")],
    "all types, by columns, in C": [copy("all", "c")],
    "nested types": [sql("nested", NESTED), copy("nested")],
    "names that are hard to quote": [sql("names", f"select {NAMES}"), copy("names")],
    "no rows": [sql("none", f"{ALL_TYPES} limit 0"), copy("none")],
    "rows of some megabytes": [sql("many", "select i, md5(i::varchar) as t from range(40000) r(i)"), copy("many")],
    "several tables": [
        step("json", "test.json_rows", "nested", {"rejects": 2}, reject=[{"id": 1}, "unparsable;line"]),
        sql("rejected", "from r") | inputs(r=("json", "rejected")),
        sql("about", "select x.attempt, y.uuid from x, y") | inputs(x=("json", "about"), y=("all", "main")),
    ],
    "no table that another step reads": [step("other", "test.json_rows", "nested", table="other"), sql("reads-main", "from other", "other")],
    "rejected rows": [sql("rejects", REJECTED), step("rejecting", "test.rejecting", "rejects", {"rejects": 4})],
    "rejected rows that nobody allowed": [step("rejecting-none", "test.rejecting", "rejects")],
    "more rejected rows than allowed": [step("rejecting-more", "test.rejecting", "rejects", {"rejects": 3})],
    "a secret that hashes": [
        sql("people", "select 'ann' as name, 'ann@example.com' as mail"),
        step("masked", "mask.processor", "people", columns={"mail": "hash", "name": {"method": "partial", "keep": 1}}, key="${MASK_KEY}"),
    ],
    "parameters": [sql("parameters", "select '${params.day}' as day")],
}


def files(project: Project) -> None:
    project.write("in.csv", "id;naïve name\n1;ä\n2;\n3;\"a;b\"\n")
    project.write("many.csv", "id,t\n" + "".join(f"{n},{'x' * 60}\n" for n in range(40_000)))
    project.write("in ä'\".csv", "a\n1\n")
    project.write("in.json.gz", gzip.compress(b'{"a": 1, "b": [1.50, null]}\n{"a": 12345678901234567890}\n', mtime=0))
    project.write("broken.json", '{"a": 1}\n{"a": ')
    for kept in ("taken.csv", "kept.csv", "kept.json", "kept.txt"):
        project.write(kept, "before\n")
    with duckdb.connect() as connection:
        connection.execute(f"copy (select i, i::decimal(38, 3) as d, [i, null] as l, {{'a': 'ü' || i}} as s, timestamptz '2026-01-01' as t from range(10) r(i)) to '{project.folder}/in.parquet'")


def read(format: str, id: str, path: str, **config) -> dict:
    return step(id, f"filesystem.{format}_extractor", path=path, **config)


def write(format: str, id: str, needs: str, path: str) -> dict:
    return step(id, f"filesystem.{format}_writer", needs, path=path)


FILES = {
    "CSV is read": [read("csv", "csv", "in.csv"), read("csv", "csv-many", "many.csv")],
    "a file with an odd name": [read("csv", "csv-name", "in ä'\".csv")],
    "CSV that does not fit its types": [read("csv", "csv-type", "in.csv", dtype={"naïve name": "INTEGER"})],
    "CSV of which lines are skipped": [read("csv", "csv-skip", "in.csv", dtype={"naïve name": "INTEGER"}, on_bad_lines="skip")],
    "JSON is read": [read("json", "json-gz", "in.json.gz")],
    "JSON that is cut off": [read("json", "json-broken", "broken.json")],
    "Parquet is read": [read("parquet", "parquet", "in.parquet")],
    "CSV is written": [write("csv", "csv-write", "csv", "new/folder/out.csv"), write("csv", "csv-replace", "csv-many", "taken.csv")],
    "JSON is written": [write("json", "json-write", "csv", "out.json")],
    "Parquet is written": [write("parquet", "parquet-write", "csv-many", "out.parquet")],
    "a writer that refuses a value": [sql("nan", "select 'nan'::double as d"), write("json", "nan-json", "nan", "kept.json")],
    "files that are granted and not created": [step("keep", "test.keep", write=["kept.csv", "new.txt", "never.txt"], create=["new.txt"], warn=3)],
    "a file that is not granted": [step("keep-foreign", "test.keep", write=["w.txt"], create=["w.txt", "kept.txt"])],
}

TRAPS = "trap error half-table lie-rows bad-utf8 bad-offsets short-buffer panic exit claim-memory twin-columns twin-tables nameless-column half-float print".split()
ERRORS = {f"a driver's {how}": [misbehave(how)] for how in TRAPS} | {
    "SQL that is wrong": [
        sql("syntax", "selekt 1"),
        sql("column", "select b from nan", "nan"),
        sql("cast", "select a::int from (select 'y' as a)"),
        sql("raised", "select error('no: ' || d) from nan", "nan"),
    ],
    "SQL that is refused": [sql("file", "from read_text('/etc/passwd')"), sql("copy", "copy (select 1) to 'x.csv'"), sql("setting", "select current_setting('threads')")],
    "a step behind one that failed": [sql("after", "from raised", "raised")],
    "progress": [misbehave("slow", rows=20_000)],
    "secrets in errors and logs": [
        step("secret-error", "test.attack", "nan", attack="secret_in_error", key=STATE_KEY, file="out1.txt"),
        step("secret-logs", "test.attack", "nan", attack="secret_in_logs", key=STATE_KEY, file="out2.txt"),
    ],
}


def pages(request: Request) -> dict:
    first = "page" not in request.query
    return {"items": [{"n": n, "text": "ü"} for n in (range(3) if first else range(3, 5))], "next": 2 if first else None}


def serve(server: Server) -> None:
    later = {"Retry-After": "0"}
    server.route("/pages", pages)
    server.route("/busy", lambda request: [{"n": 1}] if request.number > 2 else Reply({}, 503, later))
    server.route("/always", lambda _: Reply({}, 503, later))
    server.route("/limited", lambda _: Reply({"why": "slow down"}, 429, later))
    server.route("/denied", lambda request: Reply({"you sent": request.headers["authorization"]}, 401))
    server.route("/absent", lambda _: Reply({"message": "no such thing"}, 404))
    server.route("/away", lambda _: Reply({}, 302, {"Location": "http://127.0.0.2:1/x"}))
    server.route("/nonsense", lambda _: Reply(body=b"<html>", headers={"Content-Type": "text/html"}))
    server.route("/cut", lambda _: Reply(headers={"content-length": "100"}, stream=lambda _: [b'[{"a": 1}']))


def get(id: str, retries: int = 0, connection: str = "api", **config) -> dict:
    more = {"retries": retries} if retries else {}
    return step(id, "http.extractor", [], more, connection=f"@http.{connection}", path=f"/{id}", retry_delay=0.01, max_retries=0, **config)


HTTP = {
    "HTTP: pages": [get("pages", records_path="$.items", pagination={"type": "cursor", "param": "page", "path": "$.next"})],
    "HTTP: a server that is busy twice": [get("busy", 3)],
    "HTTP: retries that do not help": [get("always", 1), get("limited", 1)],
    "HTTP: a refusal that repeats the secret": [get("denied")],
    "HTTP: not found": [get("absent", 3)],
    "HTTP: a redirect to a host that is not granted": [get("away")],
    "HTTP: an answer that is not JSON": [get("nonsense")],
    "HTTP: an answer that is cut off": [get("cut")],
    "HTTP: a host where nobody answers": [get("nobody", 1, "nobody")],
}


def database(family: str, title: str) -> dict:
    connection = f"@{family}.shop"
    return {
        f"{title}: written": [sql(f"{family}-rows", "select i::int as id, 'ü' || i as t, i / 4::decimal(9, 2) as d from range(2000) r(i)"), step(f"{family}-write", f"{family}.writer", f"{family}-rows", connection=connection, table="written", mode="replace")],
        f"{title}: read": [step(f"{family}-read", f"{family}.extractor", connection=connection, table="source")],
        f"{title}: no such table": [step(f"{family}-absent", f"{family}.extractor", connection=connection, table="absent")],
    }


def state(id: str, text: str, **config) -> dict:
    return step(id, "test.keep", connection="@db.dev", table=id, state=text, **config)


STATE = {
    "a state": [state("first", '{"at": [1.50, "ä", 12345678901234567890]}')],
    "a state that is not JSON": [state("no-json", "{")],
    "a state that contains a secret": [state("state-secret", '{"at": "SECRET"}', key=STATE_KEY)],
    "a state that is lost with its reader": [state("lost", "1"), sql("reader", "select error('no') from lost", "lost")],
}

LIMITS = {
    "a driver's memory": [misbehave("memory")],
    "DuckDB's memory": [sql("engine", "select list(repeat('x', 100) || i) as l from range(3000000) r(i)")],
    "the size of an output": [sql("output", "select md5(i::varchar) as a, md5((i + 1)::varchar) as b from range(1000000) r(i)")],
    "the size of the log": [misbehave("print")],
}
TIME = {"the time limit": [misbehave("loop")], "the time limit of a driver that sleeps": [misbehave("print-and-sleep")]}

PIPELINES = [
    Pipeline(
        "everything", TABLES | FILES | ERRORS | HTTP | database("postgres", "PostgreSQL") | database("mysql", "MariaDB"),
        prepare=files, more={"params": {"day": {"default": "2026-11-26"}}},
    ),
    Pipeline("state", STATE, runs=2),
    Pipeline("limits", LIMITS, arguments=("--guest-memory", "32MB", "--engine-memory", "64MB", "--output-size", "5MB", "--spill", "5MB", "--log-size", "20kB")),
    Pipeline("time", TIME, arguments=("--step-timeout", "2")),
]  # fmt: skip
