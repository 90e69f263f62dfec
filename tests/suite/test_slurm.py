"""Steps in allocations of Slurm, by the command line of docs/scale-out.md. Runs where Debian's `slurm-wlm` is installed."""

import os
import re
import subprocess
import time
from pathlib import Path

from conftest import CANARY, GUESTS, OSIRIS, ROOT
from slurm_cluster import slurm  # noqa: F401


def documented(place: Path) -> str:
    """The `srun` line of the documentation, with this program, and less memory."""
    [line] = re.findall(r"command: (srun .*osiris worker.*)", (ROOT / "docs" / "scale-out.md").read_text())
    return line.replace("/opt/osiris/osiris", str(OSIRIS)).replace("/var/tmp/osiris", str(place)).replace("16G", "1G")


def start(project, slurm, before: list[str] = []) -> subprocess.Popen:
    environment = {"HOME": os.environ["HOME"], "OSIRIS_DRIVERS": str(GUESTS), "OSIRIS_CANARY": CANARY}
    command = [*before, str(OSIRIS), "run", "pipeline.yaml", "--no-cache", "--on", "slurm"]
    return subprocess.Popen(command, cwd=project.folder, env=slurm.environment | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def workers(place: Path) -> list[Path]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if arguments[0] == str(OSIRIS).encode() and str(place).encode() in arguments:
            found.append(process)
    return found


def until(what, run: subprocess.Popen):
    deadline = time.monotonic() + 60
    while not (found := what()):
        assert run.poll() is None and time.monotonic() < deadline, run.communicate()
        time.sleep(0.02)
    return found


def test_steps_run_in_an_allocation_without_the_hosts_environment_and_again_after_scancel(project, slurm, tmp_path_factory):
    place = tmp_path_factory.mktemp("workers")
    project.write("osiris.yaml", f"workers: {{slurm: {{command: '{documented(place)}'}}}}\n")
    # With Slurm's default, a job has all variables of whoever starts it.
    assert CANARY in slurm.ask("srun", "--quiet", "env", OSIRIS_CANARY=CANARY)

    query = "select sum(sin(a.range) * b.range) as x, count(*) as n from range(15000) a, range(20000) b"
    project.pipeline([project.sql(query) | {"retries": 1}, project.sql("select n from source", "after") | {"needs": ["source"]}])
    run = start(project, slurm)
    [worker, *_] = until(lambda: workers(place), run)
    environment = (worker / "environ").read_text()
    assert "SLURM_JOB_ID=" in environment and CANARY not in environment
    [first] = slurm.jobs()
    until(lambda: '"step_start"' in "".join(file.read_text() for file in project.folder.glob(".osiris_sessions/*/logs/events.jsonl")), run)
    slurm.ask("scancel", first)
    [second] = until(lambda: [job for job in slurm.jobs() if job != first], run)
    out, said = run.communicate(timeout=120)
    assert run.returncode == 0 and re.search(r"source .* success", out) and re.search(r"after .* success", out), out + said
    assert slurm.jobs() in ([], [second]) and workers(place) == []

    # A host that is killed leaves no job.
    run = start(project, slurm)
    [third] = until(slurm.jobs, run)
    until(lambda: workers(place), run)
    run.kill()
    run.wait()
    deadline = time.monotonic() + 60
    while slurm.jobs() or workers(place):
        assert time.monotonic() < deadline, f"job {third} outlived its host"
        time.sleep(0.05)

    project.pipeline([project.sql("select 1 as a")])
    [allocate] = re.findall(r"`(salloc .*?) osiris run pipeline.yaml --on slurm`", (ROOT / "docs" / "scale-out.md").read_text())
    run = start(project, slurm, allocate.replace("16G", "1G").split())
    out, said = run.communicate(timeout=60)
    assert run.returncode == 0 and "success" in out and "allocation" in said, out + said
