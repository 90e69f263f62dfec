"""Two network namespaces, a host's and a worker's, with links between them that can be cut, mended and throttled."""

import os
import subprocess
import time


def missing() -> str | None:
    """Why this machine cannot give a test such links; None if it can."""
    if os.geteuid() != 0:
        return "only root makes links between network namespaces"
    tried = subprocess.run(["unshare", "--net", "ip", "link", "add", "h0", "type", "veth", "peer", "name", "w0"], capture_output=True, text=True)
    return tried.stderr.strip() or "`unshare --net` failed" if tried.returncode else None


class Links:
    """Link N leads from the host's 10.77.N.1 to the worker's 10.77.N.2."""

    def __init__(self, count: int):
        self.places = {"h": self._namespace(), "w": self._namespace()}
        for number in range(count):
            self._run("h", "ip", "link", "add", f"h{number}", "type", "veth", "peer", "name", f"w{number}", "netns", str(self.places["w"].pid))
            for place, last in (("h", 1), ("w", 2)):
                self._run(place, "ip", "address", "add", f"10.77.{number}.{last}/24", "dev", f"{place}{number}")
                self._run(place, "ip", "link", "set", f"{place}{number}", "up")

    def __enter__(self) -> "Links":
        return self

    def __exit__(self, *_) -> None:
        for place in self.places.values():
            place.kill()
            place.wait()

    def inside(self, place: str) -> list[str]:
        """The command line that leads into the host's (`h`) or the worker's (`w`) namespace."""
        return ["nsenter", f"--net=/proc/{self.places[place].pid}/ns/net"]

    def cut(self, number: int) -> None:
        self._run("w", "ip", "link", "set", f"w{number}", "down")

    def mend(self, number: int) -> None:
        self._run("w", "ip", "link", "set", f"w{number}", "up")

    def throttle(self, number: int, kilobits: int) -> None:
        """In both directions, with a queue of one second."""
        for place in self.places:
            self._run(place, "tc", "qdisc", "add", "dev", f"{place}{number}", "root", "tbf", "rate", f"{kilobits}kbit", "burst", "16kb", "latency", "1s")

    def _run(self, place: str, *command: str) -> None:
        subprocess.run([*self.inside(place), *command], check=True)

    def _namespace(self) -> subprocess.Popen:
        process = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        own = os.readlink("/proc/self/ns/net")
        deadline = time.monotonic() + 10
        while os.readlink(f"/proc/{process.pid}/ns/net") == own:
            assert time.monotonic() < deadline, "no network namespace"
            time.sleep(0.005)
        subprocess.run(["nsenter", f"--net=/proc/{process.pid}/ns/net", "ip", "link", "set", "lo", "up"], check=True)
        # Where the kernel lets a namespace decide, a mended link is used at once, and a cut one not given up by the kernel.
        patience = "cd /proc/sys/net/ipv4; [ ! -e tcp_rto_max_ms ] || { echo 1000 > tcp_rto_max_ms; echo 255 > tcp_retries2; }"
        subprocess.run(["nsenter", f"--net=/proc/{process.pid}/ns/net", "sh", "-c", patience], check=True)
        return process
