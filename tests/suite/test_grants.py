"""Every grant allows what it names and refuses the rest, at each layer by itself."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import HOLE, OSIRIS

CSV = "filesystem.csv_extractor"
# Layers are switched off by the program that is built only for that.
LAYERS = [((), OSIRIS), (("--unconfined",), HOLE)]


def extract(project, path: str, expect: int):
    return project.run([{"id": "read", "component": CSV, "config": {"path": path}}], expect=expect)


def test_a_file_below_the_base_folder_is_read(project):
    project.write("in/a.csv", "a\n1\n")
    os.symlink("in/a.csv", project.folder / "link.csv")
    for path in ("in/a.csv", "./in/../in/a.csv", str(project.folder / "in" / "a.csv"), "link.csv"):
        assert extract(project, path, 0)["step"]["read"]["rows"] == 1


def test_no_path_leads_out_of_the_base_folder(project, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.csv").write_text("a\n1\n")
    os.symlink(outside, project.folder / "folder")
    os.symlink(outside / "secret.csv", project.folder / "file.csv")
    os.mkfifo(project.folder / "fifo.csv")
    for path in (str(outside / "secret.csv"), "folder/secret.csv", "file.csv", "../../../../etc/passwd", "fifo.csv", "/dev/zero", "/proc/self/environ", "."):
        done = extract(project, path, 2)
        assert "hint: " in done["stderr"] or "named" in done["stderr"] or "names the base" in done["stderr"], path


def test_a_writer_replaces_only_its_target(project, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "kept.csv"
    outside.write_text("kept\n")
    os.symlink(outside, project.folder / "link.csv")
    project.write("folder/x", "")
    for path, expect in (("out.csv", 0), ("link.csv", 1), ("folder", 1), ("../out.csv", 2)):
        project.run([project.sql("select 1 as a"), {"id": "write", "component": "filesystem.csv_writer", "config": {"path": path}}], expect=expect)
    assert outside.read_text() == "kept\n"
    assert (project.folder / "out.csv").read_text() == "a\n1\n"


def test_a_written_file_keeps_its_permissions(project):
    project.write("out.csv", "before\n").chmod(0o600)
    write = {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "out.csv"}}
    project.run([project.sql("select 1 as a"), write])
    assert (project.folder / "out.csv").read_text() == "a\n1\n"
    assert (project.folder / "out.csv").stat().st_mode & 0o777 == 0o600


def test_osiris_keeps_its_own_files_to_itself(project):
    """Sessions, connections, the lock and drivers may not be touched by any step, by whatever name or path."""
    project.write("osiris_connections.yaml", "connections: {}\n")
    earlier = project.run([project.sql("select 1 as a")])
    lock = (project.folder / "osiris.lock").read_text()
    os.symlink("osiris_connections.yaml", project.folder / "link.csv")
    os.symlink(".osiris_sessions", project.folder / "folder")
    session = earlier["session_id"]
    for path in (f".osiris_sessions/{session}/manifest.yaml", f"folder/{session}/manifest.yaml", "osiris_connections.yaml", "link.csv"):
        assert "Osiris's own files" in extract(project, path, 2)["stderr"], path
    for path, expect in (("osiris.lock", 2), ("osiris_connections.yaml", 2), ("drivers/x.wasm", 2), (".osiris_sessions/x", 2), ("folder/x", 1), (f"folder/{session}/data/source.duckdb", 1)):
        write = {"id": "write", "component": "filesystem.csv_writer", "config": {"path": path, "create_dirs": True}}
        assert "Osiris's own files" in project.run([project.sql("select 1 as a"), write], expect=expect)["stderr"], path
    assert project.rows(earlier, "source") == [(1,)]
    assert (project.folder / "osiris.lock").read_text().startswith(lock)


def test_sessions_are_private_to_the_user(project):
    project.run([project.sql("select 1 as a")])
    assert (project.folder / ".osiris_sessions").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("layers", LAYERS, ids=["all layers", "DuckDB alone"])
@pytest.mark.parametrize(
    "query",
    [
        "select * from read_text('/etc/passwd')",
        "select * from read_csv('/etc/passwd')",
        "select * from read_blob('/proc/self/environ')",
        "select * from glob('/*')",
        "select * from '/etc/passwd'",
        "select * from 'BASE/.osiris_sessions/SESSION/manifest.yaml'",
        "select * from read_text('BASE/pipeline.yaml')",
        "select * from read_json('http://127.0.0.1:1/x')",
        "from sqlite_scan('/x', 'y')",
    ],
)
def test_sql_reaches_no_file_and_no_network(project, query, layers):
    flags, program = layers
    result = project.run([project.sql(query.replace("BASE", str(project.folder)))], *flags, expect=1, program=program)
    assert result["step"]["source"]["status"] == "failed"
    assert "root:" not in result["stderr"]


def test_a_step_reads_its_inputs_and_no_other_steps_table(project):
    steps = [project.sql("select 1 as a", id="mine"), project.sql("select 'secret' as a", id="theirs")]
    for query in ("from theirs", "from df_theirs", "from read_duckdb('BASE')", "from 'BASE'"):
        path = f"{project.folder}/.osiris_sessions/SESSION/data/theirs.duckdb"
        step = {"id": "spy", "component": "duckdb.processor", "needs": ["mine"], "config": {"query": query.replace("BASE", path)}}
        result = project.run([*steps, step], expect=1)
        assert result["step"]["spy"]["status"] == "failed", query


def test_the_compile_cache_is_private_and_may_be_filled_concurrently(project):
    cache = project.folder / "cache"
    project.pipeline([{"id": "hello", "component": "hello.extractor", "config": {"names": ["Ada"]}}])
    environment = {"OSIRIS_CACHE_DIR": str(cache)}
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: project.osiris("run", "pipeline.yaml", env=environment), range(4)))
    assert [run.returncode for run in done] == [0] * 4, done[0].stderr
    assert cache.stat().st_mode & 0o777 == 0o700
    entries = [path.name for path in cache.glob("*.cwasm")]
    assert len(entries) == 1 and entries[0].endswith(".cwasm")
    cache.chmod(0o777)
    refused = project.osiris("run", "pipeline.yaml", env=environment)
    assert refused.returncode == 3 and "nobody else may write" in refused.stderr


def test_a_corrupt_cache_entry_does_not_run(project):
    cache = project.folder / "cache"
    project.pipeline([{"id": "hello", "component": "hello.extractor", "config": {"names": ["Ada"]}}])
    environment = {"OSIRIS_CACHE_DIR": str(cache)}
    project.osiris("run", "pipeline.yaml", env=environment)
    (entry,) = cache.glob("*.cwasm")
    entry.write_bytes(b"not native code")
    run = project.osiris("run", "pipeline.yaml", env=environment)
    assert run.returncode == 1 and "cannot load the compiled driver" in run.stderr


CONNECTIONS = {"db": {"one": {"host": "one.example.com", "database": "shop", "password": "${PW}"}, "port": {"host": "one.example.com", "port": "${PORT}"},
                      "two": {"host": "two.example.com"}}}


def keep(project, expect: int = 0, plan: bool = False, **config) -> dict:
    """What a driver receives of a connection and of the options beside it."""
    project.write("osiris_connections.yaml", json.dumps({"connections": CONNECTIONS}))
    project.pipeline([{"id": "keep", "component": "test.keep", "config": config}])
    env = {"PW": "a password of the connection", "PORT": "7777", "API_TOKEN": "t0k-3n", "LONG_API_KEY": "0123456789abcdef"}
    if plan:
        done = project.osiris("plan", "pipeline.yaml", "--json", env=env)
        assert done.returncode == expect, done.stderr
        return json.loads(done.stdout)["steps"][0] if expect == 0 else {"stderr": done.stderr}
    return project.run(None, expect=expect, env=env)


def test_options_beside_a_connection_take_effect(project):
    for beside, expected, password in [
        ({}, {"host": "one.example.com", "database": "shop", "port": 5432, "sslmode": "prefer"}, 28),
        ({"sslmode": "verify-full"}, {"host": "one.example.com", "database": "shop", "port": 5432, "sslmode": "verify-full"}, 28),
        ({"database": "other", "password": "secret"}, {"host": "one.example.com", "database": "other", "port": 5432, "sslmode": "prefer"}, 6),
        ({"port": 5433}, {"host": "one.example.com", "database": "shop", "port": 5433, "sslmode": "prefer"}, 28),
        ({"host": "one.example.com"}, {"host": "one.example.com", "database": "shop", "port": 5432, "sslmode": "prefer"}, 28),
    ]:
        result = keep(project, connection="@db.one", **beside)
        ((connection, length),) = project.rows(result, "keep", "select connection, password_bytes from main")
        assert (json.loads(connection), length) == (expected, password), beside
        shown = keep(project, plan=True, connection="@db.one", **beside)["config"]
        assert shown["connection"] == expected | {"password": "***MASKED***"}
        assert not {"host", "port", "sslmode", "password"} & set(shown), "what has no effect is not shown"
    words = project.osiris("plan", "pipeline.yaml", env={"PW": "x", "PORT": "1"}).stdout
    assert "one.example.com:5432" in words


def test_no_option_beside_a_connection_leads_elsewhere(project):
    """The connection's login is only for its own server, even if another host may be connected to."""
    for connection, beside, names in [
        ("@db.one", {"host": "two.example.com"}, ("`@db.one`", "`host`")),
        ("@db.one", {"host": "evil.example.com"}, ("`@db.one`", "`host`")),
        ("@db.port", {"port": 1}, ("`@db.port`", "`port`")),
    ]:
        said = keep(project, expect=2, plan=True, connection=connection, **beside)["stderr"]
        assert all(name in said for name in names) and "both say where to connect" in said, said
    assert "evil.example.com" in keep(project, expect=2, plan=True, host="evil.example.com")["stderr"]


def test_texts_from_the_environment_get_the_type_that_the_driver_expects(project):
    result = keep(project, connection="@db.port")
    assert json.loads(project.rows(result, "keep", "select connection from main")[0][0])["port"] == 7777
    planned = keep(project, plan=True, host="one.example.com", port="${PORT}")
    assert planned["config"]["port"] == "***MASKED***" and any("`one.example.com:7777`" in words for words in planned["grants"]["words"])
    for port, told in (("5432", "`port` must be an integer, but is the text"), ("${PW}", "`port` must be an integer")):
        assert told in keep(project, expect=2, plan=True, host="one.example.com", port=port)["stderr"]


def test_secrets_are_restored_to_their_places_whatever_the_names_on_the_way(project):
    body = {"a.token": "1", "a": {"token": "22", "list": [{"password": "333"}, 5]}, "x/y~z_secret": "4444", "": {"token": "55555"}, "open": "666666"}
    result = keep(project, body=body)
    assert json.loads(project.rows(result, "keep", "select body from main")[0][0]) == {
        "a.token": 1, "a": {"token": 2, "list": [{"password": 3}, 5]}, "x/y~z_secret": 4, "": {"token": 5}, "open": 6,
    }


def test_a_known_secret_inside_another_field_is_not_shown(project):
    config = {"key": "${LONG_API_KEY}", "password": "${API_TOKEN}", "table": "http://h/?a=1&k=${LONG_API_KEY}", "filter": "http://h/x?api_key=${API_TOKEN}&b=2"}
    shown = keep(project, plan=True, **config)["config"]
    assert shown == {"key": "***MASKED***", "password": "***MASKED***", "table": "http://h/?a=1&k=***MASKED***", "filter": "http://h/x?api_key=***MASKED***&b=2"} | {name: shown[name] for name in shown if name not in config}
    config = {"filter": "set password '${LONG_API_KEY}' or table t0k-3n", "table": "${PORT}"}
    shown = keep(project, plan=True, **config)["config"]
    assert shown["filter"] == "set password '***MASKED***' or table t0k-3n" and shown["table"] == "***MASKED***"
    result = keep(project, **config)
    kept = [path for path in Path(result["session_path"]).rglob("*") if path.is_file() and b"0123456789abcdef" in path.read_bytes()]
    assert kept == []
