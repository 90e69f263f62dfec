"""What can be seen of a run, without names of places and times, so that runs of the same pipeline in several places can be compared."""

import json
import re
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import yaml
from conftest import Project
from http_server import Server

# What differs from run to run: times, durations, names of sessions and ports.
UNSTABLE = {"ts", "session", "session_id", "session_path", "started_at", "finished_at", "duration_ms", "on", "updated_at", "wait_ms"}
WORDS = [
    (re.compile(r"session_\d{8}_\d{6}_\d{6}"), "SESSION"),
    (re.compile(r"\b[\d.]+ (ms|s)$", re.M), "TIME"),
    (re.compile(r"the next one is in [\d.]+m?s"), "the next one is in TIME"),
    # What is left of the limit once the step has been handed over, which takes a second on a busy machine.
    (re.compile(r"was stopped after \d+ s, its time limit"), "was stopped after TIME, its time limit"),
    (re.compile(r"[\d.]+ MiB/"), "SOME MiB/"),
]


@dataclass
class Place:
    """Where steps run, with a web server and a folder of its own."""

    name: str
    on: list[str]
    env: dict[str, str]
    server: Server = field(default_factory=Server)
    connections: dict = field(default_factory=dict)


class Run:
    """One run in one place, and all that can be seen of it."""

    def __init__(self, place: Place, project: Project, *arguments: str, env: dict[str, str]):
        place.server.requests.clear()
        place.server.asked.clear()
        done = project.osiris("run", "pipeline.yaml", *place.on, *arguments, env=place.env | env)
        self.place, self.project, self.code = place, project, done.returncode
        self.stderr = sorted(self.plain(done.stderr).splitlines())
        # What was wrong before anything ran leaves no session.
        result = json.loads(done.stdout) if done.stdout.strip() else {"steps": []}
        self.session = project.folder / result["session_path"] if "session_path" in result else None
        self.steps = {step["id"]: self.stable(step) for step in result.pop("steps")}
        self.result = self.stable(result)
        self.events, self.metrics = self.log("events.jsonl"), self.log("metrics.jsonl")
        # Durations are metrics.
        self.metrics = [metric | {"value": "TIME"} if metric["metric"] == "step_duration_ms" else metric for metric in self.metrics]
        manifest = yaml.load((self.session / "manifest.yaml").read_text(), yaml.CSafeLoader) if self.session else {"steps": []}
        self.records = {step["id"]: self.stable(step) for step in manifest["steps"]}

    def plain(self, text: str) -> str:
        text = text.replace(str(self.project.folder), "BASE").replace(f"parity_{self.place.name}", "DATABASE").replace(f":{self.place.server.port}", ":PORT")
        for pattern, word in WORDS:
            text = pattern.sub(word, text)
        return text

    def stable(self, value):
        match value:
            case dict():
                return {self.plain(key): self.stable(inner) for key, inner in value.items() if key not in UNSTABLE}
            case list():
                return [self.stable(inner) for inner in value]
            case str():
                return self.plain(value)
            case _:
                return value

    def log(self, name: str) -> list[dict]:
        lines = (self.session / "logs" / name).read_text().splitlines() if self.session else []
        return [self.stable(json.loads(line)) for line in lines]

    def of_step(self, id: str) -> dict:
        """What can be seen of one step: its record, events, metrics, types and rows."""
        events = [event for event in self.events if event.get("step_id") == id]
        metrics = [metric for metric in self.metrics if metric.get("step_id") == id]
        return {"result": self.steps.get(id), "record": self.records.get(id), "events": events, "metrics": metrics, "tables": self.tables(id)}

    def tables(self, id: str) -> dict:
        file = self.session / "data" / f"{id}.duckdb" if self.session else None
        if file is None or not file.exists():
            return {}
        with duckdb.connect(str(file), read_only=True) as connection:
            names = sorted(name for (name,) in connection.execute("select table_name from information_schema.tables").fetchall())
            quoted = {name: '"' + name.replace('"', '""') + '"' for name in names}
            types = {name: connection.execute(f"describe {quoted[name]}").fetchall() for name in names}
            # As text: NaN is not equal to itself.
            return {name: (types[name], repr(connection.execute(f"from {quoted[name]}").fetchall())) for name in names}

    def whole(self) -> dict:
        """What can be seen of the run as a whole: its end, its output, what it left, and what its server was asked."""
        events = [event for event in self.events if "step_id" not in event]
        asked = sorted((request.method, request.path, sorted(request.query.items()), self.plain(repr(sorted(request.headers.items()))), request.body) for request in self.place.server.requests)
        return {"exit code": self.code, "output": self.stderr, "result": self.result, "events": events, "files": self.files(), "requests": asked}

    def files(self) -> dict:
        """All files of the base folder: the content of those outside of sessions, and the names of those in sessions."""
        found = {}
        for file in sorted(self.project.folder.rglob("*")):
            name = self.plain(str(file.relative_to(self.project.folder)))
            is_session = ".osiris_sessions" in file.parts
            if file.is_file():
                found[name] = None if is_session else self.content(file)
        return found

    def content(self, file: Path) -> bytes | object:
        if file.suffix == ".json" and ".osiris" in file.parts:
            return self.stable(json.loads(file.read_text()))
        return self.plain(file.read_bytes().decode("latin-1"))


def differences(expected, found, at: str = "") -> list[str]:
    """Where two values differ, and how."""
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = list(expected) + [key for key in found if key not in expected]
        return [line for key in keys for line in differences(expected.get(key), found.get(key), f"{at}/{key}")]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [line for place, pair in enumerate(zip(expected, found)) for line in differences(*pair, f"{at}/{place}")]
    return [] if expected == found else [f"{at}:\n  local: {shown(expected, found)}\n  here:  {shown(found, expected)}"]


def shown(value, other) -> str:
    """The part of a value from a little before where it differs from another."""
    text, other = repr(value), repr(other)
    same = next((place for place, pair in enumerate(zip(text, other)) if pair[0] != pair[1]), min(len(text), len(other)))
    return text[max(0, same - 200) : same + 300]


def everywhere(places: list[Place], folder: Path, act) -> dict[str, object]:
    """What `act(place, folder)` returns for each place, at the same time; each has a folder of its own with the same name."""
    results, errors = {}, []

    def one(place: Place) -> None:
        own = folder / place.name / "base"
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True)
        try:
            results[place.name] = act(place, own)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(place,)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for error in errors:
        raise error
    return results
