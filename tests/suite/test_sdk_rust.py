"""Drivers written with the Rust SDK outside of this repository. What the SDK does by itself is tested natively in sdk/rust."""

import json
import os
import shutil
import subprocess
import tomllib

import pytest
from conftest import OSIRIS, ROOT, TARGET
from http_server import web  # noqa: F401  # a fixture
from sdk_examples import run_examples

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
    run_examples(project, web, drivers, "rust")
