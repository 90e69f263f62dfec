"""The command line as people use it: plan, validate, drivers, query, sessions, and its exit codes."""

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import GUESTS, OSIRIS, TARGET


def two_steps(project):
    return [project.sql("select i, 'row ' || i as t from range(3) r(i)"), {"id": "copy-it", "component": "test.passthrough_rust"}]


def test_plan_shows_order_inputs_and_grants_in_words(project):
    project.write("in.csv", "a\n1\n")
    project.pipeline([
        {"id": "write", "component": "filesystem.csv_writer", "needs": ["read"], "config": {"path": "out/x.csv", "create_dirs": True}},
        {"id": "read", "component": "filesystem.csv_extractor", "needs": [], "config": {"path": "in.csv"}},
    ])
    words = project.osiris("plan", "pipeline.yaml").stdout
    assert words.index("1. read") < words.index("2. write")
    assert "read `in.csv`" in words and "write `out/x.csv`" in words
    plan = json.loads(project.osiris("plan", "pipeline.yaml", "--json").stdout)
    assert [step["id"] for step in plan["steps"]] == ["read", "write"]
    assert len(plan["steps"][0]["driver"]["sha256"]) == 64
    assert not (project.folder / ".osiris_sessions").exists()


def test_validate_runs_nothing(project):
    project.pipeline(two_steps(project))
    done = project.osiris("validate", "pipeline.yaml")
    assert (done.returncode, done.stdout) == (0, "pipeline `test` is valid: 2 steps\n")


def test_run_prints_only_the_result_on_stdout(project):
    result = project.run(two_steps(project))
    assert list(result)[:4] == ["session_id", "session_path", "status", "duration_ms"]
    assert result["steps"][1] | {"duration_ms": 0} == {
        "id": "copy-it", "component": "test.passthrough_rust", "status": "success", "rows": 3, "table": "main",
        "tables": {"main": {"rows": 3}}, "duckdb_path": "data/copy-it.duckdb", "duration_ms": 0, "attempts": 1, "error": None,
        "warnings": [], "checks": [], "rejected_tables": [],
        "reused": None,
    }
    table = project.osiris("run", "pipeline.yaml").stdout
    assert "copy-it" in table and "success" in table


def test_query_reads_a_steps_table(project):
    project.run(two_steps(project))
    csv = project.osiris("query", "latest", "copy-it", "select * from main order by i desc limit 2", "--format", "csv")
    assert csv.stdout.split() == ["i,t", "2,row", "2", "1,row", "1"]
    rows = project.osiris("query", "latest", "copy-it", 'select i, t from "copy-it" where i = 1', "--format", "json").stdout
    assert json.loads(rows) == {"i": 1, "t": "row 1"}
    assert "row 2" in project.osiris("query", "latest", "source").stdout


@pytest.mark.parametrize("sql", ["drop table main", "select 1; select 2", "copy main to '/tmp/osiris-x'", "select * from read_text('/etc/passwd')", "attach '/tmp/x'", "selct 1"])
def test_query_accepts_only_one_select_and_reaches_nothing_else(project, sql):
    project.run(two_steps(project))
    done = project.osiris("query", "latest", "source", sql)
    assert done.returncode == 2 and "error:" in done.stderr and "root:" not in done.stdout


@pytest.mark.parametrize(("format", "whole"), [("table", None), ("csv", "evil\n\x1b[2Ja\x9b\u202e\n"), ("json", '{"evil":"\\u001B[2Ja\x9b\u202e"}\n')])
def test_query_does_not_let_data_control_the_terminal(project, format, whole):
    """A terminal receives escapes. In CSV and JSON, a pipe receives exactly the data."""
    project.run([project.sql("select chr(27) || '[2Ja' || chr(155) || chr(8238) as evil")])
    asked = ("query", "latest", "source", "--format", format)
    piped = project.osiris(*asked).stdout
    if whole is None:
        assert not set("\x1b\x9b\u202e") & set(piped)
    else:
        assert piped == whole
    main, other = os.openpty()
    with subprocess.Popen([str(OSIRIS), *asked], cwd=project.folder, env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}, stdout=other) as shown:
        os.close(other)
        seen = b""
        # Once nobody has the terminal open for writing, reading it fails with EIO.
        with contextlib.suppress(OSError):
            while part := os.read(main, 4096):
                seen += part
    os.close(main)
    assert shown.returncode == 0 and "[2Ja" in seen.decode() and "\\u{202e}" in seen.decode()
    assert not set("\x1b\x9b\u202e") & set(seen.decode())


def test_drivers_are_listed_and_inspected(project):
    listed = json.loads(project.osiris("drivers", "list", "--json").stdout)
    names = {driver["name"] for driver in listed}
    assert {"filesystem.csv_extractor", "duckdb.processor", "filesystem.csv_writer", "filesystem.parquet_extractor",
            "filesystem.parquet_writer", "mask.processor", "hello.extractor"} <= names
    words = project.osiris("drivers", "inspect", "filesystem.csv_writer").stdout
    assert "write the file `{config.path}`" in words and "column_order" in words and "sorted|source" in words
    by_path = project.osiris("drivers", "inspect", str(GUESTS / "hello.extractor.wasm"))
    assert "Greet everyone" in by_path.stdout


def test_a_component_is_packed_found_in_a_folder_and_run_by_path(project):
    component = TARGET / "wasm32-wasip2" / "driver" / "hello_driver.wasm"
    spec = "name: my.hello\nversion: 2.0.0\nkind: extractor\ncontract: 0.2.0\ntitle: Mine\nconfigSchema: {type: object}\n"
    project.write("spec.yaml", spec)
    packed = project.osiris("drivers", "pack", str(component), "-o", "drivers/my.hello.wasm")
    assert packed.returncode == 0, packed.stderr
    steps = [{"id": "a", "component": "my.hello", "config": {"names": ["Ada"]}},
             {"id": "b", "component": "drivers/my.hello.wasm", "needs": [], "config": {"names": ["Grace"]}}]
    result = project.run(steps)
    assert project.rows(result, "a") == [("hello Ada",)] and project.rows(result, "b") == [("hello Grace",)]
    shown = json.loads(project.osiris("sessions", "show", "--json").stdout)
    assert shown["steps"][0]["driver"]["version"] == "2.0.0" and len(shown["steps"][0]["driver"]["sha256"]) == 64


def test_sessions_are_listed_shown_and_collected(project):
    assert project.osiris("sessions", "list").stdout.startswith(f"no sessions in {project.folder}/.osiris_sessions")
    ran = [project.run(two_steps(project))["session_id"] for _ in range(3)]
    listed = json.loads(project.osiris("sessions", "list", "--json").stdout)
    assert [(session["session_id"], session["status"], session["rows"]) for session in listed] == [(id, "success", 6) for id in ran]
    assert "copy-it" in project.osiris("sessions", "show", listed[0]["session_id"][-6:]).stdout
    would = json.loads(project.osiris("sessions", "gc", "--keep", "1", "--dry-run", "--json").stdout)
    assert would["removed"] == [session["session_id"] for session in listed[:2]]
    assert json.loads(project.osiris("sessions", "gc", "--older-than", "1h", "--json").stdout)["removed"] == []
    project.osiris("sessions", "gc", "--keep", "1")
    left = json.loads(project.osiris("sessions", "list", "--json").stdout)
    assert [session["session_id"] for session in left] == [listed[2]["session_id"]]
    assert project.osiris("sessions", "gc").returncode == 2


def test_independent_steps_run_at_the_same_time(project):
    steps = [{"id": f"s{n}", "component": "test.misbehave", "needs": ["source"], "config": {"how": "slow", "rows": 400_000}} for n in range(2)]
    result = project.run([project.sql("select 1 as a"), *steps], "--jobs", "2")
    events = [(event["event"], event["step_id"]) for event in project.events(result) if event["event"] in ("step_start", "step_complete")]
    assert events[2][0] == events[3][0] == "step_start"
    result = project.run(None, "--jobs", "1")
    events = [event["event"] for event in project.events(result) if event["event"] in ("step_start", "step_complete")]
    assert events == ["step_start", "step_complete"] * 3


def test_two_simultaneous_runs_do_not_disturb_each_other(project):
    from concurrent.futures import ThreadPoolExecutor

    project.pipeline(two_steps(project))
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: project.osiris("run", "pipeline.yaml", "--json"), range(8)))
    assert [run.returncode for run in done] == [0] * 8
    assert len({json.loads(run.stdout)["session_id"] for run in done}) == 8


def test_a_drivers_environment_is_empty_and_its_output_is_logged(project):
    result = project.run([{"id": "echo", "component": "test.config_echo", "config": {}}], env={"CANARY": "bird"})
    assert project.rows(result, "echo", "select environment from main") == [("[] []",)]
    logged = [event["message"] for event in project.events(result) if event["event"] == "driver_log"]
    assert "printed by the guest" in logged


def hello(project, more: str, name: str = "my.hello") -> dict:
    """Packs the greeting driver with additions to its spec, and returns a step that runs it."""
    spec = f"name: {name}\nversion: 1.0.0\nkind: extractor\ncontract: 0.2.0\ntitle: Mine\nconfigSchema: {{type: object, additionalProperties: false, required: [names], properties: {{names: {{type: array}}}}}}\n{more}"
    project.write("spec.yaml", spec)
    component = TARGET / "wasm32-wasip2" / "driver" / "hello_driver.wasm"
    packed = project.osiris("drivers", "pack", str(component), "--spec", "spec.yaml", "-o", f"drivers/{name}.wasm")
    assert packed.returncode == 0, packed.stderr
    return {"id": "a", "component": name}


def test_options_may_have_aliases_and_ignored_options_give_a_notice(project):
    step = hello(project, "aliases: {people: names, who: names}\nignored: {pool_size: connections are not pooled}\n")
    notice = "option `pool_size` has no effect here: connections are not pooled"
    steps = [step | {"config": {"people": ["Ada"], "pool_size": 5}}]
    project.pipeline(steps, metadata={"intent": "greet", "nested": {"n": 1}})
    plan = json.loads(project.osiris("plan", "pipeline.yaml", "--json").stdout)["steps"][0]
    assert plan["config"] == {"names": ["Ada"]} and plan["warnings"] == [{"message": notice, "fields": {}}]
    assert notice in project.osiris("plan", "pipeline.yaml").stdout
    assert notice in project.osiris("validate", "pipeline.yaml").stderr
    assert json.loads(project.osiris("validate", "pipeline.yaml", "--json").stdout)["warnings"] == [{"step": "a", "message": notice, "fields": {}}]
    result = project.run()
    assert project.rows(result, "a") == [("hello Ada",)]
    assert result["step"]["a"]["warnings"] == [{"message": notice, "fields": {}}] and f"warn: {notice}" in result["stderr"]
    assert [event["message"] for event in project.events(result) if event["event"] == "notice"] == [notice]
    shown = json.loads(project.osiris("sessions", "show", "--json").stdout)
    assert shown["metadata"] == {"intent": "greet", "nested": {"n": 1}} and shown["steps"][0]["warnings"][0]["message"] == notice
    assert notice in project.osiris("sessions", "show").stdout
    inspected = project.osiris("drivers", "inspect", "drivers/my.hello.wasm").stdout
    assert "people is another name of names" in inspected and "pool_size is accepted without effect" in inspected
    for config, said in [
        ({"people": ["Ada"], "names": ["Bob"]}, "`people` and `names` are one option, but have different values"),
        ({"people": ["Ada"], "who": ["Bob"]}, "`people` and `who` are one option, but have different values"),
        ({"people": "Ada"}, "`people` must be a list, but is the text \"Ada\""),
        ({"peple": ["Ada"]}, "unknown key `peple`; known: `names`"),
    ]:
        project.pipeline([step | {"config": config}])
        refused = project.osiris("validate", "pipeline.yaml")
        assert refused.returncode == 2 and said in refused.stderr, refused.stderr


def test_a_spec_with_an_alias_of_no_option_is_not_packed(project):
    component = TARGET / "wasm32-wasip2" / "driver" / "hello_driver.wasm"
    for more, said in [("aliases: {people: nams}", "`nams`"), ("ignored: {names: why}", "`names`"), ("ignored: {echo: ''}", "no reason")]:
        project.write("spec.yaml", f"name: my.hello\nversion: 1.0.0\nkind: extractor\ncontract: 0.2.0\ntitle: Mine\nconfigSchema: {{type: object, properties: {{names: {{type: array}}}}}}\n{more}\n")
        refused = project.osiris("drivers", "pack", str(component), "--spec", "spec.yaml", "-o", "drivers/x.wasm")
        assert refused.returncode == 2 and said in refused.stderr, refused.stderr


def test_a_file_connection_is_the_folder_of_relative_paths(project):
    project.write("data/in.csv", "a\n1\n")
    read = {"id": "read", "component": "filesystem.csv_extractor", "config": {"connection": "@filesystem.local", "path": "in.csv"}}
    refused = project.run([read], expect=2)
    assert "no such file" in refused["stderr"]
    project.write("osiris_connections.yaml", "connections: {filesystem: {local: {base_dir: '${DATA}'}}}")
    assert project.run([read], env={"DATA": str(project.folder / "data")})["step"]["read"]["rows"] == 1
    assert project.run([read], env={"DATA": "data"})["step"]["read"]["rows"] == 1
    shown = json.loads(project.osiris("plan", "pipeline.yaml", "--json", env={"DATA": "data"}).stdout)["steps"][0]
    assert shown["config"]["path"] == "***MASKED***/in.csv" and shown["grants"], shown
    assert "lies outside the base folder" in project.run([read], expect=2, env={"DATA": "/etc"})["stderr"]
    project.write("osiris_connections.yaml", "connections: {mysql: {a: {host: h}}}")
    read["config"]["path"] = "data/in.csv"
    result = project.run([read])
    assert result["step"]["read"]["rows"] == 1 and "begin at the base folder" in result["step"]["read"]["warnings"][0]["message"]


def test_a_drivers_warnings_are_stored_with_names_and_counts(project):
    project.write("in.ndjson", '{"a": 1}\nno json\n{"a": 2}\n')
    result = project.run([{"id": "read", "component": "filesystem.json_extractor", "config": {"path": "in.ndjson", "on_bad_lines": "skip"}}])
    (warning,) = result["step"]["read"]["warnings"]
    assert warning["message"] and warning["fields"]
    (name, count), = warning["fields"].items()
    words = f"{warning['message']} ({name}: {count})"
    assert f"warn: {words}" in result["stderr"]
    assert words in project.osiris("sessions", "show").stdout
    assert json.loads(project.osiris("sessions", "show", "--json").stdout)["steps"][0]["warnings"] == [warning]
    assert [event["fields"] for event in project.events(result) if event["event"] == "driver_log" and event["level"] == "warn"] == [warning["fields"]]


def test_a_big_catalogue_is_discovered_completely(project):
    """3,000 tables of 40 columns are more than fits into one message."""

    def discover(size: str, expect: int = 0):
        project.write("osiris_connections.yaml", json.dumps({"connections": {"test": {"big": {"host": "db.example.com", "database": size}}}}))
        done = project.osiris("discover", "@test.big", "--driver", "test.keep", "--json")
        assert done.returncode == expect, done.stderr[-2000:]
        return done

    tables = json.loads(discover("3000x40").stdout)["tables"]
    assert len(tables) == 3000 and {len(table["columns"]) for table in tables} == {40}
    assert [table["name"] for table in tables] == sorted(table["name"] for table in tables)
    done = discover("10005x1")
    assert len(json.loads(done.stdout)["tables"]) == 10_000 and "there are more tables than are shown (shown: 10000; tables: 10005)" in done.stderr
    assert "`table 000000` has 50000 columns" in discover("1x50000", expect=1).stderr


def test_a_parameter_without_a_value_is_reported_and_a_misspelt_one_is_refused(project):
    steps = [project.sql("select '${params.day}' as d")]
    project.pipeline(steps, params={"day": {"type": "string"}})
    refused = project.osiris("plan", "pipeline.yaml")
    assert refused.returncode == 2 and "needs parameter `day`, which has no value" in refused.stderr and "--param day=VALUE" in refused.stderr
    assert project.osiris("plan", "pipeline.yaml", "--param", "day=x").returncode == 0
    project.pipeline(steps, params={"day": {"type": "string", "requried": True}})
    refused = project.osiris("plan", "pipeline.yaml")
    assert refused.returncode == 2 and "unknown key `requried`" in refused.stderr and "did you mean `required`?" in refused.stderr
    project.pipeline(steps, params={"dya": {"default": 1}})
    assert "declare it in the pipeline's `params`" in project.osiris("plan", "pipeline.yaml").stderr or "did you mean `dya`?" in project.osiris("plan", "pipeline.yaml").stderr


def test_names_that_programs_search_for_are_never_masked(project):
    """A secret may be an ordinary word: a table, a status or a step with that name is still found."""
    words = ["main", "success", "step_complete", "customers", "copy-it", "test"]
    steps = [{"id": f"keep-{place}", "component": "test.keep", "needs": [], "config": {"key": word}} for place, word in enumerate(words)]
    steps.append(project.sql("select 1 as id"))
    steps.append({"id": "copy-it", "component": "test.passthrough_rust", "inputs": {"a": {"from_step": "source"}, "customers": {"from_step": "source"}}, "config": {}})
    result = project.run(steps, schedule="0 6 * * *")
    assert set(result["step"]["copy-it"]["tables"]) == {"main", "customers"}
    done = project.osiris("query", "latest", "copy-it", "select * from customers", "--format", "csv")
    assert (done.returncode, done.stdout.split()) == (0, ["id", "1"]), done.stderr
    complete = [event for event in project.events(result) if event["event"] == "step_complete" and event["step_id"] == "copy-it"]
    assert [set(event["tables"]) for event in complete] == [{"main", "customers"}]
    shown = json.loads(project.osiris("sessions", "show", "--json").stdout)
    assert shown["status"] == "success" and [step["id"] for step in shown["steps"]][-1] == "copy-it"
    # The pipeline's own warning is shown at every level.
    plan, valid = (json.loads(project.osiris(verb, "pipeline.yaml", "--json").stdout) for verb in ("plan", "validate"))
    for told in (result, shown, plan, valid):
        assert "`schedule` has no effect here" in told["warnings"][0]["message"]
    assert "warning: `schedule`" in result["stderr"] and "`schedule`" in project.osiris("sessions", "show").stdout


def test_a_failure_is_an_object_if_json_was_requested(project):
    project.write("pipeline.yaml", "oml_version: '0.1.0'\nname: x\nsteps: []\nnope: 1\n")
    for arguments in (("run", "pipeline.yaml"), ("plan", "pipeline.yaml"), ("validate", "pipeline.yaml"), ("drivers", "inspect", "no.such"), ("sessions", "show")):
        plain, asked = project.osiris(*arguments), project.osiris(*arguments, "--json")
        assert plain.returncode == asked.returncode == 2 and plain.stdout == "" and plain.stderr == asked.stderr
        failure = json.loads(asked.stdout)
        assert failure["status"] == "failed" and failure["error"]["fault"] == "input", arguments
        assert f"error: {failure['error']['message']}".splitlines()[0] in asked.stderr and failure["error"]["hint"] in asked.stderr
        assert ("steps" in failure) == (arguments[0] == "run")


def test_small_mistakes_are_reported(project):
    assert "compile" not in project.osiris("compil").stderr and "validate" in project.osiris("validat").stderr
    project.write("osiris_connections.yaml", "version: 7\n")
    assert "version 7; known: 1" in project.osiris("connections", "list").stderr
    project.write("osiris_connections.yaml", "version: 1\nconnections: {postgres: {good: {host: h}}}\n")
    slip = project.osiris("discover", "postgres.good", "--driver", "postgres.extractor")
    assert slip.returncode == 2 and "did you mean `@postgres.good`?" in slip.stderr, slip.stderr
    project.run([project.sql("select 'NaN'::double as n, ['inf'::double, '-inf'::double] as i, 'NaN \"Infinity' as t")])
    row = project.osiris("query", "latest", "source", "from main", "--format", "json").stdout
    assert json.loads(row) == {"n": None, "i": [None, None], "t": 'NaN "Infinity'}
    assert "removed 1 session," in project.osiris("sessions", "gc", "--keep", "0").stdout
    # Sessions are in the pipeline's folder, regardless of the current folder.
    project.pipeline([project.sql("select 1 as a")])
    (project.folder / "elsewhere").mkdir()
    done = project.osiris("run", "../pipeline.yaml", before=["env", "-C", "elsewhere"])
    assert "source  1 row  " in done.stderr, done.stderr
    listed = project.osiris("sessions", "list", "--base", "elsewhere").stdout
    assert listed.startswith(f"no sessions in {project.folder / 'elsewhere' / '.osiris_sessions'}") and "`--base DIR`" in listed
    assert "success" in project.osiris("sessions", "list").stdout
    project.write("osiris_connections.yaml", "connections: {postgres: {good: {host: h, database: d}, bad: {host: '${NO_SUCH}'}}}\n")
    connections = project.osiris("connections", "list").stdout
    assert next(line for line in connections.splitlines() if "@postgres.bad " in line).split() == ["@postgres.bad", "postgres.extractor"]
    assert "\nwarning: connection `@postgres.bad`, field `host`, needs the environment variable `NO_SUCH`" in connections
    assert "OSIRIS_LOG" in project.osiris("--help").stdout


def test_the_compile_cache_drops_unused_entries(project):
    cache = project.folder / "cache"
    run = lambda name: project.run([{"id": "hello", "component": name, "config": {"names": ["Ada"]}}], env={"OSIRIS_CACHE_DIR": str(cache), "OSIRIS_DRIVERS": str(GUESTS)})  # noqa: E731
    run("hello.extractor")
    used = {path.name for path in cache.iterdir()}
    stranger = project.write("cache/notes.txt", "a user's own")
    old = [project.write(f"cache/{name}", "x") for name in (f"{'0' * 64}-1.cwasm", f"{'0' * 64}-1.spec", ".tmpabc")]
    for path in (*old, stranger):
        os.utime(path, (1, 1))
    for path in cache.iterdir():
        if path.name in used:
            os.utime(path, (1, 1))
    # Used entries are kept, however old they are; compiling the next driver removes the others.
    run("hello.extractor")
    hello(project, "")
    run("my.hello")
    assert not any(path.exists() for path in old) and stranger.exists() and used <= {path.name for path in cache.iterdir()}


def test_data_is_shown_on_one_line_and_controls_nothing(project):
    """Line separators and marks that reorder text: one event stays one line for every reader, and the terminal sees
    escapes."""
    result = project.run([project.sql("select error('a\u2028b\u0085c\u202ed\nerror: e\u001b[2J')")], expect=1)
    text = (Path(result["session_path"]) / "logs" / "events.jsonl").read_text()
    assert text.splitlines() == text.rstrip("\n").split("\n")
    (failed,) = [event for event in project.events(result) if event["event"] == "step_error"]
    assert "a\u2028b\u0085c\u202ed\nerror: e\u001b[2J" in failed["error"]["message"]
    shown = result["stderr"] + project.osiris("sessions", "show").stdout + project.osiris("sessions", "show", "--json").stdout
    assert not set("\u2028\u0085\u202e\u001b") & set(shown) and "\\u{202e}" in shown
    assert not any(line.startswith("error: e") for line in shown.splitlines())
