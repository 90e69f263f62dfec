"""The connectors in examples/connectors pass their native tests and the conformance kit, on recordings of their APIs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import OSIRIS, ROOT, TARGET
from languages import BUILT_WITH, SDK, driver

CONNECTORS = ROOT / "examples" / "connectors"
SOURCES = {"github-issues": "driver.py", "stripe": "driver.ts", "posthog-events": "driver.go"}


def run(*command, within: Path = CONNECTORS, **env: str) -> str:
    done = subprocess.run(list(map(str, command)), cwd=within, env=os.environ | env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SOURCES)
def test_a_connector_passes_its_tests_and_the_checks(name, tmp_path):
    packed = driver(CONNECTORS / name / SOURCES[name], tmp_path)
    tests = CONNECTORS / name / "tests"
    told = run(OSIRIS, "drivers", "test", packed, "--tests", tests, "--drivers", TARGET / "drivers")
    assert "ok       errors (" in told and "ok       secrets (" in told and ", 0 failed, " in told, told


def test_the_native_tests_pass(tmp_path):
    paths = f"{SDK / 'python'}:."
    python = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", within=CONNECTORS / "github-issues", PYTHONPATH=paths, PYTHONDONTWRITEBYTECODE="1")
    assert "4 passed" in python
    assert run(BUILT_WITH["GO"], "test", "./...", within=CONNECTORS / "posthog-events").startswith("ok")
    bundle = tmp_path / "test.mjs"
    sdk = [f"--alias:@osiris/sdk{part}={SDK}/typescript/src/{file}" for part, file in (("", "index.ts"), ("/testing", "testing.ts"))]
    esbuild = SDK / "typescript" / "node_modules" / ".bin" / "esbuild"
    run(esbuild, CONNECTORS / "stripe" / "driver.test.ts", "--bundle", "--platform=node", "--format=esm", f"--outfile={bundle}", "--log-level=error", *sdk)
    assert "# pass 5" in run("node", "--test", "--test-reporter=tap", bundle)
