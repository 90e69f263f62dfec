"""A Ray cluster on this machine: a head on which no step runs, and nodes of a few CPUs each."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import OSIRIS, ROOT

VENV = ROOT / ".deps" / "venv" / "bin"
BRIDGE = ROOT / "clients" / "ray-bridge" / "src"
MEMORY = 8_000_000_000
STORE = 80 << 20


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def processes(*words: str) -> list[int]:
    """The processes whose command lines contain one of the words, apart from this one."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and any(word in command_line(pid) for word in words)]


class RayCluster:
    def __init__(self):
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "memory": MEMORY, "object_store_memory": STORE, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address = self.cluster.address
        self.session = Path(self.cluster.head_node.get_session_dir_path())
        self.nodes = {}

    def ensure(self, *names: str, cpus: int = 2) -> None:
        """Starts nodes that are missing, each with a resource of its own name."""
        missing = [name for name in names if name not in self.nodes]
        for name in missing:
            self.nodes[name] = self.cluster.add_node(wait=False, num_cpus=cpus, memory=MEMORY, object_store_memory=STORE, resources={name: 2})
        if missing:
            self.cluster.wait_for_nodes()

    def workers(self) -> dict[str, list[int]]:
        """The `osiris worker` processes of each node."""
        found = {name: [] for name in self.nodes}
        raylets = {node.all_processes["raylet"][0].process.pid: name for name, node in self.nodes.items()}
        for pid in processes(f"{OSIRIS.name} worker --slots 1"):
            ancestor = pid
            while ancestor > 1 and ancestor not in raylets:
                ancestor = parent(ancestor)
            if ancestor in raylets:
                found[raylets[ancestor]].append(pid)
        return found

    def kill(self, name: str) -> None:
        """Ends a node as a power failure would."""
        self.cluster.remove_node(self.nodes.pop(name), allow_graceful=False)

    def environment(self) -> dict[str, str]:
        return environment()


def environment() -> dict[str, str]:
    """What a run needs to find the bridge."""
    return {"PATH": f"{VENV}:{os.environ['PATH']}", "PYTHONPATH": str(BRIDGE)}


@contextmanager
def osiris_on_the_nodes():
    """Nodes that are started meanwhile have `osiris` on their PATH."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PATH", f"{OSIRIS.parent}:{os.environ['PATH']}")
        yield


@pytest.fixture(scope="module")
def ray_cluster():
    pytest.importorskip("ray", reason="Ray has no package for this machine")
    with osiris_on_the_nodes():
        cluster = RayCluster()
        try:
            yield cluster
        finally:
            cluster.cluster.shutdown()
