"""Where the steps of the suite's pipelines run: here, or with `pytest --on NAME` in another place, for which this machine stands.

Each is what a run is told about it (`Project.on`) and the variables by which it is found (`Project.env`)."""

import shutil
import tempfile
from pathlib import Path

NAMES = ["local", "command", "ray", "e2b"]


def begin(config, project) -> None:
    """Starts what the executor needs. A cluster serves all of pytest's workers; each has its own stand-in for E2B."""
    match config.getoption("--on"):
        case "command":
            project.on = ["--on", "PROGRAM worker --slots 4"]
        case "ray":
            begin_ray(config, project)
        case "e2b" if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
            from conftest import OSIRIS, cache_folder
            from e2b_stand_in import StandIn

            config.e2b = StandIn(Path(tempfile.mkdtemp(prefix="e2b-")), {"ready": {"PATH": str(OSIRIS.parent), "OSIRIS_CACHE_DIR": str(cache_folder())}})
            project.on, project.env = ["--on", "e2b:ready"], config.e2b.env


def begin_ray(config, project) -> None:
    from ray_cluster import RayCluster, environment, osiris_on_the_nodes

    if hasattr(config, "workerinput"):
        config.ray_address = config.workerinput["ray"]
    else:
        with osiris_on_the_nodes():
            config.ray = RayCluster()
            config.ray.ensure("one", cpus=16)
        config.ray_address = config.ray.address
    project.on = ["--on", f"osiris-ray-bridge --address {config.ray_address} --program PROGRAM"]
    project.env = environment()


def end(config) -> None:
    if ray := getattr(config, "ray", None):
        ray.cluster.shutdown()
    if e2b := getattr(config, "e2b", None):
        left = list(e2b.alive)
        e2b.close()
        shutil.rmtree(e2b.folder, ignore_errors=True)
        assert left == [], "sandboxes were left"


def parity_table(lines: list[tuple[str, str, dict[str, bool]]]) -> str:
    """For each case, how it ended on this machine, and whether it was the same elsewhere."""
    places = [name for name in NAMES if name != "local"]
    rows = [("case", "local", *places)]
    rows += [(case, here, *("same" if same[name] else "DIFFERENT" for name in places)) for case, here, same in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() + "\n" for row in rows)
