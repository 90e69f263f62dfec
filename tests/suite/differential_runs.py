"""Shared by all kinds of the differential fuzz: findings, and runs of very many small steps."""

import json
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from conftest import OSIRIS, Project

# Forks its steps from a warm process of this machine, if tools/build-guests has built it: a small step takes a quarter of the time.
WARM = OSIRIS.with_name("warm-steps")

# This many differences are reduced to the smallest input.
SMALLEST = 20


@dataclass
class Findings:
    """What a run of the fuzz did, and each difference with the smallest input that shows it."""

    counts: Counter = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counted = ", ".join(f"{number:,} {name}" for name, number in sorted(self.counts.items()))
        return "\n".join([counted, *self.differences])


class Steps:
    """Runs many steps of which some may fail, and opens what they made in one DuckDB."""

    def __init__(self, project: Project, jobs: int | None = None):
        self.project = project
        self.more = ["--jobs", str(jobs)] if jobs else []
        self.program = WARM if WARM.exists() and not project.on else OSIRIS
        self.connection = duckdb.connect(config={"threads": 1})
        self.connection.execute("set timezone = 'UTC'")
        self.opened = 0

    def run(self, steps: list[dict]) -> dict[str, dict]:
        """Each step's record; each successful one has its file's `path`."""
        shutil.rmtree(self.project.folder / ".osiris_sessions", ignore_errors=True)
        (self.project.folder / "osiris.lock").unlink(missing_ok=True)
        self.project.pipeline(steps)
        done = self.project.osiris("run", "pipeline.yaml", "--json", *self.more, timeout=1800, program=self.program)
        assert done.returncode in (0, 1), f"exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        result = json.loads(done.stdout)
        data = Path(result["session_path"]) / "data"
        return {step["id"]: step | {"path": data / f"{step['id']}.duckdb"} for step in result["steps"]}

    def open(self, path: Path) -> str:
        """Attaches a step's file; gives its catalog's name."""
        self.opened += 1
        name = f"opened_{self.opened}"
        self.connection.execute(f"attach '{path}' as {name} (read_only)")
        return name

    def close(self, name: str) -> None:
        self.connection.execute(f"detach {name}")


def message(step: dict) -> str:
    return step["error"]["message"] + " " + (step["error"].get("hint") or "") if step["error"] else step["status"]


def refused(step: dict) -> bool:
    return step["status"] != "success"


def sql_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
