"""From an empty folder to a driver in a pipeline, in each language, with nothing but Osiris and the language's own tools."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from conftest import ROOT
from projects import LANGUAGES, Machine, rows_of

# A template for each language, so that every kind is built, and each way to reach data.
CHOSEN = {"rust": ("processor", "columns"), "python": ("extractor", "rows"), "typescript": ("writer", "file"), "go": ("processor", "sql"), "c": ("extractor", "file")}
MINUTES = 5
# For Python and TypeScript, the interpreter is started when a component is built, and its memory becomes part of it, with
# random seeds.
REPRODUCIBLE = {"rust", "go", "c"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_driver_is_written_built_tested_and_run(language, tmp_path):
    machine = Machine(tmp_path, language)
    kind, template = CHOSEN[language]
    started = time.monotonic()
    project = machine.new(kind, template, "shop.first")
    built = machine.osiris("drivers", "build", within=project)
    assert re.match(r"built shop\.first@0\.1\.0 into build/shop\.first\.wasm \([\d.]+ [KM]B\) in ", built.stdout), built.stdout
    machine.unit_tests(project)
    tested = machine.osiris("drivers", "test", "build/shop.first.wasm", within=project).stdout
    assert re.search(r"shop\.first@0\.1\.0: \d+ passed, 0 failed", tested), tested
    run = machine.osiris("run", "example/pipeline.yaml", "--drivers", "build", within=project)
    assert "pipeline `example`: success" in run.stdout
    assert time.monotonic() - started < MINUTES * 60
    # What the build installed is ignored by Git, and nothing else is new.
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
    listed = subprocess.run(["git", "ls-files", "--others", "--exclude-standard"], cwd=project, check=True, capture_output=True, text=True).stdout.split()
    assert not [name for name in listed if re.search(r"build/|\.osiris|node_modules|target/|__pycache__", name)], listed

    # The same source in another folder.
    if language in REPRODUCIBLE:
        first = (project / "build" / "shop.first.wasm").read_bytes()
        shutil.copytree(project, machine.work / "copy", ignore=shutil.ignore_patterns("build", "example", ".git"), symlinks=True)
        machine.osiris("drivers", "build", "copy", "--output", "again.wasm")
        assert first == (machine.work / "again.wasm").read_bytes()


class Dev:
    """`osiris drivers dev` as it watches a project."""

    def __init__(self, machine: Machine, project):
        self.process = subprocess.Popen([machine.program, "drivers", "dev"], cwd=project, env=machine.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.shown = ""

    def until(self, text: str) -> str:
        """What is shown from the last call up to a text."""
        os.set_blocking(self.process.stdout.fileno(), True)
        while text not in self.shown:
            part = os.read(self.process.stdout.fileno(), 1 << 16)
            assert part, f"{text} is missing in\n{self.shown}"
            self.shown += part.decode()
        shown, self.shown = self.shown.split(text, 1)
        return shown


def test_dev_builds_and_runs_again_after_each_change(tmp_path):
    machine = Machine(tmp_path, "c", prepared=True)
    project = machine.new("extractor", "rows", "greet")
    (project / "example" / "pipeline.yaml").write_text((project / "example" / "pipeline.yaml").read_text().replace("Grace", "Edsger"))
    dev = Dev(machine, project)
    try:
        shown = dev.until("waiting for a change")
        # What the driver logs is streamed, and its rows are shown.
        assert "info: greeting 3 names" in shown and "hello Edsger" in shown and "example succeeded" in shown, shown
        source = project / "driver.c"
        good = source.read_text()
        source.write_text(good.replace("os_row(table);", "os_rwo(table);"))
        shown = dev.until("waiting for a change")
        assert "driver.c changed" in shown and "error: `python3` failed" in shown and "os_rwo" in shown, shown
        source.write_text(good.replace("os_row(table);", 'os_fail(OS_DATA, "no greeting today");'))
        shown = dev.until("waiting for a change")
        assert "failed: no greeting today" in shown and "example failed" in shown, shown
        source.write_text(good.replace("hello", "ahoy"))
        assert "ahoy Ada" in dev.until("waiting for a change")
        assert not (project / "example" / "osiris.lock").exists()
        # Between runs, a signal ends the program at once.
        dev.process.send_signal(signal.SIGINT)
        assert dev.process.wait(timeout=30) == -signal.SIGINT
    finally:
        dev.process.kill()


def test_what_cannot_become_a_project_is_refused_with_the_alternatives(tmp_path):
    machine = Machine(tmp_path, "go")

    def refused(*arguments) -> str:
        return machine.osiris("drivers", "new", *arguments, expect=2).stderr

    go = ["--lang", "go", "--kind", "extractor"]
    assert "[possible values: rust, python, typescript, go, c]" in refused("x", "--lang", "cobol", "--kind", "writer")
    assert "its templates: `rows`, `rest`, `database`, `file`" in refused("x", *go, "--template", "sql")
    assert "`../x` is not a name for a driver" in refused("../x", *go)
    (machine.work / "taken").mkdir()
    (machine.work / "taken" / "file").touch()
    assert "`./taken` exists and is not an empty folder" in refused("taken", *go)
    (machine.work / "link").symlink_to(tmp_path)
    assert "exists and is not an empty folder" in refused("link", *go)
    assert sorted(path.name for path in machine.work.iterdir()) == ["link", "taken"]


def test_what_cannot_be_built_is_refused_with_the_remedy(tmp_path):
    machine = Machine(tmp_path, "go")
    project = machine.new("extractor", "rows", "greet")
    build = lambda expect=2: machine.osiris("drivers", "build", "greet", expect=expect).stderr
    assert "cannot read `driver.yaml`" in machine.osiris("drivers", "build", expect=2).stderr
    (project / "driver.yaml").write_text("language: go\nsource: elsewhere\n")
    assert "the driver's source is missing" in build()
    (project / "driver.yaml").write_text("language: go\n")
    source = project / "driver.go"
    good = source.read_text()
    source.write_text(good.replace("hello ", 'hello " + 5 + "'))
    error = build()
    assert error.startswith("building with go\nerror: `go` failed") and "driver.go:" in error, error
    # A compiler that succeeds is quiet, and a grant that the driver does not use is no defect; the reverse is.
    source.write_text(good.replace('"log/slog"', '"log/slog"\n\t_ "go.osiris.dev/sdk/tcp"').replace("slog.Info", "osiris.SetState(1)\n\tslog.Info"))
    assert "its spec does not request `state`" in build()
    assert not (project / "build").exists() or not list((project / "build").iterdir())
    source.write_text(good)
    assert build(0) == "building with go\n"
    # Without the toolchain, the error says how to get it.
    for language, hint in [("go", "install Go"), ("rust", "https://rustup.rs"), ("typescript", "install Node.js"), ("python", "python3-pip"), ("c", "python3-pip")]:
        other = Machine(tmp_path / language, language)
        other.new("extractor", "rows", "greet")
        other.env["PATH"] = "/nowhere"
        error = other.osiris("drivers", "build", "greet", expect=2).stderr
        assert "is not installed" in error and hint in error, error


def test_the_pinned_tools_are_those_that_the_suite_has():
    sources = "\n".join(path.read_text() for path in (ROOT / "host" / "src" / "scaffold" / "build").glob("*.rs"))
    pins = set(re.findall(r'"((?:componentize-py|ziglang)==[\d.]+)"', sources))
    assert len(pins) == 2 and pins <= set((ROOT / "tests" / "requirements.txt").read_text().split())
