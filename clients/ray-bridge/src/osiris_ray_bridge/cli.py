"""`osiris-ray-bridge`: the command line."""

import argparse
import asyncio
import os
import signal
import socket
import sys
from importlib import metadata
from pathlib import Path

from .blobs import Blobs
from .bridge import Bridge
from .cluster import RayCluster
from .failures import no_cluster
from .lines import MAX_CHUNK, encode
from .link import Server

CONNECT_SECONDS = 20


def main() -> None:
    arguments = parse()
    # Only the protocol is written to stdout, whatever Ray prints.
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    command = (arguments.program, "worker", "--slots", "1")
    if arguments.worker_dir:
        command += ("--dir", arguments.worker_dir)
    try:
        check_reachable(arguments.address)
        cluster = RayCluster(arguments.address, command, arguments.wait_for_nodes)
    except (OSError, ValueError, RuntimeError) as error:
        failure = no_cluster(f"there is no Ray cluster at `{arguments.address}`: {str(error).strip()}")
        output.write(encode({"type": "error", "failure": failure, "connected": False}))
        sys.exit(1)
    try:
        is_orderly = asyncio.run(serve(arguments, cluster, output))
    finally:
        cluster.close()
    sys.exit(0 if is_orderly else 1)


def check_reachable(address: str) -> None:
    """Raises an OSError if nothing answers at an address: Ray would try for long, and then abort."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if separator and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="osiris-ray-bridge",
        description="Runs the steps of Osiris pipelines as tasks on a Ray cluster. `osiris run pipeline.yaml --on ray` starts it; "
        "`--on 'osiris-ray-bridge OPTIONS'` starts it with other options.",
    )
    parser.add_argument("--version", action="version", version=metadata.version("osiris-ray-bridge"))
    parser.add_argument("--address", default="auto", help="the cluster, such as 10.0.0.1:6379 or ray://10.0.0.1:10001 [default: the one that this machine belongs to]")
    parser.add_argument("--program", default="osiris", help="the path of `osiris` on the nodes [default: osiris, on their PATH]")
    parser.add_argument("--worker-dir", metavar="DIR", help="the folder on the nodes in which workers store files, as in `osiris worker --dir`")
    parser.add_argument("--dir", type=Path, help="the folder on this machine for files on their way to nodes [default: the one for temporary files]")
    parser.add_argument("--listen", metavar="HOST", help="the address of this machine to which tasks connect [default: its address in the cluster]")
    parser.add_argument("--port", type=int, default=0, help="the port to which tasks connect [default: any]")
    parser.add_argument("--resource", action="append", default=[], type=resource, metavar="NAME=AMOUNT", help="a custom resource that each step needs; may be repeated")
    parser.add_argument("--wait-for-nodes", action="store_true", help="let steps wait for nodes that do not exist yet, on a cluster that grows by itself")
    return parser.parse_args()


def resource(text: str) -> tuple[str, float]:
    name, separator, amount = text.partition("=")
    try:
        value = float(amount) if separator else 1.0
    except ValueError:
        value = 0
    if not name or not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"`{text}` is not NAME=AMOUNT")
    return name, value


async def serve(arguments: argparse.Namespace, cluster: RayCluster, output: object) -> bool:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_CHUNK)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, output)
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    server = Server()
    host = arguments.listen or cluster.host()
    try:
        await server.start(host, arguments.port)
    except OSError as error:
        sys.exit(f"cannot listen on {host}:{arguments.port}: {error.strerror}")
    bridge = Bridge(cluster, server, Blobs(arguments.dir), writer, dict(arguments.resource))
    serving = asyncio.ensure_future(bridge.serve(lambda: reader.read(MAX_CHUNK)))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, serving.cancel)
    try:
        return await serving
    except asyncio.CancelledError:
        return False
    finally:
        server.close()
        writer.close()
