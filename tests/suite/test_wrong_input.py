"""Each kind of wrong input gives a useful error and hint: cases/wrong-*/ contain the input, `expected.txt` the output.

A case is a folder with a pipeline.yaml and whatever it needs; `BLESS=1` accepts the current output.
"""

import os
import re
import shutil
from pathlib import Path

import pytest
from conftest import GUESTS, ROOT, TARGET

CASES = sorted((ROOT / "tests" / "cases").glob("wrong-*"))
HELLO = TARGET / "wasm32-wasip2" / "driver" / "hello_driver.wasm"
CONTRACT = re.compile(rb"(osiris:driver/[a-z]+@)0\.2\.0")


def make_drivers(project) -> None:
    """Files that are not drivers for this host, each for a different reason."""
    component = HELLO.read_bytes()
    project.write("no-spec.wasm", component)
    project.write("no-component.wasm", b"\0asm\x01\0\0\0")
    project.write("text.wasm", "hello")
    project.write("truncated.wasm", component[: len(component) // 2])
    project.write("newer.wasm", CONTRACT.sub(rb"\g<1>0.3.0", component))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_wrong_input_is_reported_with_a_remedy(project, case: Path):
    shutil.copytree(case, project.folder, dirs_exist_ok=True)
    make_drivers(project)
    project.write("drivers/test.config_echo.wasm", (GUESTS / "test.config_echo.wasm").read_bytes())
    done = project.osiris("run", "pipeline.yaml", env={"OSIRIS_DRIVERS": ""})
    told = f"exit code {done.returncode}\n{done.stderr}".replace(str(project.folder), "BASE")
    told = re.sub(r"/\S+/(drivers|guests)\b", r"FOLDER/\1", told)
    expected = project.folder / "expected.txt"
    if os.environ.get("BLESS"):
        (case / "expected.txt").write_text(told)
    assert expected.exists(), told
    assert told == expected.read_text()
    assert done.returncode == 2 and "error: " in told and "hint: " in told
    assert not (project.folder / ".osiris_sessions").exists(), "something ran"
