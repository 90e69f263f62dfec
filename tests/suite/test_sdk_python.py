"""Drivers that the Python SDK builds, run by osiris. What the SDK does by itself is tested natively in sdk/python/tests."""

import languages
import pytest
from http_server import web  # noqa: F401  # a fixture
from languages import driver
from sdk_examples import run_examples

SDK = languages.SDK / "python"


@pytest.fixture(scope="session")
def drivers(tmp_path_factory):
    """A folder with the SDK's example drivers and a faulty one."""
    folder = tmp_path_factory.mktemp("python-drivers")
    sources = [SDK / "examples" / name for name in ("hello", "rest", "columns")] + [SDK / "tests" / "drivers" / "faulty"]
    for source in sources:
        driver(source / "driver.py", folder)
    return folder


def test_rows_columns_and_pages_arrive_with_their_types(project, drivers, web):
    run_examples(project, web, drivers, "python")


def test_an_exception_says_what_it_is_and_where_and_random_numbers_differ(project, drivers):
    step = {"component": "test.faulty_python", "mode": "read"}
    result = project.run(
        [
            {"id": "works", "config": {"rows": 3}} | step,
            {"id": "fails", "config": {"rows": 100_000, "fails": True}} | step,
        ],
        "--drivers",
        drivers,
        expect=1,
    )
    assert result["step"]["works"]["rows"] == 3
    assert "ValueError: boom (driver.py:14)" in str(result["step"]["fails"]["error"])
    logged = [event["message"] for event in project.events(result) if event.get("event") == "driver_log"]
    drawn = [message for message in logged if message.startswith("drew 0.")]
    assert len(drawn) == 2 and drawn[0] != drawn[1]
    assert any(message.startswith("Traceback") and message.endswith("ValueError: boom") for message in logged)
