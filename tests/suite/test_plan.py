"""What `osiris plan` shows before anything runs: order, drivers, and no values from the environment."""

import json

from test_hostile_files import HELLO, SPEC, section, spec


def planned(project, *arguments, **more) -> tuple[str, dict]:
    text = project.osiris("plan", "pipeline.yaml", *arguments, **more)
    assert text.returncode == 0, text.stderr
    whole = json.loads(project.osiris("plan", "pipeline.yaml", "--json", *arguments, **more).stdout)
    return text.stdout, {step["id"]: step for step in whole["steps"]}


def test_a_step_without_needs_waits_for_the_step_before_it(project):
    """Even if it has `inputs`: a check before a writer gates the writer. `needs: []` starts at once."""
    a = {"id": "a", "component": "duckdb.processor", "needs": [], "config": {"query": "select 1 as id"}}
    check = {"id": "check", "component": "duckdb.processor", "inputs": {"rows": "a"}, "config": {"query": "select error('check failed') from rows"}}
    load = {"id": "load", "component": "filesystem.csv_writer", "inputs": {"rows": "a"}, "config": {"path": "loaded.csv"}}
    free = {"id": "free", "component": "filesystem.csv_writer", "needs": [], "inputs": {"rows": "a"}, "config": {"path": "free.csv"}}
    result = project.run([a, check, load, free], expect=1)
    assert {name: step["status"] for name, step in result["step"].items()} == {"a": "success", "check": "failed", "load": "skipped", "free": "success"}
    assert not (project.folder / "loaded.csv").exists() and (project.folder / "free.csv").exists()
    text, steps = planned(project)
    assert steps["load"]["needs"] == ["a", "check"] and steps["free"]["beside"] == ["check", "load"] and steps["a"]["beside"] == []
    assert "   beside   check, load\n" in text and "   beside   free\n" in text and "   after    check\n" in text
    # A step may be written before one that it reads.
    project.pipeline([check | {"needs": None, "inputs": {"rows": "late"}} | {"id": "early"}, a | {"id": "late"}])
    project.pipeline([{"id": "w", "component": "filesystem.csv_writer", "inputs": {"rows": "p"}, "config": {"path": "w.csv"}},
                      {"id": "p", "component": "duckdb.processor", "inputs": {"rows": "s"}, "config": {"query": "from rows"}},
                      {"id": "s", "component": "duckdb.processor", "needs": [], "config": {"query": "select 1 as id"}}])
    assert [step for step in planned(project)[1]] == ["s", "p", "w"]


def test_a_plan_shows_where_drivers_are_and_which_they_replace(project):
    project.write("drivers/hello.extractor.wasm", HELLO + spec(SPEC))
    project.pipeline([{"id": "hello", "component": "hello.extractor", "config": {"names": ["Ada"]}}, project.sql("select 1 as a")])
    text, steps = planned(project, env={"OSIRIS_DRIVERS": ""})
    assert "   driver   drivers/hello.extractor.wasm\n" in text and "takes the place" not in text
    assert steps["source"]["driver"]["path"].endswith("/drivers/duckdb.processor.wasm")
    stranger = SPEC.replace("hello.extractor", "duckdb.processor")
    project.write("strange/duckdb.processor.wasm", HELLO + section(0, b"\x01x") + spec(stranger))
    project.pipeline([{"id": "odd", "component": "duckdb.processor", "config": {"names": ["Ada"]}}])
    text, steps = planned(project, "--drivers", "strange")
    assert "   driver   strange/duckdb.processor.wasm\n" in text and "takes the place of the one that came with this program" in text
    assert steps["odd"]["warnings"]
    missing = project.osiris("plan", "pipeline.yaml", "--drivers", "nowhere")
    assert missing.returncode == 2 and "driver folder `nowhere` does not exist" in missing.stderr


def test_values_from_the_environment_are_not_shown(project):
    """Nobody can tell which of them are secrets: plan and artifacts only show that they come from the environment."""
    project.write("osiris_connections.yaml", "connections: {api: {main: {host: '${HOST_VALUE}', password: '${PW}', note: plain}}}")
    config = {"connection": "@api.${params.which}", "text": "before ${TEXT_VALUE} after", "nested": [{"deep": "${NUMBER_VALUE}"}, "kept"], "literal": "$${TEXT_VALUE}", "parameter": "${params.day}"}
    project.pipeline([{"id": "echo", "component": "test.config_echo", "config": config}], params={"which": "main", "day": "monday"})
    values = {"HOST_VALUE": "host-canary.example", "PW": "pw-canary-1", "TEXT_VALUE": "text canary", "NUMBER_VALUE": "4711"}
    text, steps = planned(project, env=values)
    shown = steps["echo"]["config"]
    assert shown["text"] == "before ***MASKED*** after" and shown["nested"] == [{"deep": "***MASKED***"}, "kept"]
    assert shown["literal"] == "${TEXT_VALUE}" and shown["parameter"] == "monday"
    assert shown["connection"] == {"host": "***MASKED***", "password": "***MASKED***"}
    result = project.run(None, env=values)
    kept = (project.folder / ".osiris_sessions" / result["session_id"] / "artifacts" / "echo" / "cleaned_config.json").read_text()
    for value in values.values():
        assert value not in text and value not in kept, value
    received = json.loads(project.rows(result, "echo", "select config from main")[0][0])
    assert received["text"] == "before text canary after" and received["connection"]["host"] == "host-canary.example"


def test_a_secret_too_short_to_be_redacted_is_reported_once_and_masks_no_words(project):
    steps = [{"id": name, "component": "test.config_echo", "needs": [], "config": {"password": password, "text": "the shop of shops"}} for name, password in (("a", "shop"), ("b", "shop"), ("c", "long-enough-1"))]
    done = project.run(steps)
    assert done["stderr"].count("too short to be redacted") == 1 and "`/password`" in done["stderr"]
    _, planned_steps = planned(project)
    assert planned_steps["a"]["config"] == {"password": "***MASKED***", "text": "the shop of shops"}
    for step in steps:
        step["config"]["password"] = "long-enough-1"
    assert "too short" not in project.run(steps)["stderr"]


def test_a_database_url_is_replaced_by_its_fields(project):
    """Hosting services provide it in one variable: the driver gets fields, and the plan shows none of its parts."""
    project.write("osiris_connections.yaml", "connections: {db: {main: {url: '${DATABASE_URL}'}, wrong: {url: 'postgres://u:pw-canary@h:x/d'}}}")
    step = {"id": "echo", "component": "test.config_echo", "config": {"connection": "@db.main"}}
    url = {"DATABASE_URL": "postgres://reader:pw%2Dcanary@db-canary.example:5433/shop"}
    result = project.run([step], env=url)
    config, _, password_bytes = project.rows(result, "echo")[0]
    assert json.loads(config)["connection"] == {"host": "db-canary.example"} and password_bytes == len("pw-canary")
    text, steps = planned(project, env=url)
    assert steps["echo"]["config"]["connection"] == {"host": "***MASKED***", "password": "***MASKED***"}
    assert "canary" not in text
    step["config"]["connection"] = "@db.wrong"
    refused = project.run([step], expect=2, env=url)["stderr"]
    assert "its port is not a number" in refused and "canary" not in refused
