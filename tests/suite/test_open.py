"""Any DuckDB client opens a step's output, and finds the rows that the events report."""

import json
import subprocess
import sys

from conftest import ROOT

COUNT = """
import sys, json
sys.path.insert(0, sys.argv[1])
import duckdb
assert duckdb.__version__ == "1.0.0", duckdb.__version__
with duckdb.connect(sys.argv[2], read_only=True) as connection:
    tables = [row[0] for row in connection.execute("select table_name from duckdb_tables()").fetchall()]
    print(json.dumps({table: {"rows": connection.execute(f'select count(*) from "{table}"').fetchone()[0]} for table in tables}))
"""


def test_every_data_file_opens_in_duckdb_1_5_6_and_1_0_0(project):
    project.write("a.csv", "a,b\n1,x\n2,\n")
    result = project.run([
        {"id": "read-it", "component": "filesystem.csv_extractor", "config": {"path": "a.csv"}},
        {"id": "two", "component": "duckdb.processor", "config": {"queries": {"main": "from input", "odd name": "select i, i::hugeint as h, [i] as l from range(5000) t(i)"}}},
        {"id": "copy", "component": "test.passthrough_rust"},
        {"id": "empty", "component": "duckdb.processor", "config": {"query": "from input limit 0"}},
    ])
    claimed = {event["step_id"]: event["tables"] for event in project.events(result) if event["event"] == "step_complete"}
    assert len(claimed) == 4
    for step, tables in claimed.items():
        found = {name: {"rows": project.rows(result, step, f'select count(*) from "{name}"')[0][0]} for name in tables}
        assert found == tables
        path = f"{result['session_path']}/data/{step}.duckdb"
        old = subprocess.run([sys.executable, "-S", "-c", COUNT, str(ROOT / ".deps" / "duckdb-1.0.0"), path], capture_output=True, text=True)
        assert old.returncode == 0, old.stderr
        assert json.loads(old.stdout) == tables
