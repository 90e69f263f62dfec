"""Where the base folder, sessions and states are: options, variables, and the keys of `osiris.yaml`."""

import json
import os
from pathlib import Path

import pytest
KEEP = {"id": "keep", "component": "test.keep", "config": {"state": "2"}}


def sql(query: str = "select 1 as a", id: str = "make") -> dict:
    return {"id": id, "component": "duckdb.processor", "needs": [], "config": {"query": query}}


def sessions(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("session_*"))


@pytest.fixture
def apart(project, tmp_path_factory):
    """A project, and a folder outside of it."""
    return project, tmp_path_factory.mktemp("outside")


WAYS = {
    "options": lambda project, out: (["--sessions", out / "s", "--state", out / "t"], {}),
    "variables": lambda project, out: ([], {"OSIRIS_SESSIONS": str(out / "s"), "OSIRIS_STATE": str(out / "t")}),
    "osiris.yaml": lambda project, out: (project.write("osiris.yaml", json.dumps({"sessions": str(out / "s"), "state": str(out / "t")})) and [], {}),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_command_finds_sessions_and_states_outside_of_the_base_folder(apart, way):
    project, out = apart
    options, env = WAYS[way](project, out)
    only = lambda name: [] if not options else options[:2] if name == "sessions" else options[2:]  # noqa: E731
    result = project.run([KEEP, sql()], *options, env=env)
    assert Path(result["session_path"]).parent == out / "s" and sessions(out / "s") == [result["session_id"]]
    assert not (project.folder / ".osiris_sessions").exists() and not (project.folder / ".osiris").exists()
    assert [path.name for path in (out / "t").glob("*/*.json")] == ["keep.json"]
    call = lambda *arguments, name="sessions": project.osiris(*arguments, *only(name), env=env)  # noqa: E731
    assert result["session_id"] in call("sessions", "list").stdout and str(out / "s") in call("sessions", "show").stdout
    assert "1" in call("query", "latest", "make").stdout
    assert json.loads(call("state", "show", "--json", name="state").stdout)[0]["step"] == "keep"
    assert project.run(None, "--resume", "latest", *options, env=env)["session_id"] == result["session_id"]
    assert call("state", "reset", "keep", "--pipeline", "test", "--yes", name="state").returncode == 0 and not list((out / "t").glob("*/*.json"))
    assert call("sessions", "gc", "--keep", "0").returncode == 0 and sessions(out / "s") == []
    assert oct((out / "s").stat().st_mode & 0o777) == oct((out / "t").stat().st_mode & 0o777) == "0o700"


def test_an_option_wins_over_a_variable_over_the_file(apart):
    project, out = apart
    project.write("osiris.yaml", json.dumps({"sessions": str(out / "file")}))
    for options, env, name in ([[], {}, "file"], [[], {"OSIRIS_SESSIONS": str(out / "env")}, "env"], [["--sessions", out / "flag"], {"OSIRIS_SESSIONS": str(out / "env")}, "flag"]):
        result = project.run([sql()], *options, env=env)
        assert Path(result["session_path"]).parent == out / name


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; see the next test")
def test_a_read_only_project_runs_with_folders_elsewhere(apart):
    read_only(*apart, lambda folder: folder.chmod(0o555), lambda folder: folder.chmod(0o755))


def test_a_project_on_a_read_only_mount_runs_with_folders_elsewhere(apart):
    project, out = apart
    if os.system(f"mount --bind {project.folder} {project.folder} 2>/dev/null && umount {project.folder}") != 0:
        pytest.skip("nothing can be mounted here")

    def lock(folder: Path) -> None:
        assert os.system(f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}") == 0

    read_only(project, out, lock, lambda folder: os.system(f"umount {folder}"))


def read_only(project, out: Path, lock, unlock) -> None:
    project.pipeline([KEEP, sql()])
    # The drivers are not pinned yet, and the lock cannot be written.
    lock(project.folder)
    try:
        options = ["--sessions", out / "s", "--state", out / "t"]
        done = project.osiris("run", "pipeline.yaml", *options)
        assert done.returncode == 2 and "cannot write `osiris.lock`" in done.stderr and "osiris lock PIPELINE" in done.stderr, done.stderr
        unlock(project.folder)
        assert project.osiris("lock", "pipeline.yaml").returncode == 0
        lock(project.folder)
        for missing, option in ((options[2:], "--sessions DIR"), (options[:2], "--state DIR")):
            done = project.osiris("run", "pipeline.yaml", *missing)
            assert done.returncode == 2 and option in done.stderr, done.stderr
        assert sessions(out / "s") == []
        for _ in range(2):
            done = project.osiris("run", "pipeline.yaml", *options)
            assert done.returncode == 0, done.stderr
        assert len(sessions(out / "s")) == 2
    finally:
        unlock(project.folder)
    assert not (project.folder / ".osiris_sessions").exists()


@pytest.mark.parametrize("where", [".", "..", "/"])
def test_the_base_folder_is_not_inside_the_sessions(project, where):
    project.pipeline([sql()])
    done = project.osiris("run", "pipeline.yaml", "--sessions", where)
    assert done.returncode == 2 and "`--sessions` cannot be" in done.stderr and "the base folder is in it" in done.stderr


@pytest.mark.parametrize("path", ["runs/{id}/manifest.yaml", "link/{id}/manifest.yaml", "runs/../runs/{id}/logs/events.jsonl", "state/test/keep.json"])
def test_no_step_reads_or_writes_sessions_and_states_wherever_they_are(project, path):
    options = ["--sessions", "runs", "--state", "state"]
    result = project.run([KEEP], *options)
    os.symlink("runs", project.folder / "link")
    path = path.format(id=result["session_id"])
    read = {"id": "read", "component": "filesystem.csv_extractor", "config": {"path": path}}
    write = {"id": "write", "component": "filesystem.csv_writer", "needs": [], "inputs": {"a": {"from_step": "make"}}, "config": {"path": path}}
    before = (project.folder / path).read_bytes()
    for steps in ([read], [sql(), write]):
        project.pipeline(steps)
        done = project.osiris("run", "pipeline.yaml", *options)
        assert done.returncode in (1, 2) and "Osiris's own files" in done.stderr, done.stderr
    assert (project.folder / path).read_bytes() == before


def test_osiris_yaml_names_the_base_folder_of_pipelines_in_it(project):
    project.write("osiris.yaml", "base: .\n")
    project.write("data/in.csv", "a\n1\n")
    steps = [{"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "data/in.csv"}}]
    project.write("pipelines/p.yaml", json.dumps({"oml_version": "0.1.0", "name": "p", "steps": steps}))
    done = project.osiris("run", "pipelines/p.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["session_path"]).parent == project.folder / ".osiris_sessions"
    assert "p" in project.osiris("sessions", "list").stdout and "1" in project.osiris("query", "latest", "read").stdout
    # The pipeline's own folder has the first say; without `base`, it is the base folder.
    project.write("pipelines/osiris.yaml", "base: ..\n")
    assert project.osiris("run", "pipelines/p.yaml").returncode == 0
    project.write("pipelines/osiris.yaml", "{}\n")
    assert project.osiris("run", "pipelines/p.yaml").returncode == 2
    # A variable and an option win.
    assert project.osiris("run", "pipelines/p.yaml", env={"OSIRIS_BASE": str(project.folder)}).returncode == 0
    assert project.osiris("run", "pipelines/p.yaml", "--base", ".", env={"OSIRIS_BASE": "/"}).returncode == 0
    project.write("pipelines/osiris.yaml", "base: nowhere\n")
    done = project.osiris("run", "pipelines/p.yaml")
    assert done.returncode == 2 and "`base: nowhere` of `pipelines/osiris.yaml` leads to no folder" in done.stderr


def test_a_strangers_pipeline_elsewhere_does_not_get_the_base_folder_of_this_one(apart):
    project, out = apart
    project.write("osiris.yaml", "base: .\n")
    project.write("data/in.csv", "a\n1\n")
    steps = [{"id": "read", "component": "filesystem.csv_extractor", "config": {"path": "data/in.csv"}}]
    (out / "p.yaml").write_text(json.dumps({"oml_version": "0.1.0", "name": "p", "steps": steps}))
    done = project.osiris("plan", out / "p.yaml", "--json")
    assert done.returncode == 2 and f"no such file in `{out}`" in done.stderr


def test_a_quiet_run_prints_only_what_went_wrong(project):
    project.pipeline([sql()])
    project.osiris("run", "pipeline.yaml")
    done = project.osiris("run", "pipeline.yaml", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(project.osiris("run", "pipeline.yaml", "--quiet", "--json").stdout)["status"] == "success"
    project.pipeline([sql(), sql("select error('no') from (select 1)", "bad")])
    done = project.osiris("run", "pipeline.yaml", "-q")
    assert done.returncode == 1 and "bad" in done.stdout and "error: step `bad`" in done.stderr and "started" not in done.stderr
    project.pipeline([sql()], schedule="daily")
    done = project.osiris("run", "pipeline.yaml", "--quiet")
    assert done.returncode == 0 and done.stdout == "" and done.stderr.startswith("warning: `schedule` has no effect") and done.stderr.count("\n") == 1
