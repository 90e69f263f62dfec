"""The examples work and are as short as promised; and what a build makes of a driver."""

import importlib.util
import sys
from decimal import Decimal
from pathlib import Path

import pytest

import osiris_sdk as osiris
from osiris_sdk import build
from osiris_sdk.testing import Exchange, Input, run

EXAMPLES = Path(__file__).parents[1] / "examples"


def driver(name):
    spec = importlib.util.spec_from_file_location(f"{name}_driver", EXAMPLES / name / "driver.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_examples_are_short():
    for name, most in (("hello", 20), ("rest", 40), ("columns", 30)):
        assert len((EXAMPLES / name / "driver.py").read_text().splitlines()) <= most


def test_hello_greets():
    result = run(driver("hello").extract, config={"names": ["Ada", "☃"]})
    assert result.rows() == [{"greeting": "hello Ada"}, {"greeting": "hello ☃"}] and result.types() == {
        "greeting": "VARCHAR"
    }
    assert run(driver("hello").extract, config={"names": []}).rows() == []


def test_rest_reads_all_pages():
    item = {"id": 1, "name": None, "amount": 1.5, "tags": ["a"], "created_at": "2024-01-31T10:00:00Z"}
    url = "https://api.example.com"
    result = run(driver("rest").extract, config={"url": url, "page_size": 2}, secrets={"/token": "hunter2"}, http=[
        Exchange(f"{url}/items?size=2", json={"items": [item, item], "next": 2}),
        Exchange(f"{url}/items?size=2&page=2", status=429, headers={"retry-after": "1"}),
        Exchange(f"{url}/items?size=2&page=2", json={"items": [item], "next": None}),
    ])  # fmt: skip
    assert len(result.rows()) == 3 and result.rows()[0]["amount"] == Decimal("1.50")
    assert result.requests[0].headers["authorization"] == "Bearer hunter2" and result.progress == [(1, None), (2, None)]


def test_columns_are_computed():
    rows = [
        {"qty": 1, "name": "ü", "tags": ["a", None], "other": True},
        {"qty": None, "name": None, "tags": None, "other": None},
    ]
    result = run(driver("columns").transform, inputs={"source": Input(rows, qty=osiris.types.int32)})
    assert result.rows() == [
        {"qty": 2, "name": "ü", "tags": ["a", None], "other": True, "upper": "Ü", "tag_count": 2},
        {"qty": None, "name": None, "tags": None, "other": None, "upper": None, "tag_count": None},
    ]
    assert result.types()["qty"] == "INTEGER"


def test_the_world_of_a_driver_has_its_exports_and_grants():
    assert build.exports_of(EXAMPLES / "rest" / "driver.py") == ["extract"]
    assert (
        build.grants_of(EXAMPLES / "rest" / "spec.yaml") == ["http"]
        and build.grants_of(EXAMPLES / "hello" / "spec.yaml") == []
    )
    world = build.world(["load", "check"], ["state", "connect"])
    for line in (
        "include osiris:driver/imports@0.2.0;",
        "import osiris:driver/tcp@0.2.0;",
        "import osiris:driver/state@0.2.0;",
        "export osiris:driver/load@0.2.0;",
        "export osiris:driver/check@0.2.0;",
    ):
        assert f"    {line}\n" in world
    assert "import wasi:http/outgoing-handler@0.2." in build.world(["extract"], ["http"])
    with pytest.raises(SystemExit, match="no function with @extractor"):
        build.exports_of(Path(build.__file__))
