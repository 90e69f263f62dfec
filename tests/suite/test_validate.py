"""`osiris validate`: all errors at once, for any number of pipelines."""

import json

WRONG = [
    {"id": "a", "component": "duckdb.processor", "needs": [], "config": {"querry": "select 1"}},
    {"id": "b", "component": "duckdb.processor", "needs": [], "config": {"query": "select ${params.missing}"}},
    {"id": "c", "component": "filesystem.csv_writer", "needs": [], "config": {"path": "../out.csv"}},
    {"id": "d", "component": "duckdb.processor", "needs": [], "mode": "read", "config": {"query": "select 1"}},
]


def test_the_errors_of_all_steps_are_reported_at_once(project):
    project.pipeline(WRONG)
    for verb in ("validate", "plan", "run"):
        done = project.osiris(verb, "pipeline.yaml")
        assert done.returncode == 2 and done.stderr.count("error: ") == 4 and done.stderr.count("hint: ") == 4, done.stderr
        for word in ("unknown key `querry`", "unknown parameter `missing`", "step `c`", "step `d` has mode `read`"):
            assert word in done.stderr, done.stderr
        failure = json.loads(project.osiris(verb, "pipeline.yaml", "--json").stdout)
        assert len(failure["errors"]) == 4 and failure["error"] == failure["errors"][0]
    assert not (project.folder / ".osiris_sessions").exists()


def test_malformed_steps_and_unknown_drivers_are_reported_together(project):
    steps = [step | {"retries": 11} for step in WRONG[:2]] + [{"id": "../x", "component": "a.b"}]
    project.pipeline(steps)
    told = project.osiris("validate", "pipeline.yaml").stderr
    assert told.count("error: ") == 3 and "`a` has `retries: 11`" in told and "`../x` cannot be a step id" in told, told
    project.pipeline([WRONG[0] | {"component": "duckdb.procesor"}, WRONG[1] | {"component": "no.such"}])
    told = project.osiris("validate", "pipeline.yaml").stderr
    assert told.count("error: ") == 2 and "did you mean `duckdb.processor`" in told and "`no.such`" in told, told


def test_several_pipelines_are_validated_in_one_call(project):
    good = project.pipeline([project.sql("select 1 as a")]).read_text()
    project.write("one/good.yaml", good)
    project.write("two/good.yaml", good)
    project.pipeline(WRONG)
    both = project.osiris("validate", "one/good.yaml", "two/good.yaml")
    assert both.returncode == 0 and both.stdout.count("is valid: 1 step") == 2, both
    some = project.osiris("validate", "one/good.yaml", "pipeline.yaml", "nowhere.yaml", "two/good.yaml")
    assert some.returncode == 2 and some.stdout.count("is valid") == 2, some
    assert "pipeline.yaml: 4 errors" in some.stderr and "nowhere.yaml: 1 error\n" in some.stderr, some.stderr
    done = project.osiris("validate", "one/good.yaml", "pipeline.yaml", "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 2 and told["valid"] is False and done.stderr == ""
    assert [len(found.get("errors", [])) for found in told["pipelines"]] == [0, 4] and told["pipelines"][0]["pipeline"]["steps"] == 1
