"""Where values come from that nobody writes into a pipeline: `.env`, files of secrets, and programs that print them."""

import json
import os
import time
from pathlib import Path

import pytest

SECRET = "fr0m-a-safe-place-31"
ECHO = "test.config_echo"


def echo(**config) -> list[dict]:
    return [{"id": "echo", "component": ECHO, "config": config}]


def echoed(project, result: dict) -> dict:
    return json.loads(project.rows(result, "echo")[0][0])


def sql(value: str) -> list[dict]:
    return [{"id": "make", "component": "duckdb.processor", "config": {"query": f"select '{value}' as v"}}]


def traces(folder: Path, secret: str = SECRET, spare: tuple = ()) -> list[str]:
    """The files below the folder that contain the secret, apart from those that hold it."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name not in spare and file.suffix != ".duckdb"]
    return [str(file) for file in files if secret.encode() in file.read_bytes()]


def test_the_file_env_sets_what_the_environment_does_not(project):
    project.write(".env", "# names\nexport ONE='it is 1'\nTWO=two # second\nOSIRIS_PARAM_DAY=\"monday\"\n")
    steps = sql("${ONE} ${TWO} ${params.day}")
    result = project.run(steps, params={"day": "sunday"}, env={"TWO": "2"})
    assert project.rows(result, "make") == [("it is 1 2 monday",)]
    project.write("other.env", "ONE=a\nTWO=b\n")
    assert project.rows(project.run(None, "--env-file", "other.env"), "make") == [("a b sunday",)]
    done = project.osiris("plan", "pipeline.yaml", "--env-file", "missing.env")
    assert done.returncode == 2 and "cannot read `missing.env`" in done.stderr and "--env-file" in done.stderr


def test_a_folder_called_env_is_not_read(project):
    (project.folder / ".env").mkdir()
    project.run(sql("x"))


def test_osiris_itself_is_not_configured_by_the_file_env(project):
    project.write(".env", f"OSIRIS_DRIVERS=/nowhere\nPATH=/nowhere\nOSIRIS_LOG=trace\nsecret={SECRET}\n")
    assert project.run(sql("x"))["stderr"].count("TRACE") == 0


@pytest.mark.parametrize("text, message", [
    ("A=1\nfoo s3cret", "line 2 of `.env` has no `=`"), ("A='s3cret", "line 1 of `.env` begins a text in quotes that does not end"),
    ("A B=s3cret", "line 1 of `.env` does not begin with the name of a variable"), ("A=1\nA=s3cret", "lines 1 and 2 of `.env` both set `A`"), ("A='s3cret' b", "goes on behind the quotes"),
])
def test_a_malformed_line_is_named_and_its_value_is_not(project, text, message):
    project.write(".env", text)
    project.pipeline(sql("x"))
    for verb in ("run", "plan", "validate"):
        done = project.osiris(verb, "pipeline.yaml")
        assert done.returncode == 2 and message in done.stderr and "s3cret" not in done.stderr


@pytest.mark.parametrize("name", [".env", "secrets/token", "my.env", "./sub/../secrets/token", "link", "osiris.yaml"])
def test_no_step_reads_a_file_of_secrets(project, name):
    project.write(".env", f"A={SECRET}\n")
    project.write("my.env", f"A={SECRET}\n")
    project.write("secrets/token", SECRET)
    (project.folder / "sub").mkdir()
    os.symlink("secrets/token", project.folder / "link")
    project.write("osiris.yaml", json.dumps({"secrets": {"token": {"file": "secrets/token"}}}))
    read = {"id": "read", "component": "filesystem.csv_extractor", "config": {"path": name}}
    write = {"id": "write", "component": "filesystem.csv_writer", "needs": [], "inputs": {"a": {"from_step": "make"}}, "config": {"path": name}}
    for steps in ([read], [*sql("x"), write]):
        project.pipeline(steps)
        done = project.osiris("run", "pipeline.yaml", "--env-file", "my.env")
        assert done.returncode in (1, 2) and SECRET not in done.stdout + done.stderr
        assert "Osiris's own files" in done.stderr or (name == "link" and "no plain file" in done.stderr), done.stderr
    assert (project.folder / "secrets/token").read_text() == SECRET


@pytest.mark.parametrize("how", ["file", "command"])
def test_a_secret_of_the_operator_reaches_its_step_and_nothing_else(project, how):
    project.write("secrets/token", SECRET + "\r\n" if how == "file" else SECRET + "\n")
    source = {"file": "secrets/token"} if how == "file" else {"command": "cat secrets/token; echo a warning >&2", "timeout": "20s"}
    project.write("osiris.yaml", json.dumps({"secrets": {"token": source, "unused": {"file": "/nowhere"}, "never": {"command": "touch started"}}}))
    config = {"text": "a ${secret:token} b", "nested": [{"deep": "${secret:token}"}]}
    result = project.run(echo(**config))
    assert SECRET in json.dumps(echoed(project, result)) and not (project.folder / "started").exists()
    assert SECRET not in json.dumps({key: result[key] for key in ("steps", "stderr")})
    plan = project.osiris("plan", "pipeline.yaml")
    assert plan.returncode == 0 and SECRET not in plan.stdout + plan.stderr and "MASKED" in plan.stdout
    assert traces(project.folder, spare=("token",)) == []


def test_a_connection_may_name_a_file(project):
    project.write("host", "db.example.com\n")
    project.write("password", SECRET)
    fields = {"host": "${file:host}", "password": "${file:password}"}
    project.write("osiris_connections.yaml", json.dumps({"connections": {"api": {"main": fields, "other": {"host": "${file:/nowhere}"}}}}))
    result = project.run(echo(connection="@api.main", text="x"))
    assert echoed(project, result)["connection"]["host"] == "db.example.com"
    assert SECRET not in json.dumps(result) and traces(project.folder, spare=("password",)) == []
    done = project.osiris("plan", "pipeline.yaml")
    assert done.returncode == 0 and "db.example.com" not in done.stdout
    # The fields that name a secret of another connection are none of this one.
    project.pipeline(echo(connection="@api.other", text="x"))
    done = project.osiris("run", "pipeline.yaml")
    assert done.returncode == 2 and "connection `@api.other` needs `file:/nowhere`" in done.stderr


@pytest.mark.parametrize("reference", ["${file:secrets/token}", "a ${file:/etc/hostname}", "${ file:secrets/token }"])
def test_a_pipeline_names_no_file_and_no_command(project, reference):
    project.write("secrets/token", SECRET)
    # The connection has read the file; the pipeline may not use it for all that.
    project.write("osiris_connections.yaml", json.dumps({"connections": {"api": {"main": {"host": "127.0.0.1", "password": "${file:secrets/token}"}}}}))
    for config in ({"text": reference}, {"connection": "@api.main", "text": reference}, {"nested": [{"deep": reference}]}):
        project.pipeline(echo(**config))
        for verb in ("run", "plan", "validate"):
            done = project.osiris(verb, "pipeline.yaml")
            assert done.returncode == 2 and "which a pipeline may not" in done.stderr and "secrets: {NAME: {file: PATH}}" in done.stderr, done.stderr
    project.pipeline(echo(text="${command:touch started}"))
    assert project.osiris("run", "pipeline.yaml").returncode == 2
    done = project.osiris("run", "pipeline.yaml", env={"command:touch started": "x", "file:x": "y"})
    assert done.returncode == 2 and not (project.folder / "started").exists()
    project.write("pipeline.yaml", 'oml_version: "0.1.0"\nname: x\nsecrets: {a: {command: touch started}}\nsteps: [{id: a, component: duckdb.processor, config: {query: select 1}}]')
    done = project.osiris("run", "pipeline.yaml")
    assert done.returncode == 2 and "secrets" in done.stderr and not (project.folder / "started").exists()


def test_only_a_run_starts_a_command(project):
    project.write("osiris.yaml", json.dumps({"secrets": {"token": {"command": "touch started; echo x12345678"}}}))
    project.pipeline(echo(text="${secret:token}"))
    for verb in (["plan"], ["validate"], ["lock"]):
        done = project.osiris(*verb, "pipeline.yaml")
        assert done.returncode == 0 and not (project.folder / "started").exists(), done.stderr
    project.run(None)
    assert (project.folder / "started").exists()


@pytest.mark.parametrize("command, said", [
    (f"echo {SECRET}; echo is locked >&2; exit 3", "failed (exit status: 3): is locked"), (f"echo {SECRET}; sleep 60 & sleep 60", "took longer than 200ms"), ("true", "is empty"),
    ("head -c 70000 /dev/zero | tr '\\\\0' x", "printed more than 64 KiB"), ("printf '\\\\377'", "not UTF-8"), ("kill -9 $$", "failed (signal: 9"), ("nosuchprogram", "not found"),
])
def test_a_command_that_fails_is_told_by_its_stderr_alone(project, command, said):
    project.write("osiris.yaml", json.dumps({"secrets": {"token": {"command": command.replace("\\\\", "\\"), "timeout": "200ms" if "sleep" in command else "30s"}}}))
    project.pipeline(echo(text="${secret:token}"))
    start = time.monotonic()
    done = project.osiris("run", "pipeline.yaml")
    assert done.returncode == 2 and said in done.stderr and "step `echo` needs `secret:token`" in done.stderr, done.stderr
    assert SECRET not in done.stdout + done.stderr and time.monotonic() - start < 20


@pytest.mark.parametrize("secrets, message", [
    ({"a": {"file": "x", "command": "y"}}, "both a `file` and a `command`"), ({"a": {}}, "neither a `file` nor a `command`"), ({"a": {"file": "x", "timeout": "1s"}}, "has a `timeout`"),
    ({"a": {"command": "x", "timeout": "1 s"}}, "has the timeout `1 s`"), ({"a": {"fil": "x"}}, "unknown field"), ({"a b": {"file": "x"}}, "cannot be called so"),
])
def test_a_malformed_declaration_is_refused(project, secrets, message):
    project.write("osiris.yaml", json.dumps({"secrets": secrets}))
    project.pipeline(sql("x"))
    done = project.osiris("validate", "pipeline.yaml")
    assert done.returncode == 2 and message in done.stderr and "osiris.yaml" in done.stderr, done.stderr


def test_an_undeclared_secret_is_named_with_those_that_are_declared(project):
    project.write("osiris.yaml", json.dumps({"secrets": {"token": {"file": "x"}}}))
    project.pipeline(echo(text="${secret:tokn}"))
    done = project.osiris("plan", "pipeline.yaml")
    assert done.returncode == 2 and "needs the secret `tokn`" in done.stderr and "declared: `token`" in done.stderr and "did you mean `token`?" in done.stderr
    # An environment variable of that name is no secret.
    assert project.osiris("plan", "pipeline.yaml", env={"secret:tokn": "x"}).returncode == 2


def test_a_secret_in_an_error_is_redacted(project):
    project.write("osiris.yaml", json.dumps({"secrets": {"token": {"command": f"echo {SECRET}"}}}))
    project.pipeline([{"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "${secret:token}", "header": "${secret:token}"}}])
    done = project.osiris("run", "pipeline.yaml", "--json")
    assert done.returncode == 2 and SECRET not in done.stdout + done.stderr and "MASKED" in done.stderr
    project.pipeline([{"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "${secret:token}.csv"}}])
    done = project.osiris("run", "pipeline.yaml")
    assert done.returncode == 2 and SECRET not in done.stdout + done.stderr


def test_a_short_secret_is_warned_of(project):
    project.write("osiris.yaml", json.dumps({"secrets": {"pin": {"command": "echo 12"}}}))
    assert "`secret:pin` are too short" in project.run(echo(text="${secret:pin}"))["stderr"]
