"""Projects of drivers, written and built on a machine that has only Osiris and the tools of one language.

The package managers take what they download from where `tools/setup-tests` and the build of this repository put it: cargo
from its own cache, offline; npm from its cache if it can; pip from `.deps/wheels`; Go needs nothing.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import ROOT, TARGET, install

LANGUAGES = ["rust", "python", "typescript", "go", "c"]
# The templates of each kind, the default first.
TEMPLATES = {"extractor": ["rows", "rest", "database", "file"], "processor": ["columns", "sql"], "writer": ["file", "rest", "database"]}
BUNDLED = ["filesystem.csv_extractor", "filesystem.csv_writer", "duckdb.processor"]
PYTHON = Path(sys.executable).resolve()
GO = ROOT / ".deps" / "venv" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages" / "go" / "bin" / "go"
BASICS = ["sh", "env", "uname", "mkdir", "rm", "cat"]


def tools(language: str) -> dict[str, Path]:
    """The programs that the language's package manager brings, and a linker for Rust."""
    if language == "go":
        return {"go": GO}
    if language in ("python", "c"):
        return {"python3": PYTHON}
    names = {"rust": ["cargo", "rustc", "rustup", "cc", "ld", "as"], "typescript": ["node", "npm"]}[language]
    return {name: Path(found) for name in names if (found := shutil.which(name))}


class Machine:
    """A folder with the installed program, and another one for projects."""

    def __init__(self, folder: Path, language: str, *, prepared: bool = False):
        """With `prepared`, Python has the packages that a build would install otherwise."""
        self.folder, self.language = folder, language
        drivers = [TARGET / "drivers" / f"{name}.wasm" for name in BUNDLED]
        self.program = install(folder / "osiris" / "bin")
        (folder / "osiris" / "drivers").mkdir()
        for driver in drivers:
            (folder / "osiris" / "drivers" / driver.name).symlink_to(driver)
        path = folder / "path"
        path.mkdir()
        for name, program in tools(language).items() | {name: Path(shutil.which(name)) for name in BASICS}.items():
            (path / name).symlink_to(program)
        (path / "osiris").symlink_to(self.program)
        self.work = folder / "work"
        self.work.mkdir()
        self.env = {"PATH": str(path), "HOME": os.environ["HOME"], "CARGO_TARGET_DIR": str(TARGET / "projects"), "CARGO_NET_OFFLINE": "true"}
        self.env |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(ROOT / ".deps" / "wheels"), "GOPROXY": "off", "GOTOOLCHAIN": "local"}
        kept = ("OSIRIS_CACHE_DIR", "XDG_CACHE_HOME", "CARGO_HOME", "RUSTUP_HOME", "npm_config_cache", "npm_config_registry", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")
        self.env |= {name: os.environ[name] for name in kept if name in os.environ}
        if prepared and language == "rust":
            # What the tests need to know does not depend on how far the compiler optimises.
            self.env |= {"CARGO_PROFILE_RELEASE_LTO": "false", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16", "CARGO_PROFILE_RELEASE_OPT_LEVEL": "1"}
        if prepared and (path / "python3").exists():
            (path / "python3").unlink()
            (path / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
            (path / "python3").chmod(0o755)

    def run(self, *command, within: Path | None = None, expect: int = 0, env: dict = {}) -> subprocess.CompletedProcess:
        done = subprocess.run(list(map(str, command)), cwd=within or self.work, env=self.env | env, capture_output=True, text=True, timeout=300)
        assert done.returncode == expect, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def osiris(self, *arguments, **more) -> subprocess.CompletedProcess:
        return self.run(self.program, *arguments, **more)

    def new(self, kind: str, template: str, name: str = "") -> Path:
        name = name or f"shop.{kind}_{template}"
        self.osiris("drivers", "new", name, "--lang", self.language, "--kind", kind, "--template", template)
        return self.work / name

    def unit_tests(self, project: Path) -> subprocess.CompletedProcess:
        """Runs the tests that the project's README names. A C compiler for this machine is not part of the toolchain."""
        command = {"rust": "cargo test --quiet", "python": "python3 -m unittest", "typescript": "npm test", "go": "go test ./...", "c": "make test"}[self.language]
        assert f"`{command.replace(' --quiet', '')}`" in (project / "README.md").read_text()
        return self.run(*command.split(), within=project, env={"PATH": os.environ["PATH"]} if self.language == "c" else {})


def rows_of(machine: Machine, project: Path, step: str) -> list[dict]:
    """The rows of a step of the example's last run."""
    done = machine.osiris("query", "latest", step, "--base", project / "example", "--format", "json")
    return [json.loads(line) for line in done.stdout.splitlines()]
