"""What it costs that steps exchange data through an object store or a shared folder: `make bench`, or `bench/exchange.py`.

The time that a run with `--exchange` takes more for the same step is compared with that of `cp` for the same file, and with that of
rclone, which sends and fetches 8 MiB parts, four at once. The store is a SeaweedFS on this machine. It shares the cores with both, so only
the ratios mean anything.
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

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "suite"))
from conftest import OSIRIS, TARGET  # noqa: E402
from s3_server import BUCKET, CREDENTIALS, SeaweedFs, Store, program  # noqa: E402

# 34 MB in a million rows.
ROWS, ROUNDS, GOAL = int(os.environ.get("BENCH_ROWS", 15_000_000)), int(os.environ.get("BENCH_ROUNDS", 5)), 1.3
PART = "8Mi"
# Values that do not compress, so that the file is as large as what it is made of.
MAKE = {"id": "make", "component": "duckdb.processor", "needs": [], "config": {"query": f"select hash(i) as a, hash(i + 1) as b, hash(i + 2) as c, hash(i + 3) as d from range({ROWS}) t(i)"}}
COUNT = {"id": "count", "component": "duckdb.processor", "needs": ["make"], "config": {"query": "select count(*) as n from make"}}


def run(folder: Path, steps: list[dict], *arguments: str, env: dict[str, str] = {}) -> tuple[float, dict[str, float], Path]:
    """Returns the seconds of the whole run and of each step, and the session."""
    # Where a shared folder is on its machine, a worker must be told.
    shared = " ".join(arguments) if "file://" in " ".join(arguments) else ""
    (folder / "osiris.yaml").write_text(json.dumps({"workers": {"w": {"command": f"{OSIRIS} worker --slots 1 {shared}"}}}))
    (folder / "pipeline.yaml").write_text(json.dumps({"oml_version": "0.1.0", "name": "bench", "steps": steps}))
    environment = os.environ | {"OSIRIS_DRIVERS": str(TARGET / "drivers")} | env
    done = subprocess.run([OSIRIS, "run", "pipeline.yaml", "--no-cache", "--json", *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    return result["duration_ms"] / 1000, {step["id"]: step["duration_ms"] / 1000 for step in result["steps"]}, Path(result["session_path"])


def seconds(action) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def rclone(server: SeaweedFs, source: str, target: str) -> float:
    """Seconds to copy a file to the store or from it, in parts, several at once."""
    settings = {"PROVIDER": "Other", "ENDPOINT": f"http://127.0.0.1:{server.port}", "ACCESS_KEY_ID": CREDENTIALS.key, "SECRET_ACCESS_KEY": CREDENTIALS.secret}
    settings |= {"CHUNK_SIZE": PART, "UPLOAD_CUTOFF": PART, "UPLOAD_CONCURRENCY": "4", "DISABLE_CHECKSUM": "true", "NO_CHECK_BUCKET": "true"}
    parts = ["--multi-thread-streams", "4", "--multi-thread-cutoff", PART, "--multi-thread-chunk-size", PART]
    command = [program("rclone"), "copyto", "--config", "/dev/null", "--no-check-dest", "--ignore-times", *parts, source, target]
    return seconds(lambda: subprocess.run(command, env={f"RCLONE_S3_{name}": value for name, value in settings.items()}, check=True))


def main(folder: Path) -> None:
    server = SeaweedFs(folder / "seaweedfs").start()
    work = folder / "work"
    work.mkdir()
    times: dict[str, list[float]] = {}
    try:
        for number in range(ROUNDS):
            plain, _, _ = run(work, [MAKE])
            _, here, session = run(work, [MAKE, COUNT])
            file = session / "data" / "make.duckdb"
            size = file.stat().st_size
            found = {"cp": seconds(lambda: shutil.copyfile(file, folder / "copy"))}
            found["rclone, up"] = rclone(server, str(file), f":s3:{BUCKET}/plain")
            found["rclone, down"] = rclone(server, f":s3:{BUCKET}/plain", str(folder / "copy"))
            server.bucket().ask("DELETE", "plain")
            shutil.rmtree(session.parent)
            (folder / "shared").mkdir()
            store = Store(server.bucket(), f"bench{number}", server.port)
            for name, url in [("s3://", store.url), ("file://", f"file://{folder}/shared")]:
                stored, _, session = run(work, [MAKE], "--exchange", url, env=store.env)
                _, there, _ = run(work, [MAKE, COUNT | {"on": "w"}], "--exchange", url, env=store.env)
                found[f"{name}, up"], found[f"{name}, down"] = stored - plain, there["count"] - here["count"]
                shutil.rmtree(session.parent)
            shutil.rmtree(folder / "shared")
            for key in store.keys():
                server.bucket().ask("DELETE", f"{store.prefix}/{key}")
            for name, taken in found.items():
                times.setdefault(name, []).append(taken)
    finally:
        server.remove()
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    print(f"a file of {size / 1e6:.0f} MB, medians of {ROUNDS} runs")
    for name, median in medians.items():
        scheme, _, way = name.partition(", ")
        base = {"s3://": f"rclone, {way}", "file://": "cp"}.get(scheme)
        ratio = f", {median / medians[base]:.2f} times as long as {base}, goal {GOAL}" if base else ""
        print(f"{name}: {median:.2f} s, {size / 1e6 / median:.0f} MB/s{ratio}", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="osiris-bench-") as place:
        main(Path(place))
