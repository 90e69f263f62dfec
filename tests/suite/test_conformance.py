"""The conformance kit's checks: each finds the bug that was planted for it, and passes the same driver without the bug.

`tools/build-seeded` builds the drivers. What the kit does with an author's own tests is in test_kit.py.
"""

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from conftest import OSIRIS, ROOT, TARGET

DRIVERS = TARGET / "drivers"
SEEDED = TARGET / "seeded"
BUGS = yaml.safe_load((ROOT / "tests/guests/seeded/bugs.yaml").read_text())
# The drivers without a bug.
CORRECT = sorted({bug["driver"] for bug in BUGS.values()})


def report(name, *flags):
    """What the kit reports about a seeded driver: the verdict and the reason of each test and check."""
    command = [OSIRIS, "drivers", "test", SEEDED / name / f"{name}.wasm", "--drivers", DRIVERS, "--json", *flags]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OSIRIS_DRIVERS": str(DRIVERS)})
    assert done.stdout, done.stderr
    return {result["name"]: (result["status"], result["reason"]) for result in json.loads(done.stdout)["results"]}


@pytest.fixture(scope="module")
def reports():
    """The reports about all seeded drivers, made two at once."""
    def of(name):
        flags = []
        if bug := BUGS.get(name):
            flags = ["--only", bug["check"]]
        if not bug or bug["check"] == "against":
            old = bug["driver"] if bug else name
            flags += ["--against", SEEDED / old / f"{old}.wasm"]
        return name, report(name, *flags)

    with ThreadPoolExecutor(2) as pool:
        return dict(pool.map(of, [*BUGS, *CORRECT]))


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found_by_its_check(reports, name):
    bug = BUGS[name]
    assert reports[name][bug["check"]][0] == "failed"
    assert reports[bug["driver"]][bug["check"]] == ("passed", None)


def test_a_driver_without_a_bug_passes_all_checks(reports):
    wrong = {(name, check): found for name in CORRECT for check, found in reports[name].items() if found[0] == "failed"}
    assert wrong == {}


def test_every_check_finds_a_bug(reports):
    checks = {check for name in CORRECT for check in reports[name]}
    tests = {test["name"] for name in CORRECT for file in (SEEDED / name / "tests").glob("*.yaml") for test in yaml.safe_load(file.read_text())["tests"]}
    assert checks - tests == {bug["check"] for bug in BUGS.values()}
    assert len(BUGS) >= 25


def test_a_finding_says_what_was_done_what_came_and_how_to_repeat_it(reports):
    reasons = {name: reports[name][BUGS[name]["check"]][1] for name in BUGS}
    for name, text in {
        "swallows-errors": "if call 1, `tables/input.read`, fails (data) in test `columns are copied`, the error should be of the kind `data`, `config`: it failed",
        "traps-on-retry": "fails (transient) in test `rows are numbered`, attempt 2 gives something else: it failed: driver",
        "asks-forever": "was stopped after 20 s, its time limit",
        "cuts-text": "test `columns are copied` passes columns on unchanged, but column `name` (VARCHAR) now has the value",
        "loses-ties": "first 3 records of `records.jsonl`: this row is lost:",
        "doubles-rows": "this row comes twice:",
        "wrong-kind": "the error should be of the kind `transient`, `timeout`: it failed: the API cannot be read (config)",
        "needs-an-undeclared-option": "without option `size`, it failed: null pointer (internal); declare it as `required`",
        "drops-option": "option `path` is no longer accepted",
    }.items():
        assert text in reasons[name], (name, reasons[name])
    assert not any("correct-horse" in (reason or "") for reason in reasons.values())


def test_only_the_kit_disturbs_a_step(project):
    """No step of a pipeline can be made to fail: not by its author, and not by another part of the program."""
    sources = {path: path.read_text().split("#[cfg(test)]")[0] for path in (ROOT / "host/src").rglob("*.rs")}
    makers = {path.relative_to(ROOT / "host/src").parts[0] for path, text in sources.items() if re.search(r"(?<!struct )\bTestRun \{", text)}
    assert makers == {"kit"}
    fault = {"call": 1, "lasts": True, "effect": {"error": "denied"}}
    for more in ({"disturbance": {"observes": True, "fault": fault}}, {"fault": fault}):
        project.pipeline([{"id": "number", "component": "duckdb.processor", "config": {"query": "select 1"}} | more])
        done = project.osiris("plan", "pipeline.yaml", env={"OSIRIS_DRIVERS": str(DRIVERS)})
        assert done.returncode == 2 and next(iter(more)) in done.stderr, done.stderr
