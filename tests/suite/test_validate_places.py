"""`osiris validate` names line and column of each error, binds SQL, and needs no secrets and no data offline."""

import json

PIPELINE = """oml_version: "0.1.0"
name: shop
steps:
  - id: orders
    component: filesystem.csv_extractor
    config: {path: orders.csv, heder: true, quotin: minimal}
    expect:
      - {columns: {id: BIGINT, amount: DOUBLE}, extra: refuse}
      - not_null: idd
  - id: totals
    component: duckdb.processor
    needs: [orders]
    config:
      query: |
        select id, sum(amont) as total
        from orders group by 1
  - {id: more, component: duckdb.processor, config: {queries: {main: "select totl from totals", b: selekt 1}}}
"""
CONNECTIONS = "version: 1\nconnections: {postgres: {shop: {host: '${SHOP_HOST}', port: '${SHOP_PORT}', database: shop, user: u, password: '${secret:PASSWORD}'}}}\n"


def errors(project, text: str, *arguments, exits: int = 2, name: str = "pipeline.yaml", env=None) -> list[tuple]:
    project.write(name, text)
    done = project.osiris("validate", name, "--json", *arguments, env=env)
    assert done.returncode == exits, done.stdout + done.stderr
    told = json.loads(done.stdout)
    return [(error["line"], error["column"], error["message"], error["hint"]) for error in told.get("errors", [])]


def test_each_key_of_a_config_has_its_line_and_column(project):
    project.write("orders.csv", "id,amount\n1,2.5\n")
    found = errors(project, PIPELINE)
    assert sorted((line, column) for line, column, *_ in found) == [(6, 32), (6, 45)], found
    assert {hint for *_, hint in found} == {"did you mean `header`?", "did you mean `quote`?"}
    shown = project.osiris("validate", "pipeline.yaml").stderr
    assert "  --> pipeline.yaml:6:32\n" in shown and "  --> pipeline.yaml:6:45\n" in shown, shown


def test_errors_of_all_kinds_have_places_and_come_together(project):
    valid = PIPELINE.replace(", heder: true, quotin: minimal", "")
    found = errors(project, valid)
    places = {(line, column): message for line, column, message, _ in found}
    assert "there is no such file" in places[6, 14] and "idd" in places[9, 9], found
    assert '"amont" not found' in places[15, 24] and '"amount"' in places[15, 24], found
    found = errors(project, valid.replace("amont", "amount"))
    more = valid.split("\n")[16].index("totl") + 1
    places = {(line, column): message for line, column, message, _ in found}
    assert '"totl" not found' in places[17, more] and '"total"' in places[17, more], found
    assert any(line == 17 and "selekt" in message for line, _, message, _ in found), found
    for wrong, at in [
        ("needs: [orders]", "needs: [ordrs]", ), ("component: duckdb.processor", "component: duckdb.procesor"), ("    needs: [orders]", "    retries: 99"), ("    needs: [orders]", "    nneds: [orders]"),
    ]:
        text = valid.replace(wrong, at, 1)
        lines = [line for line, *_ in errors(project, text)]
        assert text.split("\n")[lines[0] - 1].strip() == at.strip(), (at, lines)


def test_sql_is_bound_against_the_last_session_and_unknown_columns_are_a_notice(project):
    text = PIPELINE.replace(", heder: true, quotin: minimal", "").replace(PIPELINE[PIPELINE.index("    expect:"):PIPELINE.index("  - id: totals")], "")
    text = text[: text.index("  - {id: more")].replace("amont", "amount")
    project.write("orders.csv", "id,amount\n1,2.5\n")
    project.write("pipeline.yaml", text)
    done = project.osiris("validate", "pipeline.yaml")
    assert done.returncode == 0 and "step `totals`: its SQL was not bound, because the columns of `orders` are not known here" in done.stderr, done
    project.run()
    done = project.osiris("validate", "pipeline.yaml")
    assert done.returncode == 0 and "not bound" not in done.stderr, done
    wrong = text.replace("amount", "amuont")
    [(line, column, message, hint)] = errors(project, wrong)
    assert (line, column) == (12, 24) and '"amount"' in message and "those of session" in hint, message
    assert errors(project, wrong, "--offline", exits=0) == []
    # Another config makes other tables.
    assert errors(project, wrong.replace("orders.csv}", "orders.csv, limit: 1}"), exits=0) == []


def test_offline_needs_no_secrets_no_data_and_no_connections(project):
    project.write("osiris_connections.yaml", CONNECTIONS)
    project.write("osiris.yaml", "secrets: {PASSWORD: {file: /nowhere/password}, KEY: {command: touch ran}}")
    text = """{oml_version: "0.1.0", name: p, steps: [
        {id: a, component: postgres.extractor, config: {connection: "@postgres.shop", table: "${TABLE}"}},
        {id: f, component: filesystem.csv_extractor, needs: [], config: {path: "${FOLDER}/*.csv", limit: "${LIMIT}"}},
        {id: h, component: http.extractor, needs: [], config: {url: "${URL}"}},
        {id: m, component: mask.processor, needs: [a], config: {columns: {name: hash}, key: "${secret:KEY}"}}]}"""
    assert errors(project, text, "--offline", exits=0) == []
    project.write("pipeline.yaml", text)
    assert project.osiris("validate", "pipeline.yaml").returncode == 2 and not (project.folder / "ran").exists()
    found = errors(project, text.replace("limit:", "limt:").replace("secret:KEY", "secret:KEI"), "--offline")
    assert [(line, "`KEI`" in message) for line, _, message, _ in found] == [(5, True)], found
    found = errors(project, text.replace("limit:", "limt:").replace("table:", "tabel:"), "--offline")
    assert {(line, hint) for line, _, _, hint in found} >= {(2, "did you mean `table`?"), (3, "did you mean `limit`?")}, found
