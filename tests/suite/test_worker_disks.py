"""The disk of a worker, or of its host, is full: the machine is named, nothing is left, and other steps go on."""

import json
import os
import subprocess

import pytest
from conftest import OSIRIS, Project

UNSHARE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
CAN_MOUNT = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0
pytestmark = pytest.mark.skipif(not CAN_MOUNT, reason="this machine lets no test mount a small disk: none was full")

# 16 MB in a database, since random numbers do not become smaller; and 20 MB as CSV that are hardly anything in a database.
WIDE = "select hash(i) as a from range(2_000_000) t(i)"
LONG = "select repeat('x', 1000) as a from range(20_000)"
# Beyond what the limits allow by themselves on so small a disk.
UNLIMITED = ["--output-size", "1GB", "--spill", "1GB"]


def run(project: Project, small: str, steps: list[dict], *worker: str) -> dict:
    """Runs steps in the folder `base` on a worker in the folder `workers`, of which `small` is a disk of 12 MB."""
    base, workers, left, out = (project.folder / name for name in ("base", "workers", "left", "out"))
    for folder in (base, workers):
        folder.mkdir(exist_ok=True)
    pipeline = project.pipeline([{"needs": []} | step for step in steps])
    script = (
        f'mount -t tmpfs -o size=12m none {project.folder}/{small} && cd {base} && cp {pipeline} . && printf before > out.csv && "$@"\n'
        f"code=$?; find {base} {workers} > {left}; cat out.csv > {out}; exit $code"
    )
    on = f"exec {OSIRIS} worker --slots 1 --dir {workers} {' '.join(worker)}"
    done = project.osiris("run", "pipeline.yaml", "--json", "--on", on, *UNLIMITED, before=[*UNSHARE, "sh", "-c", script, "sh"])
    assert done.returncode == 1, done.stderr
    assert out.read_text() == "before"
    assert not any(word in left.read_text() for word in ("worker-", ".part", "scratch")), left.read_text()
    return {step["id"]: step for step in json.loads(done.stdout)["steps"]}


def test_a_full_disk_of_the_worker_is_named_and_ends_only_what_does_not_fit(project):
    project.write("base/in.csv", "a\n" + "x" * 20_000_000)
    steps = [
        {"id": "large", "component": "filesystem.csv_extractor", "config": {"path": "in.csv"}},
        project.sql(WIDE, "wide"),
        project.sql("select 1 as a", "small"),
        {"id": "after", "component": "duckdb.processor", "needs": ["small"], "config": {"query": "from small"}},
    ]
    for worker, words in ((["--room", "1GB"], "No space left on device"), (["--room", "2MB"], "the worker has no room for 20.0 MB of data more")):
        found = run(project, "workers", steps, *worker)
        for step in ("large", "wide") if words.startswith("No space") else ("large",):
            error = found[step]["error"]
            assert (error["kind"], error["blame"]) == ("disk-full", "host"), error
            assert error["message"].startswith(f"worker `exec {OSIRIS} worker") and "on that machine" in error["hint"], error
        assert words in found["large"]["error"]["message"]
        assert found["small"]["status"] == found["after"]["status"] == "success"


def test_a_full_disk_of_the_host_is_not_blamed_on_the_worker(project):
    steps = [
        project.sql(WIDE, "wide"),
        project.sql(LONG, "long"),
        {"id": "write", "component": "filesystem.csv_writer", "needs": ["long"], "config": {"path": "out.csv"}},
        {"id": "after", "component": "duckdb.processor", "needs": ["long"], "config": {"query": "select count(*) as n from long"}},
    ]
    found = run(project, "base", steps)
    for step in ("wide", "write"):
        error = found[step]["error"]
        assert (error["kind"], error["blame"]) == ("disk-full", "host"), error
        assert error["message"] == "cannot write what a worker sent: No space left on device (os error 28)"
        assert "the disk that holds the session" in error["hint"]
    assert found["long"]["status"] == found["after"]["status"] == "success", found["after"]
