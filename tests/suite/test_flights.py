"""The main job on real data, compared with facts computed elsewhere."""

import json
import shutil

from conftest import DATA, ROOT


def test_all_of_nycflights_matches_its_facts(project):
    for name in ("flights.csv.gz", "airlines.csv"):
        shutil.copy(DATA / name, project.folder)
    facts = json.loads((ROOT / "tests" / "facts.json").read_text())
    result = project.run([
        {"id": "extract-flights", "component": "filesystem.csv_extractor", "config": {"path": "flights.csv.gz"}},
        {"id": "extract-airlines", "component": "filesystem.csv_extractor", "needs": [], "config": {"path": "airlines.csv"}},
        {"id": "by-carrier", "component": "duckdb.processor", "needs": ["extract-flights", "extract-airlines"], "config": {
            "query": "select name, count(*) as flights, round(avg(arr_delay), 4) as delay "
                     "from df_extract_flights join df_extract_airlines using (carrier) group by name order by name"}},
        {"id": "write", "component": "filesystem.csv_writer", "config": {"path": "by-carrier.csv", "column_order": "source"}},
    ])
    assert result["step"]["extract-flights"]["rows"] == facts["flights_rows"]
    assert project.types(result, "extract-flights") == facts["flights_types"]
    delays = project.rows(result, "extract-flights", "select sum(dep_delay), count(*) - count(dep_delay) from main")
    assert delays == [(facts["dep_delay"]["sum"], facts["dep_delay"]["nulls"])]
    carriers = [list(row) for row in project.rows(result, "by-carrier")]
    assert carriers == facts["by_carrier"]
    written = (project.folder / "by-carrier.csv").read_text().splitlines()
    assert written[0] == "name,flights,delay" and len(written) == 17
    assert written[1] == ",".join(map(str, facts["by_carrier"][0]))


def test_the_example_runs_and_writes_what_it_says(project):
    shutil.copytree(ROOT / "examples" / "flights", project.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("out", ".osiris*", "osiris.lock"))
    result = project.run()
    assert set(result["step"]["join-and-sum"]["tables"]) == {"by-carrier", "flights-with-planes"}
    rows = result["step"]["join-and-sum"]["tables"]["flights-with-planes"]["rows"]
    assert result["step"]["mask-tailnum"]["rows"] == result["step"]["write-flights"]["rows"] == rows > 0
    hashes = project.rows(result, "mask-tailnum", "select count(*) from main where tailnum is not null and length(tailnum) <> 64")
    assert hashes == [(0,)]
    assert (project.folder / "out" / "flights.parquet").stat().st_size > 0
