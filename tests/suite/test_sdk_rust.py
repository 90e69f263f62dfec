"""Drivers written with the Rust SDK outside of this repository. What the SDK does by itself is tested natively in sdk/rust."""

import json
import os
import shutil
import subprocess
import tomllib

import pytest
from conftest import OSIRIS, ROOT, TARGET
from http_server import web  # noqa: F401  # a fixture

SDK = ROOT / "sdk" / "rust"
EXAMPLES = {"hello": 20, "rest": 40, "columns": 30}


def cargo(folder, *arguments) -> str:
    # The dependencies are those that this repository was built with.
    done = subprocess.run(["cargo", *arguments], cwd=folder, env=os.environ | {"CARGO_TARGET_DIR": str(TARGET)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def outside(tmp_path_factory):
    """A folder with a copy of the SDK and a project for each of its examples."""
    folder = tmp_path_factory.mktemp("rust")
    shutil.copytree(SDK, folder / "vendor" / "osiris-sdk", ignore=shutil.ignore_patterns("examples"))
    for name in EXAMPLES:
        shutil.copytree(SDK / "examples" / name, folder / name)
        manifest = folder / name / "Cargo.toml"
        manifest.write_text(manifest.read_text().replace('"../.."', '"../vendor/osiris-sdk"'))
    profile = tomllib.loads((ROOT / "Cargo.toml").read_text())["profile"]["driver"]
    settings = "\n".join(f"{key} = {json.dumps(value)}" for key, value in profile.items())
    members = json.dumps(list(EXAMPLES))
    (folder / "Cargo.toml").write_text(f'[workspace]\nresolver = "3"\nmembers = {members}\nexclude = ["vendor"]\n\n[profile.dev]\ndebug = false\n\n[profile.driver]\n{settings}\n')
    shutil.copy(ROOT / "Cargo.lock", folder)
    return folder


@pytest.fixture(scope="session")
def drivers(outside):
    """The examples, built for WebAssembly and packed."""
    cargo(outside, "build", "--offline", "--profile", "driver", "--target", "wasm32-wasip2")
    for name in EXAMPLES:
        component = TARGET / "wasm32-wasip2" / "driver" / f"example_{name}.wasm"
        subprocess.run([OSIRIS, "drivers", "pack", component, "--spec", outside / name / "spec.yaml", "-o", outside / f"{name}.wasm"], check=True)
    return outside


def test_the_examples_are_short_and_their_native_tests_pass(outside):
    for name, most in EXAMPLES.items():
        assert len((SDK / "examples" / name / "src" / "lib.rs").read_text().splitlines()) <= most, name
    assert cargo(outside, "test", "--offline").count("test result: ok") == len(EXAMPLES)


def test_the_package_has_the_contract():
    packaged = cargo(SDK, "package", "--list", "--allow-dirty", "--offline").splitlines()
    assert {"wit/driver.wit", "wit/deps/http.wit", "src/lib.rs"} <= set(packaged)


def test_rows_columns_and_pages_arrive_with_their_types(project, drivers, web):
    items = [
        {
            "id": number,
            "name": None if number % 7 == 0 else f"naïve ☃ {number} 😀",
            "amount": number + 0.25,
            "tags": ["a", None],
            "created_at": "2024-01-31T10:00:00.000001+02:00",
        }
        for number in range(1, 26)
    ]
    asked = []

    def page(request):
        asked.append(request)
        number = int(request.query.get("page", "1"))
        return {"items": items[(number - 1) * 10 : number * 10], "next": number + 1 if number < 3 else None}

    web.route("/items", page)
    project.write("osiris_connections.yaml", json.dumps({"connections": {"items": {"main": {"url": web.url}}}}))
    select = (
        "select i::integer as qty, 'ü' || i as name, case when i % 3 = 0 then null else ['1', null] end as tags, i::hugeint * 10**20::hugeint as big, "
        "uuid() as key, 'a'::enum('a', 'b') as mood, timestamptz '2024-01-01 00:00:00+00' as moment, map {'k': i} as m from range(5000) t(i)"
    )
    result = project.run(
        [
            {"id": "hello", "component": "example.hello_rust", "mode": "read", "config": {"names": ["Ada", "☃ 😀"]}},
            {"id": "rest", "component": "example.rest_rust", "mode": "read", "config": {"url": web.url, "token": "t0ken-of-the-test", "page_size": 10}},
            {"id": "source", "component": "duckdb.processor", "mode": "transform", "needs": [], "config": {"query": select}},
            {"id": "columns", "component": "example.columns_rust", "mode": "transform", "needs": ["source"], "config": {}},
            {"id": "none", "component": "duckdb.processor", "mode": "transform", "needs": ["source"], "config": {"query": "from source limit 0"}},
            {"id": "empty", "component": "example.columns_rust", "mode": "transform", "needs": ["none"], "config": {}},
        ],
        "--drivers", drivers,
    )  # fmt: skip
    assert project.rows(result, "hello") == [("hello Ada",), ("hello ☃ 😀",)]
    types = {"id": "BIGINT", "name": "VARCHAR", "amount": "DECIMAL(18,2)", "tags": "VARCHAR[]", "created_at": "TIMESTAMP WITH TIME ZONE"}
    assert project.types(result, "rest") == types and list(project.types(result, "rest")) == list(types)
    rest = project.rows(result, "rest", "select id, name, amount::varchar, tags, epoch_us(created_at) from main")
    assert rest == [(item["id"], item["name"], f"{item['amount']:.2f}", item["tags"], 1_706_688_000_000_001) for item in items]
    assert len(asked) == 3 and all(request.headers["authorization"] == "Bearer t0ken-of-the-test" for request in asked)
    source = project.types(result, "source")
    assert project.types(result, "columns") == source | {"upper": "VARCHAR", "tag_count": "BIGINT"}
    assert project.types(result, "empty") == project.types(result, "columns") and project.rows(result, "empty") == []
    columns = project.rows(result, "columns", "select qty, name, upper, tag_count from main order by qty")
    assert columns == [(2 * i, f"ü{i}", f"Ü{i}", None if i % 3 == 0 else 2) for i in range(5000)]
    untouched = "select big, key, mood::varchar, moment, m, tags from main"
    with project.database(result, "source") as before, project.database(result, "columns") as after:
        assert before.execute(untouched).fetchall() == after.execute(untouched).fetchall()
