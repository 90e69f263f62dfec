"""What a driver prints is in the session's log as it is printed, and says in the step's error why the driver aborted."""

from test_failures import misbehave


def printed(project, result: dict, step: str) -> list[tuple[str, str]]:
    """The lines that a step's driver printed, each with the name of its stream."""
    logged = (event for event in project.events(result) if event["event"] == "driver_log" and event["step_id"] == step)
    return [(event["fields"]["stream"], event["message"]) for event in logged if "stream" in event["fields"]]


def test_everything_printed_before_a_panic_is_logged_and_the_panic_is_in_the_error(project):
    result = project.run([project.sql("select 1 as a"), misbehave("print")], expect=1)
    lines = printed(project, result, "bad")
    assert [line for stream, line in lines if stream == "stdout"] == [f"line {number}" for number in range(1500)]
    errors = [line for stream, line in lines if stream == "stderr"]
    assert errors[0] == "not text: ��."
    assert errors[1].startswith("x" * 8192 + "…") and errors[1].endswith("(100000 bytes)") and len(errors[1]) < 8300
    error = result["step"]["bad"]["error"]
    assert error["kind"] == "trap"
    assert "src/lib.rs:" in error["printed"] and "the driver panics, as its config asked" in error["printed"]
    assert "the driver panics, as its config asked" in result["stderr"]
    # The frames of the Wasm stack are for the log only.
    backtraces = [event for event in project.events(result) if event["event"] == "driver_log" and event["level"] == "debug"]
    assert any("wasm backtrace" in event["message"] for event in backtraces) and "wasm backtrace" not in result["stderr"]


def test_a_python_exception_arrives_with_its_type_text_file_and_line(project):
    steps = [project.sql("select 1 as a"), {"id": "bad", "component": "test.passthrough_python", "needs": ["source"], "config": {"raise": "boom"}}]
    result = project.run(steps, expect=1)
    text = result["step"]["bad"]["error"]["printed"]
    assert "ValueError: boom" in text and "app.py" in text and "line 1" in text
    assert "ValueError: boom" in result["stderr"] and "wasm backtrace" not in result["stderr"]


def test_what_a_step_printed_before_its_time_limit_is_logged(project):
    result = project.run([project.sql("select 1 as a"), misbehave("print-and-sleep")], "--step-timeout", "1", expect=1)
    assert result["step"]["bad"]["error"]["kind"] == "timeout"
    assert printed(project, result, "bad") == [("stdout", "printed before the sleep")]
    times = {event["event"]: event["ts"] for event in project.events(result) if event.get("step_id") == "bad"}
    assert times["driver_log"] < times["step_error"]
    # A driver that does not wake up is ended soon after its limit.
    assert result["step"]["bad"]["duration_ms"] < 4_000
