"""Rows as JSON records: a driver reads them with every digit, and the host decides the types of those that it writes."""

import pytest

# A value of each type that JSON lacks or that programs often round, with the type that brings it back.
EXACT = {
    "b": ("true", "BOOLEAN"),
    "i": ("9007199254740993::bigint", "BIGINT"),
    "h": ("'-170141183460469231731687303715884105728'::hugeint", "HUGEINT"),
    "u": ("18446744073709551615::ubigint", "UBIGINT"),
    "d": ("12345678901234567890123456789012345.678::decimal(38,3)", "DECIMAL(38,3)"),
    "f": ("0.1::double", "DOUBLE"),
    "nan": ("'nan'::double", "DOUBLE"),
    "inf": ("'-inf'::double", "DOUBLE"),
    "t": ("'ü' || chr(10) || '\"\\'", "VARCHAR"),
    "day": ("date '2024-02-29'", "DATE"),
    "clock": ("time '10:00:00.123456'", "TIME"),
    "moment": ("timestamp '2024-01-31 10:00:00.123456'", "TIMESTAMP"),
    "ns": ("'2024-01-31 10:00:00.123456789'::timestamp_ns", "TIMESTAMP_NS"),
    "zoned": ("timestamptz '2024-01-31 10:00:00.123456+02'", "TIMESTAMP WITH TIME ZONE"),
    "id": ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "UUID"),
    "bits": ("'0101'::bit", "BIT"),
    "list": ("[0.10::decimal(4,2), null]", "DECIMAL(4,2)[]"),
    "nested": ("{'a': 9007199254740993, 'b': [{'c': date '2024-02-29'}]}", "STRUCT(a BIGINT, b STRUCT(c DATE)[])"),
    "json": ("'{\"k\":1.00}'::json", "JSON"),
}


def rows(project, config: dict, select: str = "select 1 as a", expect: int = 0) -> dict:
    return project.run([project.sql(select), {"id": "json", "component": "test.json_rows", "needs": ["source"], "config": config}], expect=expect)


def test_every_value_comes_back_exactly_with_its_declared_type(project):
    values = ", ".join(f"{value} as {name}" for name, (value, _) in EXACT.items())
    nulls = ", ".join("null" for _ in EXACT)
    result = rows(project, {"types": {name: kind for name, (_, kind) in EXACT.items()}}, f"select {values} union all select {nulls}")
    names = ", ".join(f"{name}::varchar" for name in EXACT)
    text = f"select {names} from main order by i nulls last"
    assert project.types(result, "json") == {name: kind for name, (_, kind) in EXACT.items()}
    assert project.rows(result, "json", text) == project.rows(result, "source", text)


def test_columns_may_be_chosen_and_queries_read(project):
    result = rows(project, {"columns": ["b", "a"]}, "select 1 as a, 'x' as b, 2 as c")
    assert project.types(result, "json") == {"b": "VARCHAR", "a": "BIGINT"}
    result = rows(project, {"select": "select a + 1 as more from source"})
    assert project.rows(result, "json", "from main") == [(2,)]
    missing = rows(project, {"columns": ["b"]}, expect=1)["step"]["json"]["error"]
    assert missing["kind"] == "not-found" and "its columns: `a`" in missing["message"], missing


def test_types_are_decided_over_all_records(project):
    pages = ['{"id": 1, "n": 1}\n{"id": 2}', '{"id": 9007199254740993, "n": 0.5, "late": [1]}', '{"n": null, "id": 3, "a": {"b": 1}, "A": ""}']
    result = rows(project, {"records": pages, "types": {"never": "DATE"}})
    assert project.types(result, "json") == {"id": "BIGINT", "n": "DOUBLE", "late": "BIGINT[]", "a_2": "STRUCT(b BIGINT)", "A": "VARCHAR", "never": "DATE"}
    assert project.rows(result, "json", "select id, n from main") == [(1, 1.0), (2, None), (9007199254740993, 0.5), (3, None)]
    assert any("another name" in warning["message"] for warning in result["step"]["json"]["warnings"])


def test_a_blank_text_of_a_declared_type_becomes_null_with_a_warning(project):
    result = rows(project, {"records": ['{"d": ""}{"d": "2024-01-31"}{"d": " "}'], "types": {"d": "DATE"}})
    assert project.rows(result, "json", "select count(d), count(*) from main") == [(1, 3)]
    warning = next(warning for warning in result["step"]["json"]["warnings"] if "became null" in warning["message"])
    assert warning["fields"] == {"column": "d", "count": "2"}


@pytest.mark.parametrize(
    ("config", "kind", "blame", "words"),
    [
        ({"records": ['{"a": 1}', '{"a": 1'], "types": {}}, "data", "driver", ["table `main`", "record 2"]),
        ({"records": ['{"a": 1}, {"a": 2}']}, "data", "driver", ["record 2 is not a JSON object"]),
        ({"records": ['{"a": 300}'], "types": {"a": "TINYINT"}}, "data", "user", ["record 1", "`a`", "300", "TINYINT"]),
        ({"types": {"a": "INTEGRE"}}, "config", "user", ["`INTEGRE` is not a type", "BIGINT"]),
        ({"select": "select 1 as a, 2 as a"}, "data", "user", ["two columns have the name `a`"]),
    ],
)
def test_what_is_wrong_with_records_is_named(project, config, kind, blame, words):
    error = rows(project, config, expect=1)["step"]["json"]["error"]
    assert error["kind"] == kind and error["blame"] == blame, error
    assert all(word in error["message"] for word in words), error


def test_a_driver_learns_its_attempt_and_the_files_that_a_path_stands_for(project):
    project.write("in/a.csv", "a\n1\n")
    result = rows(project, {"file": "in/a.csv"})
    assert project.rows(result, "json", "select attempt, files from about") == [(1, "in/a.csv")]
