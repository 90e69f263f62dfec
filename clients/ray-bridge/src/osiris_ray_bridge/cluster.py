"""Everything that calls Ray."""

import asyncio
import dataclasses
import logging
from dataclasses import dataclass, field
from typing import Any, Protocol

from . import task
from .failures import Failure, unusable
from .lines import ProtocolError, natural

MAX_SLOTS = 256


@dataclass(frozen=True)
class Resources:
    """What an attempt needs of a node."""

    cpus: float
    memory: int
    custom: dict[str, float] = field(default_factory=dict)

    @staticmethod
    def of(command: dict[str, Any], custom: dict[str, float], most_cpus: float) -> "Resources":
        """What an `exec_step` needs: what the step asks for, or else as many CPUs as it has threads, as far as there is a node
        with so many (`most_cpus`), and the memory of its driver and its DuckDB. `custom` is what every step needs besides."""
        limits = _object(_object(command.get("job"), "job").get("limits"), "limits")
        wanted = _object(command.get("resources", {}), "resources")
        threads, guest, engine = (natural(limits.get(key), key) for key in ("threads", "guest_memory_bytes", "engine_memory_bytes"))
        own = {name: _amount(amount, name) for name, amount in _object(wanted.get("custom", {}), "custom").items()}
        return Resources(
            _amount(wanted.get("cpus", max(1, min(threads, most_cpus))), "cpus"), natural(wanted.get("memory_bytes", guest + engine), "memory_bytes"), custom | own
        )

    def fit(self, node: dict[str, float]) -> bool:
        needed = {"CPU": self.cpus, "memory": self.memory, **self.custom}
        return all(node.get(name, 0) >= amount for name, amount in needed.items())

    def __str__(self) -> str:
        custom = "".join(f", {amount:g} `{name}`" for name, amount in self.custom.items())
        return f"{self.cpus:g} CPUs, {self.memory / 1e9:.1f} GB of memory{custom}"


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolError(f"`{name}` is not an object")
    return value


def _amount(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
        raise ProtocolError(f"`{name}` is not an amount")
    return float(value)


class Placed(Protocol):
    """A task that was submitted."""

    # Ends with the task: with an exception if it did not return.
    done: "asyncio.Future[None]"

    def cancel(self, force: bool) -> None: ...


class Cluster(Protocol):
    """Where tasks run."""

    def announce(self) -> dict[str, int]: ...

    def most_cpus(self) -> float:
        """The CPUs of the largest node."""
        ...

    def refuse(self, resources: Resources) -> Failure | None:
        """Why no node can ever run this, if that is so."""
        ...

    def place(self, ticket: task.Ticket, resources: Resources) -> Placed: ...


class RayCluster:
    def __init__(self, address: str, command: tuple[str, ...], waits_for_nodes: bool):
        import ray

        self._ray = ray
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        # Nodes need not have this package.
        ray.cloudpickle.register_pickle_by_value(task)
        # A lost task is not Ray's to retry: the host decides.
        self._run = ray.remote(max_retries=0)(task.run_attempt)
        self._command = command
        self._waits_for_nodes = waits_for_nodes

    def host(self) -> str:
        """This machine's address in the cluster."""
        return str(self._ray.util.get_node_ip_address())

    def _nodes(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def announce(self) -> dict[str, int]:
        nodes = self._nodes()
        cpus = int(sum(node.get("CPU", 0) for node in nodes))
        memory = int(sum(node.get("memory", 0) for node in nodes))
        return {"slots": min(max(cpus, 1), MAX_SLOTS), "cpus": cpus, "memory_bytes": memory}

    def most_cpus(self) -> float:
        return max((node.get("CPU", 0) for node in self._nodes()), default=0)

    def refuse(self, resources: Resources) -> Failure | None:
        nodes = self._nodes()
        if self._waits_for_nodes or any(resources.fit(node) for node in nodes):
            return None
        sizes = [Resources(node.get("CPU", 0), int(node.get("memory", 0)), _custom(node)) for node in nodes]
        return unusable(
            f"no node of the Ray cluster has {resources}; the nodes have {'; '.join(sorted({str(size) for size in sizes}))}",
            "change the step's `resources`, add a node, or start the bridge with `--wait-for-nodes` if the cluster grows by itself",
        )

    def place(self, ticket: task.Ticket, resources: Resources) -> "RayTask":
        options = self._run.options(
            num_cpus=resources.cpus, memory=resources.memory, resources=resources.custom or None, name="osiris-attempt"
        )
        return RayTask(self._ray, options.remote(dataclasses.astuple(ticket), self._command))

    def close(self) -> None:
        self._ray.shutdown()


def _custom(node: dict[str, float]) -> dict[str, float]:
    """The custom resources of a node, without those that Ray itself declares."""
    own = ("CPU", "memory", "object_store_memory")
    return {name: amount for name, amount in node.items() if name not in own and not name.startswith("node:")}


class RayTask:
    def __init__(self, ray: Any, reference: Any):
        self._ray = ray
        self._reference = reference
        self.done = asyncio.wrap_future(reference.future())

    def cancel(self, force: bool) -> None:
        if not self.done.done():
            self._ray.cancel(self._reference, force=force)
