"""`osiris test`: pipelines run over given tables, and what comes of their steps is compared."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

PIPELINE = """
oml_version: "0.1.0"
name: shop
params: {least: {type: integer, default: 0}}
steps:
  - id: orders
    component: postgres.extractor
    config: {connection: "@postgres.shop", table: orders}
    expect: {not_null: [id]}
  - {id: rates, component: filesystem.csv_extractor, needs: [], config: {path: nowhere.csv}}
  - id: totals
    component: duckdb.processor
    inputs: {orders: orders}
    config: {query: "select customer, sum(amount) as total from orders where amount > ${sql:params.least} group by all order by all"}
  - id: all-rows
    component: duckdb.processor
    inputs: {t: totals, r: rates}
    config: {queries: {main: "from t", rates: "from r"}}
  - id: save
    component: postgres.writer
    inputs: {rows: totals}
    config: {connection: "@postgres.shop", table: totals, mode: replace}
    expect: {sql: total < 1000, on_violation: reject}
"""
CONNECTIONS = "version: 1\nconnections: {postgres: {shop: {host: '${SHOP_HOST}', port: '${SHOP_PORT}', database: shop, user: u, password: '${SHOP_PASSWORD}'}}}\n"
ORDERS = {"columns": {"id": "BIGINT", "customer": "VARCHAR", "amount": "DECIMAL(10,2)"}, "rows": [[1, "ann", "10.00"], [2, "bob", "1.50"], [3, "ann", "0.25"]]}
TOTALS = [["ann", 10.25], ["bob", "1.5"]]


def checked(project, *tests: dict, pipeline: str = PIPELINE, exits: int = 0, arguments=(), **file) -> dict:
    """Runs tests of one pipeline; returns what each found, by name."""
    project.write("pipes/shop.yaml", pipeline)
    project.write("osiris_connections.yaml", CONNECTIONS)
    project.write("pipes/shop.test.yaml", json.dumps({"tests": tests} | file))
    done = project.osiris("test", "--base", ".", "--json", *arguments, env={"SHOP_HOST": "real.example"})
    assert done.returncode == exits, done.stdout + done.stderr
    assert not list(Path(project.folder).glob("**/.osiris*")) and not (project.folder / "osiris.lock").exists()
    told = json.loads(done.stdout)
    return {result["name"]: result for result in told.get("results", [])} | {"all": told, "stderr": done.stderr}


def test_given_tables_take_the_place_of_extractors_and_nothing_is_written(project):
    found = checked(
        project,
        {"name": "rows", "expect": {"totals": {"columns": {"customer": "VARCHAR", "total": "DECIMAL(38,2)"}, "rows": TOTALS}}},
        {"name": "parameter", "params": {"least": 5}, "expect": {"totals": {"rows": [{"customer": "ann", "total": 10}], "count": 1}}},
        {"name": "written", "given": {"totals": "select 'x' as customer, 5 as total union all select 'y', 5000"},
         "expect": {"save": {"rows": [["x", 5]], "warnings": ["1 of 2 rows"]}}},
        {"name": "rejected", "given": {"totals": {"sql": "select 5000 as total"}}, "expect": {"save": {"tables": {"rows": {"count": 0}, "rows__rejected": {"contains": [{"total": 5000}]}}}}},
        {"name": "files", "given": {"rates": {"csv": "data/rates.csv"}}, "expect": {"all-rows": {"tables": {"rates": {"csv": "data/rates.csv"}, "main": {"sql": "from (values ('ann', 10.25::decimal(38,2)), ('bob', 1.5)) t(customer, total)"}}}}},
        {"name": "everything", "given": {"rates": {"columns": {"a": "DATE"}}}},
        given={"orders": ORDERS},
        arguments=() if project.write("pipes/data/rates.csv", "currency,rate\nEUR,1.0\n") else (),
    )
    assert found["all"]["passed"] == 6 and found["all"]["failed"] == 0, found


def test_checks_run_as_in_real_life_and_can_be_expected_to_fail(project):
    bad = ORDERS | {"rows": [[None, "ann", "1.00"]]}
    found = checked(
        project,
        {"name": "refused", "given": {"orders": bad}, "expect": {"orders": {"error": {"kind": "data", "text": ["not_null id", "1 of 1"]}}}},
        {"name": "unexpected", "given": {"orders": bad}, "expect": {"totals": {"count": 1}}},
        {"name": "not refused", "given": {"orders": ORDERS}, "expect": {"orders": {"error": {}}}},
        {"name": "sql fails", "given": {"orders": "select 1 as id"}, "expect": {"totals": {"error": {"text": "customer"}}}},
        {"name": "refused pipeline", "params": {"least": "many"}, "error": {"kind": "config", "text": "`least`"}},
        exits=1,
    )
    assert {name for name in found if name not in ("all", "stderr") and found[name]["status"] == "failed"} == {"unexpected", "not refused"}, found
    assert "step `orders`" in found["unexpected"]["reason"] and "not_null id" in found["unexpected"]["reason"]
    assert "got success" in found["not refused"]["reason"]


def test_a_difference_is_shown_row_by_row(project):
    found = checked(
        project,
        {"name": "rows", "expect": {"totals": {"rows": [["ann", "10.25"], ["bob", 2], ["eve", None]]}}},
        {"name": "order", "expect": {"totals": {"rows": TOTALS[::-1]}}},
        {"name": "any order", "expect": {"totals": {"rows": TOTALS[::-1], "ordered": False}}},
        {"name": "column", "expect": {"totals": {"rows": [{"custmer": "ann", "total": 1}]}}},
        {"name": "types", "expect": {"totals": {"sql": "from (values ('ann', 10.25), ('bob', 1.5)) t(customer, total)"}}},
        {"name": "contains", "expect": {"totals": {"contains": [{"customer": "ann"}, {"customer": "eve"}]}}},
        given={"orders": ORDERS},
        exits=1,
    )
    reason = found["rows"]["reason"]
    assert "step `totals`: expected 3 rows, got 2; - is expected, + is what came" in reason
    assert '  - "bob"     2\n  + "bob"     1.5\n  - "eve"     null' in reason, reason
    assert "another order from row 1 on; write `ordered: false`" in found["order"]["reason"] and found["any order"]["status"] == "passed"
    assert "no column `custmer`; did you mean `customer`?" in found["column"]["reason"]
    assert "expected columns `customer VARCHAR, total DECIMAL(4,2)`, got `customer VARCHAR, total DECIMAL(38,2)`" in found["types"]["reason"]
    assert "1 of 2 expected rows are missing" in found["contains"]["reason"] and "ann" not in found["contains"]["reason"].split("came")[1]
    assert found["rows"]["command"] == "osiris test --base . --only rows"


def test_what_would_read_files_or_connect_must_be_given(project):
    found = checked(project, {"name": "lacks", "expect": {"all-rows": {"count": 1}}}, {"name": "part", "given": {"totals": "select 1 as total"}, "expect": {"save": {"count": 1}}}, exits=1)
    assert "no table is given for `orders` (postgres.extractor), `rates` (filesystem.csv_extractor), which would read files or connect" in found["lacks"]["reason"]
    assert "hint: write `given: {orders:" in found["lacks"]["reason"] and found["part"]["status"] == "passed"


def test_a_variable_of_a_processor_must_be_given(project):
    pipeline = """{oml_version: "0.1.0", name: p, steps: [
        {id: a, component: filesystem.csv_extractor, config: {path: "${FILE}"}},
        {id: m, component: mask.processor, config: {columns: {name: hash}, key: "${secret:SALT}"}}]}"""
    project.write("osiris.yaml", "secrets: {SALT: {command: 'touch ran; echo secret-salt-of-ours'}}")
    test = {"given": {"a": "select 'ann' as name"}, "expect": {"m": {"count": 1}}}
    found = checked(project, test | {"name": "lacks"}, test | {"name": "has", "env": {"secret:SALT": "a salt for tests"}}, pipeline=pipeline, exits=1)
    assert "step `m` needs `${secret:SALT}`" in found["lacks"]["reason"] and found["has"]["status"] == "passed", found
    assert not (project.folder / "ran").exists()


def test_wrong_files_of_tests_are_refused(project):
    for tests, text in [
        ([{"name": "a", "givn": {}}], "did you mean `given`?"),
        ([{"name": "a"}, {"name": "a"}], "two tests in"),
        ([{"name": "a", "expect": {"totals": {"csv": "../outside.csv"}}}], "cannot read `../outside.csv`"),
        ([{"name": "a", "given": {"orders": {"rows": [{"a": 1}, {"a": "x"}]}}}], "needs a declared type"),
    ]:
        found = checked(project, *tests, exits=2)
        assert text in found["stderr"], found["stderr"]
    found = checked(
        project,
        {"name": "step", "given": {"ordrs": "select 1"}},
        {"name": "writer", "given": {"save": "select 1"}},
        {"name": "bad sql", "given": {"orders": "select * from read_csv('/etc/passwd')"}, "expect": {"totals": {"count": 0}}},
        exits=1,
    )
    assert "has no step `ordrs`" in found["step"]["reason"] and "did you mean `orders`?" in found["step"]["reason"]
    assert "is a writer and has none" in found["writer"]["reason"]
    assert "step `orders`, whose table is given: expected success" in found["bad sql"]["reason"] and "root:" not in found["bad sql"]["reason"]


def test_tests_are_found_named_and_reported_to_ci(project):
    checked(project, {"name": "one <1>", "expect": {"totals": {"count": 2}}}, {"name": "two"}, given={"orders": ORDERS, "rates": "select 1 as a"})
    for arguments in (["pipes"], ["pipes/shop.yaml"], ["pipes/shop.test.yaml"], []):
        done = project.osiris("test", "--base", ".", *arguments, "--only", "one <1>")
        assert done.returncode == 0 and done.stdout.count("ok  ") == 1 and "pipelines: 1 passed" in done.stdout, done
    suite = ET.fromstring(project.osiris("test", "--base", ".", "--junit").stdout).find("testsuite")
    assert [case.get("name") for case in suite] == ["one <1>", "two"] and suite.get("failures") == "0"
    project.write("lonely.yaml", PIPELINE)
    for arguments, text in ((["lonely.yaml"], "has no tests"), (["nowhere"], "there is no file or folder"), (["--only", "onee"], "no test is called `onee`")):
        done = project.osiris("test", *arguments)
        assert done.returncode == 2 and text in done.stderr, done.stderr
