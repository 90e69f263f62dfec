"""Parquet in folders of partitions: what is replaced, which names folders get, and that no crash leaves a half."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from conftest import OSIRIS

# How many runs are killed: a handful, or as many as this says.
KILLS = int(os.environ.get("OSIRIS_KILLS", "6"))


def write(project, select: str, expect: int = 0, **config) -> dict:
    return project.run(steps(project, select, **config), expect=expect)


def steps(project, select: str, **config) -> list[dict]:
    step = {"id": "write", "component": "filesystem.parquet_writer", "config": {"path": "lake", "partition_by": ["k"], **config}}
    return [project.sql(select), step]


def lake(project, query: str = "from t order by all") -> list[tuple]:
    connection = duckdb.connect()
    path = str(project.folder / "lake/**/*.parquet")
    connection.execute("create view t as from read_parquet(?, hive_partitioning = true, hive_types_autocast = false)".replace("?", f"'{path}'"))
    return connection.execute(query).fetchall()


def folders(project) -> set[str]:
    root = project.folder / "lake"
    return {str(path.parent.relative_to(root)) for path in root.rglob("*.parquet")}


def message(result: dict) -> str:
    return json.dumps(result["step"]["write"]["error"]) if "step" in result else result["stderr"]


def test_rows_are_divided_and_read_back(project):
    result = write(project, "select range as i, range % 3 as k, 'a/' || (range % 2) as c from range(12)", partition_by=["k", "c"])
    assert result["step"]["write"]["rows"] == 12
    assert folders(project) == {f"k={k}/c=a%2F{c}" for k in range(3) for c in range(2)}
    assert lake(project, "select count(*), count(distinct i), min(c), max(k) from t") == [(12, 12, "a/0", "2")]
    read = {"id": "read", "component": "filesystem.parquet_extractor", "config": {"path": "lake", "hive_partitioning": True}}
    result = project.run([read])
    assert project.types(result, "read") == {"i": "BIGINT", "k": "BIGINT", "c": "VARCHAR"}
    assert project.rows(result, "read", "select i, k, c from main order by i")[:2] == [(0, 0, "a/0"), (1, 1, "a/1")]


def test_only_touched_partitions_are_replaced_unless_all_are_asked_for(project):
    write(project, "select * from (values (1, 'a'), (2, 'b'), (3, 'c')) v(i, k)")
    write(project, "select * from (values (20, 'b'), (21, 'b'), (40, 'd')) v(i, k)")
    assert lake(project) == [(1, "a"), (3, "c"), (20, "b"), (21, "b"), (40, "d")]
    write(project, "select 1 as i, 'x' as k where false")
    assert len(lake(project)) == 5
    write(project, "select 9 as i, 'b' as k", mode="replace")
    assert lake(project) == [(9, "b")] and folders(project) == {"k=b"}
    write(project, "select 9 as i, 'b' as k where false", mode="replace")
    assert folders(project) == set() and (project.folder / "lake").is_dir()
    assert [path.name for path in project.folder.iterdir() if path.name.startswith(".lake")] == []


def test_partition_columns_may_stay_in_the_files(project):
    write(project, "select 1 as i, 2 as k", write_partition_columns=True)
    assert pq.ParquetFile(project.folder / "lake/k=2/data_0.parquet").schema_arrow.names == ["i", "k"]
    write(project, "select 1 as i, 2 as k")
    assert pq.ParquetFile(project.folder / "lake/k=2/data_0.parquet").schema_arrow.names == ["i"]
    write(project, "select 2 as k", write_partition_columns=True)
    assert "all columns" in message(write(project, "select 2 as k", expect=1))


def test_no_value_leaves_its_folder_and_each_comes_back(project):
    values = ["..", ".", "../../x", "/etc/passwd", "a=b", "a/b", "", " ", "%2e%2e", "%", "ünï", "~*\"'", "a\\b", "\n", "\x1b[31m", "=", "k=1", "NUL", "con", "_x", "$(id)", "é" * 40]
    literal = ", ".join(f"({n}, '{value}')" for n, value in enumerate(v.replace("'", "''") for v in values))
    select = f"select i, k from (values {literal}, (100, null)) v(i, k)"
    write(project, select)
    found = dict(lake(project, "select i, k from t"))
    assert found == {**dict(enumerate(values)), 100: None}
    assert "k=__HIVE_DEFAULT_PARTITION__" in folders(project)
    root = project.folder / "lake"
    assert all(path.resolve().is_relative_to(root.resolve()) for path in root.rglob("*"))
    assert all(path.parent == root and path.name.startswith("k=") for path in root.iterdir())
    # And by our own reader.
    read = {"id": "read", "component": "filesystem.parquet_extractor", "config": {"path": "lake", "hive_partitioning": True}}
    assert dict(project.rows(project.run([read]), "read", "select i, k from main")) == found


@pytest.mark.parametrize(
    ("select", "config", "said"),
    [
        ("select 1 as i, 'NULL' as k", {}, "take this text for null"),
        ("select 1 as i, '__hive_default_partition__' as k", {}, "take this text for null"),
        ("select 1 as i, repeat('x', 254) as k", {}, "longer than 255 bytes"),
        ("select 1 as i, repeat('é', 43) as k", {}, "longer than 255 bytes"),
        ("select 1 as i, 'a' || chr(0) as k", {}, "NUL character"),
        ("select range as i, range as k from range(1001)", {}, "1001 partitions"),
        ("select range as i, range as k from range(11)", {"max_partitions": 10}, "`max_partitions` is 10"),
        ("select 1 as i, 1.5::double as k", {}, "cannot name folders"),
        ("select 1 as i, [1] as k", {}, "cannot name folders"),
        ("select 1 as i, 'x'::blob as k", {}, "cannot name folders"),
        ("select 1 as i, 1 as k", {"partition_by": ["nope"]}, "names `nope`"),
        ("select 1 as i, 1 as k", {"partition_by": ["k", "K"]}, "twice"),
        ("select 1 as k", {}, "all columns"),
        ("select 1 as i, 1 as k", {"partition_by": [], "mode": "replace_partitions"}, "partition_by"),
        ("select 1 as i, 1 as k", {"compression": "gzip", "compression_level": 3}, "zstd"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(project, select, config, said):
    assert said in message(write(project, select, expect=1, **config))
    assert not (project.folder / "lake").exists() or not list((project.folder / "lake").iterdir())


def test_many_partitions_have_one_file_each(project):
    write(project, "select range as i, range % 700 as k from range(70000)")
    assert lake(project, "select count(*), count(distinct i), count(distinct k) from t") == [(70000, 70000, 700)]
    assert len(list((project.folder / "lake").rglob("*.parquet"))) == 700


def test_nulls_are_told_from_texts(project):
    write(project, "select * from (values (1, null), (2, 'x'), (3, 'nulls')) v(i, k)")
    assert lake(project, "select i, k from t order by i") == [(1, None), (2, "x"), (3, "nulls")]


def test_codec_level_and_row_groups(project):
    for codec in ("zstd", "snappy", "gzip", "brotli", "lz4", "none"):
        write(project, "select range as i, 1 as k from range(5000)", compression=codec, row_group_size=2048)
        found = pq.ParquetFile(project.folder / "lake/k=1/data_0.parquet").metadata
        wanted = {"none": "UNCOMPRESSED", "lz4": "LZ4"}.get(codec, codec.upper())
        assert found.row_group(0).column(0).compression == wanted and found.num_row_groups == 3
    sizes = []
    for level in (1, 19):
        write(project, "select md5((range % 1000)::varchar) as i, 1 as k from range(50000)", compression_level=level)
        sizes.append((project.folder / "lake/k=1/data_0.parquet").stat().st_size)
    assert sizes[1] < sizes[0]


@pytest.mark.parametrize("mode", ["replace", "replace_partitions"])
@pytest.mark.parametrize("there", ["lake/notes.txt", "lake/k=1/notes.txt", "lake/k=1/deep/x.parquet", "lake/_delta_log/0.json", "lake/other=1/x.parquet"])
def test_nothing_but_partitions_is_replaced(project, there, mode):
    path = project.folder / there
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    write(project, "select range as i, range as k from range(3)", expect=1, mode=mode)
    assert path.read_text() == "mine" and not (project.folder / "lake/k=2").exists()


def test_symlinks_are_not_followed(project):
    outside = project.folder.parent / "outside"
    outside.mkdir()
    (project.folder / "lake").mkdir()
    (project.folder / "lake/k=1").symlink_to(outside)
    write(project, "select 1 as i, 1 as k", expect=1)
    (project.folder / "lake/k=1").unlink()
    (project.folder / "lake").rmdir()
    (project.folder / "lake").symlink_to(outside)
    write(project, "select 1 as i, 1 as k", expect=1)
    assert list(outside.iterdir()) == []


def test_a_folder_is_granted_like_a_file(project):
    """Outside of the base folder, Osiris's own folders, a file, and what another step writes."""
    for path in ("../lake", "/tmp/lake", ".osiris_sessions", "drivers", "."):
        result = project.run(steps(project, "select 1 as i, 1 as k", path=path), expect=2)
        assert "may not write" in result["stderr"] or "base folder itself" in result["stderr"], result["stderr"]
    (project.folder / "lake").write_text("a file")
    assert "folder" in message(write(project, "select 1 as i, 1 as k", expect=1))
    one, other = steps(project, "select 1 as i, 1 as k")
    inside = {"id": "inside", "component": "filesystem.csv_writer", "config": {"path": "lake/k=1/x.csv"}}
    refused = project.run([one, other, inside], expect=2)["stderr"]
    assert "`write` and `inside`" in refused or "`inside` and `write`" in refused
    plan = project.osiris("plan", "pipeline.yaml")
    assert plan.returncode == 2
    project.pipeline([one, other])
    assert "folder of partitions" in project.osiris("plan", "pipeline.yaml").stdout


def test_a_failed_step_changes_nothing(project):
    write(project, "select 1 as i, 'a' as k")
    # Many small files are larger than the table that they come from.
    columns = ", ".join(f"7 as c{n}" for n in range(30))
    result = project.run(steps(project, f"select range % 900 as k, {columns} from range(90000)"), "--output-size", "1500KB", expect=1)
    assert "`--output-size SIZE`" in message(result)
    assert lake(project) == [(1, "a")]


READER = """
import sys, pathlib, duckdb
path, stop = sys.argv[1], pathlib.Path(sys.argv[2])
looks = 0
while not stop.exists():
    found = duckdb.connect().execute(f"select k, count(*), min(v), max(v) from read_parquet('{path}/**/*.parquet', hive_partitioning = true) group by k").fetchall()
    assert len(found) == 4 and all(count == 5000 and low == high for _, count, low, high in found), found
    looks += 1
print(looks)
"""


@pytest.mark.parametrize("mode", ["replace", "replace_partitions"])
def test_readers_see_whole_partitions_while_runs_are_killed(project, mode):
    def run(value: int) -> list[dict]:
        return steps(project, f"select range as i, range % 4 as k, {value} as v from range(20000)", mode=mode)

    project.run(run(0))
    stop = project.folder / "stop"
    reader = subprocess.Popen([sys.executable, "-c", READER, project.folder / "lake", stop], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    begun = time.monotonic()
    project.run(run(1))
    took = time.monotonic() - begun
    chance = random.Random(11)
    for value in range(2, 2 + KILLS):
        project.pipeline(run(value))
        running = subprocess.Popen([OSIRIS, "run", "pipeline.yaml"], cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "OSIRIS_DRIVERS": os.environ.get("OSIRIS_DRIVERS", "")})
        time.sleep(chance.uniform(0.3, 1.1) * took)
        running.send_signal(signal.SIGKILL)
        running.wait()
        found = lake(project, "select k, count(*), min(v), max(v) from t group by k order by k")
        assert [k for k, *_ in found] == ["0", "1", "2", "3"] and all(count == 5000 and low == high <= value for _, count, low, high in found), found
        assert mode == "replace_partitions" or len({low for _, _, low, _ in found}) == 1
    project.run(run(999))
    assert lake(project, "select distinct v from t") == [(999,)]
    stop.touch()
    out, error = reader.communicate(timeout=60)
    assert reader.returncode == 0 and int(out) > 1, error
    assert [path.name for path in Path(project.folder).iterdir() if path.name.startswith(".lake")] == []
