"""Pipelines written for Python Osiris run unchanged."""

PIPELINE = """
oml_version: "0.1.0"
name: movies
params:
  minimum:
    type: integer
    default: 7
profiles:
  strict:
    params:
      minimum: 8
steps:
  - id: extract-movies
    component: filesystem.csv_extractor
    mode: read
    config:
      path: movies.csv
  - id: rate-movies
    component: duckdb.processor
    mode: transform
    config:
      query: |
        SELECT title, rating FROM input_df WHERE rating >= ${params.minimum} ORDER BY rating DESC
  - id: rename-movies
    component: duckdb.processor
    mode: transform
    config:
      query: SELECT title AS name FROM df_rate_movies
  - id: write-movies
    component: filesystem.csv_writer
    mode: write
    config:
      path: rated.csv
"""


def prepared(project):
    project.write("movies.csv", "title,rating\nAlien,8\nCats,3\nHeat,7\n")
    project.write("pipeline.yaml", PIPELINE)
    return project


def test_an_upstream_pipeline_runs_unchanged(project):
    result = prepared(project).run()
    assert [step["status"] for step in result["steps"]] == ["success"] * 4
    assert (project.folder / "rated.csv").read_text() == "name\nAlien\nHeat\n"


def test_params_come_from_profile_environment_and_command_line(project):
    prepared(project).run(None, "--profile", "strict")
    assert (project.folder / "rated.csv").read_text() == "name\nAlien\n"
    project.run(None, env={"OSIRIS_PARAM_MINIMUM": "1"})
    assert (project.folder / "rated.csv").read_text() == "name\nAlien\nHeat\nCats\n"
    project.run(None, "--param", "minimum=9", "--profile", "strict")
    assert (project.folder / "rated.csv").read_text() == "name\n"


def test_the_session_is_laid_out_as_in_python_osiris(project):
    result = prepared(project).run()
    session = project.folder / ".osiris_sessions" / result["session_id"]
    found = sorted(str(path.relative_to(session)) for path in session.rglob("*") if path.is_file())
    assert found == [
        "artifacts/extract-movies/cleaned_config.json",
        "artifacts/rate-movies/cleaned_config.json",
        "artifacts/rename-movies/cleaned_config.json",
        "artifacts/write-movies/cleaned_config.json",
        "data/extract-movies.duckdb",
        "data/rate-movies.duckdb",
        "data/rename-movies.duckdb",
        # By which a run can be resumed, and a later one can reuse its outputs.
        *(f"ledger/{step}.{kind}.json" for step in ("extract-movies", "rate-movies", "rename-movies", "write-movies") for kind in ("done", "made")),
        "logs/events.jsonl",
        "logs/metrics.jsonl",
        "manifest.yaml",
    ]


def test_events_and_metrics_are_named_as_in_python_osiris(project):
    result = prepared(project).run()
    events = project.events(result)
    assert [event["event"] for event in events] == [
        "run_start",
        "step_start", "step_complete",
        "step_start", "inputs_resolved", "step_complete",
        "step_start", "inputs_resolved", "step_complete",
        "step_start", "inputs_resolved", "step_complete",
        "run_end",
    ]
    assert all(list(event)[:3] == ["ts", "session", "event"] and event["session"] == result["session_id"] for event in events)
    metrics = {(line["step_id"], line["metric"]): line["value"] for line in project.metrics(result)}
    assert metrics[("extract-movies", "rows_read")] == 3
    assert metrics[("rate-movies", "rows_processed")] == 2
    assert metrics[("write-movies", "rows_written")] == 2
    assert metrics[("write-movies", "step_duration_ms")] >= 0
