"""The same REST extractor and the same column processor, written with the SDKs in five languages, make identical tables.

The expected tables come from Python's own JSON and from SQL, not from a driver. The drivers are those that are built from
their sources, and those of tests/frozen, which were built once for each version of the contract.
"""

import datetime
import json
from decimal import Decimal

import pytest
from http_server import Reply, web  # noqa: F401  # a fixture
from languages import requested_imports
from same_drivers import FROZEN, built, frozen

TOKEN = "t0ken-of-the-test"


@pytest.fixture(scope="session", params=["built", *sorted(folder.name for folder in FROZEN.iterdir() if folder.is_dir())])
def drivers(request, tmp_path_factory):
    """A folder with both drivers in each language, and the languages of each."""
    folder = tmp_path_factory.mktemp("same-drivers")
    return built(folder) if request.param == "built" else frozen(folder, request.param)


def steps(component: str, languages: list[str], config: dict, needs: list[str]) -> list[dict]:
    return [{"id": language, "component": f"same.{component}_{language}", "needs": needs, "config": config} for language in languages]


# Members of a record as JSON text, so that no digit is decided by this file's own JSON writer, and what they become.
MEMBERS = {
    "id": ("{0}", "BIGINT", lambda i: i),
    "name": ('"naïve ☃ {0} 😀 \\u017e\\ud83d\\ude00\\n\\"q\\" \\\\ \\u0000"', "VARCHAR", lambda i: f'naïve ☃ {i} 😀 ž😀\n"q" \\ \0'),
    "maybe": ('"text {0}"', "VARCHAR", lambda i: f"text {i}"),
    "amount": ("{0}.25", "DECIMAL(18,2)", lambda i: Decimal(f"{i}.25")),
    "created_at": ('"2024-01-31T10:00:00.000001+02:00"', "TIMESTAMP WITH TIME ZONE", lambda _: datetime.datetime(2024, 1, 31, 8, 0, 0, 1, datetime.UTC)),
    "beyond_double": ("900719925474099{0}", "BIGINT", lambda i: int(f"900719925474099{i}")),
    "beyond_bigint": ("1844674407370955161{0}", "DECIMAL(38,0)", lambda i: Decimal(f"1844674407370955161{i}")),
    "exact": ("1234567890123456.00{0}1", "DECIMAL(38,4)", lambda i: Decimal(f"1234567890123456.00{i}1").quantize(Decimal("1.0000"))),
    "double": ("-{0}.125e-7", "DOUBLE", lambda i: float(f"-{i}.125e-7")),
    "flag": ("true", "BOOLEAN", lambda _: True),
    "day": ('"2024-02-29"', "VARCHAR", lambda _: "2024-02-29"),
    "tags": ('["a", null, "ž{0}"]', "VARCHAR[]", lambda i: ["a", None, f"ž{i}"]),
    "none_of_it": ("[]", "VARCHAR[]", lambda _: []),
    "nested": ('{{"a": {{"b": [{{"c": {0}}}, {{"c": null}}]}}, "d": "x"}}', "STRUCT(a STRUCT(b STRUCT(c BIGINT)[]), d VARCHAR)",
               lambda i: {"a": {"b": [{"c": i}, {"c": None}]}, "d": "x"}),
    "never": ("null", "VARCHAR", lambda _: None),
}  # fmt: skip


def record(i: int) -> tuple[str, list]:
    """A record as JSON text, and the row that it becomes. Each third record has nulls, each fifth lacks a member."""
    is_null = lambda name: i % 3 == 0 and name != "id"
    present = [name for name in MEMBERS if not (i % 5 == 4 and name == "maybe")]
    text = ", ".join(f'"{name}": {"null" if is_null(name) else MEMBERS[name][0].format(i)}' for name in present)
    row = [None if is_null(name) or name not in present else MEMBERS[name][2](i) for name in MEMBERS]
    return f"{{{text}}}", row


def test_a_rest_api_gives_the_same_table(project, drivers, web):
    records = [record(i) for i in range(10)]

    def page(request):
        if request.headers["authorization"] != f"Bearer {TOKEN}":
            return Reply({}, 401)
        if request.number % 4 == 2:
            return Reply({}, 429, {"Retry-After": "0"})
        number = int(request.query.get("page", "1"))
        items = ", ".join(text for text, _ in records[4 * number - 4 : 4 * number])
        body = f'{{"items": [{items}], "next": {number + 1 if number < 3 else "null"}}}'
        return Reply(body=body.encode())

    languages = drivers.languages["rest"]
    for language in languages:
        web.route(f"/{language}", page)
    project.write("osiris_connections.yaml", json.dumps({"connections": {"api": {"main": {"url": web.url}}}}))
    all_steps = steps("rest", languages, {"token": TOKEN}, [])
    for step in all_steps:
        step["config"] = step["config"] | {"url": f"{web.url}/{step['id']}"}
    result = project.run(all_steps, "--drivers", drivers.folder)
    expected = [row for _, row in records]
    # The drivers declare two columns.
    names = sorted(MEMBERS, key=lambda name: name not in ("amount", "created_at"))
    for language in languages:
        types = project.types(result, language)
        assert list(types.items()) == [(name, MEMBERS[name][1]) for name in names], language
        columns = ", ".join(f'epoch_us({name}) as {name}' if name == "created_at" else name for name in MEMBERS)
        rows = [list(row) for row in project.rows(result, language, f"select {columns} from main")]
        at = list(MEMBERS).index("created_at")
        for row in rows:
            row[at] = row[at] and datetime.datetime.fromtimestamp(0, datetime.UTC) + datetime.timedelta(microseconds=row[at])
        assert rows == expected, language
    asked = [[request.path[1:], request.query.get("page", "1")] for request in web.requests]
    assert {language: [page for name, page in asked if name == language] for language in languages} == {
        language: ["1", "2", "2", "3"] for language in languages
    }


# A column of each common type, null in every third row, with extreme values in the second.
COLUMNS = {
    "qty": "(case when i = 1 then -2147483648 else i end)::integer", "name": "case when i % 5 = 0 then '' else 'žluť 😀 ' || i || chr(0) end",
    "price": "(case when i = 1 then -9999999999999999.99 else i - 0.01 end)::decimal(18,2)", "flag": "i % 2 = 0",
    "ratio": "case when i = 1 then 'nan' when i = 2 then '-infinity' else i / 7 end::double",
    "day": "case when i = 1 then '1582-10-04' else '2024-02-28' end::date + i::integer",
    "at": "case when i = 1 then '1900-01-01 00:00:00.000001+00' else '2024-03-31 01:59:59.999999+00' end::timestamptz",
    "key": "md5(i::varchar)::uuid", "tags": "['a', null, 'ž' || i, ''][:i % 5]", "part": "{a: i::integer, b: case when i % 2 = 0 then 'x' end}",
    "i8": "(i % 100)::tinyint", "u64": "18446744073709551615::ubigint", "huge": "i::hugeint * 10::hugeint ** 30", "f32": "1.5::float",
    "raw": r"'\x00\xFF'::blob", "time": "time '23:59:59.999999'", "wall": "timestamp '2024-02-29 01:02:03.4'", "nanos": "make_timestamp_ns(i)",
    "span": "interval '1 month -2 days 3 microseconds'", "mood": "(['sad', 'ok'])[1 + i % 2]::enum('sad', 'ok')", "doc": """'{"a": [1.0]}'::json""",
    "deep": "[[1, i], [], null]::bigint[][]", "many": "[{a: 7::integer, b: null::varchar}]", "dict": "map {'a': i, 'k': null}",
    "either": "union_value(n := i)::union(n bigint, s varchar)", "bits": "'10101'::bit", "zoned": "timetz '10:00:00+02:00'",
}  # fmt: skip
SOURCE = "select i as id, " + ", ".join(f'case when i % 3 > 0 then {sql} end as "{name}"' for name, sql in COLUMNS.items()) + ", [i, null]::bigint[2] as fixed from range(5000) x(i)"
COMPUTED = {
    "double_qty": "qty::bigint * 2", "shout": "name || '!'", "owed": "(-price)::decimal(18,2)", "not_flag": "not flag", "half": "ratio / 2",
    "next_day": "day + 1", "same_at": '"at"', "same_key": "key", "tag_count": "len(tags)", "loud_tags": "[tag || '!' for tag in tags]", "part_a": "part.a::bigint",
}  # fmt: skip


def test_columns_give_the_same_table(project, drivers):
    everything = f"select *, {', '.join(f'{sql} as {name}' for name, sql in COMPUTED.items())} from source"
    expected = {"id": "expected", "component": "duckdb.processor", "needs": ["source"], "config": {"query": everything}}
    empty = project.sql(SOURCE + " limit 0", "empty")
    languages = drivers.languages["columns"]
    few = [step | {"id": f"empty_{step['id']}"} for step in steps("columns", languages, {}, ["empty"])]
    result = project.run([project.sql(SOURCE), expected, *steps("columns", languages, {}, ["source"]), empty, *few], "--drivers", drivers.folder)
    types = project.types(result, "expected")
    names = ", ".join(f'"{name}"' for name in types)
    with project.database(result, "expected") as connection:
        for language in languages:
            for step in (language, f"empty_{language}"):
                assert list(project.types(result, step).items()) == list(types.items()), step
            path = f"{result['session_path']}/data/{language}.duckdb"
            connection.execute(f"attach '{path}' as {language} (read_only)")
            differing = f"(select {names} from main except all select {names} from {language}.main) union all (select {names} from {language}.main except all select {names} from main)"
            assert connection.execute(f"select count(*) from {language}.main").fetchone() == (5000,)
            assert connection.execute(differing).fetchall() == [], language


def test_a_component_imports_what_its_spec_requests(project, drivers):
    for task, requested in (("rest", {"wasi:http/types", "wasi:http/outgoing-handler"}), ("columns", set())):
        for language in drivers.languages[task]:
            inspected = project.osiris("drivers", "inspect", f"same.{task}_{language}", "--drivers", drivers.folder, "--json").stdout
            assert requested_imports(json.loads(inspected)["imports"]) == requested, language
