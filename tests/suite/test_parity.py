"""The same pipelines on this machine, on a worker, on a Ray cluster and in sandboxes of E2B (a stand-in): same rows, types, events,
errors and exit codes. A table of what was compared is printed at the end of pytest's output."""

import json
import shutil

import pytest
from conftest import CANARY, GUESTS, OSIRIS, Project, cache_folder, holding
from e2b_stand_in import StandIn
from parity import Place, Run, differences, everywhere
from parity_cases import PIPELINES, SECRET, STATE_KEY, serve
from ray_cluster import ray_cluster  # noqa: F401, a fixture
from shops import PASSWORD, mariadb, postgres  # noqa: F401, fixtures
from test_wrong_input import CASES, make_drivers

pytestmark = pytest.mark.local_only("a test that chooses executors itself")

SECRETS = [SECRET, STATE_KEY, CANARY, PASSWORD]


@pytest.fixture(scope="module")
def places(ray_cluster, postgres, mariadb, tmp_path_factory):
    ray_cluster.ensure("one", cpus=8)
    stand_in = StandIn(tmp_path_factory.mktemp("e2b"), {"ready": {"PATH": str(OSIRIS.parent), "OSIRIS_CACHE_DIR": str(cache_folder())}})
    places = [
        Place("local", ["--on", "local"], {}),
        Place("command", ["--on", f"{OSIRIS} worker --slots 4"], {}),
        Place("ray", ["--on", f"ray:{ray_cluster.address}"], ray_cluster.environment()),
        Place("e2b", ["--on", "e2b:ready"], stand_in.env),
    ]
    for place in places:
        serve(place.server)
        place.connections = {
            "http": {"api": {"url": place.server.url, "private_network": True, "token": SECRET}, "nobody": {"url": "http://127.0.0.1:1", "private_network": True}},
            "db": {"dev": {"host": "dev.example.com", "database": "shop"}},
        }
        fill(place, postgres, mariadb)
    yield places
    for place in places:
        place.server.close()
    assert stand_in.alive == {}
    stand_in.close()


def fill(place: Place, postgres, mariadb) -> None:  # noqa: F811
    """Databases for the place, each with a table to read."""
    name = f"parity_{place.name}"
    with postgres.connect("postgres") as connection:
        connection.execute(f"create database {name}")
    with postgres.connect(name) as connection:
        connection.execute("create table source as select i as id, 'ü' || i as t, i / 8.0 as d, now() - now() as v from generate_series(1, 3000) i")
    mariadb.run(f"create database {name}", f"create table {name}.source as select seq as id, concat('u', seq) as t, seq / 8 as d from seq_1_to_3000")
    for family, server in (("postgres", postgres), ("mysql", mariadb)):
        place.connections[family] = {"shop": server.connection(database=name, password="${SHOP_PASSWORD}", private_network=True)}


@pytest.fixture
def compare(record_property):
    """Compares what was found in each place with what was found here, and adds a line to the table."""

    def compare(case: str, here: str, found: dict[str, object]) -> list[str]:
        different = {name: differences(found["local"], other) for name, other in found.items()}
        record_property("parity", (case, here, {name: not lines for name, lines in different.items()}))
        return [f"{case}, {name}: {line}" for name, lines in different.items() for line in lines]

    return compare


def ending(steps: list[dict]) -> str:
    def one(step: dict) -> str:
        return step["error"]["kind"] if step["error"] else "skipped" if step["status"] == "skipped" else f"{step['rows']} rows"

    return ", ".join(dict.fromkeys(map(one, steps)))


@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda pipeline: pipeline.name)
def test_a_pipeline_gives_the_same_everywhere(places, tmp_path, compare, pipeline):
    ids = [step["id"] for step in pipeline.steps]
    assert len(set(ids)) == len(ids)

    def act(place, folder):
        project = Project(folder)
        project.write("osiris_connections.yaml", json.dumps({"connections": place.connections}))
        pipeline.prepare(project)
        project.pipeline(pipeline.steps, **pipeline.more)
        seen = []
        for _ in range(pipeline.runs):
            run = Run(place, project, "--json", "--jobs", "4", *pipeline.arguments, env={"MASK_KEY": "secret.of.a.mask.91b2", "SHOP_PASSWORD": PASSWORD})
            seen.append((run, {id: run.of_step(id) for id in ids}, run.whole()))
        assert [file for secret in SECRETS for file in holding(folder, secret)] == []
        return seen

    found = everywhere(places, tmp_path, act)
    lines = []
    if pipeline.runs > 1:
        assert differences(*(seen[1:] for seen in found["local"][:2])), "a second run has a state, which the comparison must find"
    for number in range(pipeline.runs):
        here, _, whole = found["local"][number]
        again = ", again" if number else ""
        assert here.code == pipeline.code, "\n".join(here.stderr)
        for case, steps in pipeline.cases.items():
            own = [step["id"] for step in steps]
            lines += compare(case + again, ending([here.steps[id] for id in own]), {name: {id: seen[number][1][id] for id in own} for name, seen in found.items()})
        asked = f", {len(whole['requests'])} requests" if whole["requests"] else ""
        lines += compare(f"{pipeline.name}: output, files, requests{again}", f"exit code {here.code}{asked}", {name: seen[number][2] for name, seen in found.items()})
    assert not lines, "\n".join(lines)


def test_wrong_input_is_reported_alike_everywhere(places, tmp_path, compare):
    def act(place, folder):
        seen = {}
        for case in CASES:
            project = Project(folder / case.name)
            shutil.copytree(case, project.folder)
            make_drivers(project)
            project.write("drivers/test.config_echo.wasm", (GUESTS / "test.config_echo.wasm").read_bytes())
            run = Run(place, project, env={"OSIRIS_DRIVERS": ""})
            assert run.session is None and not (project.folder / ".osiris_sessions").exists()
            seen[case.name] = {"exit code": run.code, "output": run.stderr}
        return seen

    found = everywhere(places, tmp_path, act)
    lines = []
    for case in CASES:
        code = found["local"][case.name]["exit code"]
        lines += compare(f"wrong input: {case.name.removeprefix('wrong-')}", f"exit code {code}", {name: seen[case.name] for name, seen in found.items()})
    assert not lines, "\n".join(lines)
