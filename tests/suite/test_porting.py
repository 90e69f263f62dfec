"""The drivers that docs/drivers/porting-*.md port, made from the pages' blocks of code and run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import OSIRIS, ROOT
from mariadb_server import mariadb  # noqa: F401  # a fixture

PAGES = ROOT / "docs" / "drivers"
SDK = ROOT / "sdk" / "python"

TABLE = """create or replace table orders (id int primary key, amount decimal(20,4), big bigint unsigned, n int, at datetime(6),
    day date, name varchar(50), raw varbinary(10), ratio double, tags json, nothing int)"""
ROWS = """insert into orders values
    (1, 1234567890123456.7890, 18446744073709551615, null, '2024-01-31 10:00:00.123456', '2024-01-31', 'Žluťoučký', x'00ff', 0.1, '[1]', null),
    (2, -0.0001, 0, 9007199254740993 % 100, null, null, '', null, null, null, null)"""


def write_blocks(page: str, folder: Path) -> None:
    """Writes a page's blocks of code that have a title as files."""
    for name, text in re.findall(r"```\w+ title=(\S+)\n(.*?)```", (PAGES / page).read_text(), re.DOTALL):
        (folder / name).write_text(text)


@pytest.fixture(scope="session")
def ported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ported")
    write_blocks("porting-python-osiris.md", folder)
    build = [sys.executable, "-m", "osiris_sdk.build", folder / "driver.py", "--output", folder / "built.wasm", "--grants", "connect"]
    subprocess.run(build, check=True, env=os.environ | {"PYTHONPATH": str(SDK)}, capture_output=True)
    subprocess.run([OSIRIS, "drivers", "pack", folder / "built.wasm", "--spec", folder / "spec.yaml", "-o", folder / "driver.wasm"], check=True)
    return folder


def test_the_ported_driver_reads_every_value(project, mariadb, ported):  # noqa: F811
    mariadb.run(TABLE, ROWS)
    project.write("osiris_connections.yaml", json.dumps({"connections": {"mysql": {"shop": mariadb.connection()}}}))
    project.write("drivers/ported.mysql_extractor.wasm", (ported / "driver.wasm").read_bytes())
    project.write("pipeline.yaml", (ported / "pipeline.yaml").read_text())
    result = project.run(None)
    rows, types = project.rows(result, "orders"), project.types(result, "orders")
    assert types == {
        "id": "BIGINT", "amount": "DECIMAL(20,4)", "big": "UBIGINT", "n": "BIGINT", "at": "TIMESTAMP", "day": "DATE",
        "name": "VARCHAR", "raw": "BLOB", "ratio": "DOUBLE", "tags": "VARCHAR", "nothing": "BIGINT",
    }  # fmt: skip
    assert [[str(value) for value in row] for row in rows] == [
        ["1", "1234567890123456.7890", "18446744073709551615", "None", "2024-01-31 10:00:00.123456", "2024-01-31", "Žluťoučký", r"b'\x00\xff'", "0.1", "[1]", "None"],
        ["2", "-0.0001", "0", "93", "None", "None", "", "None", "None", "None", "None"],
    ]  # fmt: skip

    refused = project.osiris("connections", "doctor", "@mysql.shop", "--json")
    assert refused.returncode == 0, refused.stdout + refused.stderr
    project.write("osiris_connections.yaml", json.dumps({"connections": {"mysql": {"shop": mariadb.connection(password="wrong")}}}))
    failed = project.run(None, expect=1)
    (step,) = failed["steps"]
    assert step["error"]["kind"] == "auth" and "Access denied" in str(step["error"]["message"]), step["error"]


def test_the_ported_tap_passes_its_own_test(tmp_path):
    write_blocks("porting-singer.md", tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_driver.py"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": f"{SDK}:."}, capture_output=True, text=True)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr
