"""What `expect` costs: `make bench`, or `bench/expect.py`.

Five checks of 10 million rows are compared with the same checks as SQL in plain DuckDB, over the same file and with the same number of
threads. A person would write them as one SELECT for the conditions and one for the key, and that is what the baseline is. The runs alternate.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "suite"))
from conftest import OSIRIS, TARGET  # noqa: E402

ROWS, ROUNDS, GOAL = int(os.environ.get("BENCH_ROWS", 10_000_000)), int(os.environ.get("BENCH_ROUNDS", 5)), 1.2
MAKE = f"""select i as id, (hash(i) % 100000)::integer as customer, ['open', 'paid', 'lost'][1 + i % 3] as status,
    (hash(i + 1) % 1000000) / 100 as amount, 'c' || i % 1000 || '@example.org' as email from range({ROWS}) t(i)"""
EXPECT = {
    "not_null": "customer",
    "unique": "id",
    "values": {"status": ["open", "paid", "lost"]},
    "range": {"amount": {"min": 0, "max": 10000}},
    "pattern": {"email": "[^@]+@[^@]+"},
}
CONDITIONS = """select count(*) filter (customer is null), count(*) filter (status not in ('open', 'paid', 'lost')),
    count(*) filter (amount < 0 or amount > 10000), count(*) filter (not regexp_full_match(email, '[^@]+@[^@]+')) from main"""
KEY = "select coalesce(sum(n), 0) from (select count(*) as n from main where id is not null group by id having count(*) > 1)"


def run(folder: Path, expect: dict | None) -> tuple[dict[str, float], Path]:
    """Returns the milliseconds of the step and of its checks, and the step's file."""
    step = {"id": "make", "component": "duckdb.processor", "needs": [], "config": {"query": MAKE}}
    step |= {"expect": expect} if expect else {}
    (folder / "pipeline.yaml").write_text(json.dumps({"oml_version": "0.1.0", "name": "bench", "steps": [step]}))
    environment = os.environ | {"OSIRIS_DRIVERS": str(TARGET / "drivers")}
    done = subprocess.run([OSIRIS, "run", "pipeline.yaml", "--json"], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert all(check["passed"] for check in result["steps"][0].get("checks", [])), result
    session = Path(result["session_path"])
    metrics = [json.loads(line) for line in (session / "logs" / "metrics.jsonl").read_text().splitlines()]
    times = {metric["metric"]: metric["value"] for metric in metrics}
    return times, session / "data" / "make.duckdb"


def plain(file: Path) -> float:
    """Milliseconds of the same checks in DuckDB."""
    with duckdb.connect(str(file), read_only=True, config={"threads": os.cpu_count()}) as connection:
        begun = time.perf_counter()
        found = [*connection.execute(CONDITIONS).fetchone(), *connection.execute(KEY).fetchone()]
        took = (time.perf_counter() - begun) * 1000
    assert found == [0] * 5, found
    return took


def main(folder: Path) -> int:
    found: dict[str, list[float]] = {"osiris": [], "duckdb": [], "with": [], "without": []}
    for number in range(ROUNDS):
        times, file = run(folder, EXPECT)
        found["osiris"].append(times["checks_duration_ms"])
        found["with"].append(times["step_duration_ms"])
        found["duckdb"].append(plain(file))
        times, _ = run(folder, None)
        found["without"].append(times["step_duration_ms"])
        shutil.rmtree(folder / ".osiris_sessions")
    medians = {name: statistics.median(values) for name, values in found.items()}
    ratio = medians["osiris"] / medians["duckdb"]
    print(f"5 checks of {ROWS:,} rows: {medians['osiris']:.0f} ms; the same SQL in DuckDB {duckdb.__version__}: {medians['duckdb']:.0f} ms; ratio {ratio:.2f}, goal {GOAL}")
    print(f"the step that makes the rows: {medians['without']:.0f} ms without checks, {medians['with']:.0f} ms with them")
    print("runs in ms:", {name: [round(value) for value in values] for name, values in found.items()})
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="osiris-expect-") as temporary:
        sys.exit(main(Path(temporary)))
