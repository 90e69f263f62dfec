"""Does what docs/drivers/tutorial-*.md tell the reader to do, on a machine with nothing but Osiris and the language's own tools."""

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT
from projects import LANGUAGES, Machine

BLOCK = re.compile(r"^```(\w+)(?: title=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def apply(diff: str, folder: Path) -> None:
    """Changes a file as a reader would: the lines without a sign are where, those with signs are what."""
    head, *lines = diff.splitlines()
    path = folder / head.removeprefix("--- ")
    before = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
    after = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
    text = path.read_text()
    assert text.count(before) == 1, f"{path.name} has not these lines once:\n{before}"
    path.write_text(text.replace(before, after))


def shows(expected: list[str], printed: str) -> bool:
    """Whether the output has the expected lines, where `…` stands for anything, and alone on a line for any lines."""
    lines = ("(?:.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + "\n" for line in expected)
    return re.fullmatch("".join(lines), printed.strip() + "\n") is not None


class Reader:
    def __init__(self, machine: Machine):
        self.machine, self.folder, self.servers = machine, machine.work, []

    def type(self, block: str) -> None:
        for command, *expected in (part.splitlines() for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]):
            if command.startswith("cd "):
                self.folder = self.folder / command.removeprefix("cd ")
            elif command.endswith(" &"):
                self.servers.append(subprocess.Popen(command.removesuffix(" &").split(), cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            else:
                # A C compiler for this machine is not part of the toolchain.
                path = os.environ["PATH"] if command == "make test" else self.machine.env["PATH"]
                done = subprocess.run(["sh", "-c", command], cwd=self.folder, env=self.machine.env | {"PATH": path}, capture_output=True, text=True, timeout=300)
                printed = done.stderr + done.stdout
                assert done.returncode == 0, f"{command}\n{printed}"
                assert shows(expected, printed), f"{command}\n{printed}\nis not\n{expected}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_tutorial_can_be_followed(language, tmp_path):
    reader = Reader(Machine(tmp_path, language, prepared=True))
    text = (ROOT / "docs" / "drivers" / f"tutorial-{language}.md").read_text()
    port = free_port()
    try:
        for kind, title, block in BLOCK.findall(text):
            if kind == "console":
                reader.type(block.replace("8000", str(port)))
            elif kind == "diff":
                apply(block, reader.folder)
            elif title:
                connections = reader.folder / "example" / "osiris_connections.yaml"
                connections.write_text(connections.read_text().replace("8000", str(port)))
                (reader.folder / title).write_text(block)
    finally:
        for server in reader.servers:
            server.kill()
            server.wait()
    assert reader.servers, "the pipeline was run"
