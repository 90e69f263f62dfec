"""Builds drivers with the SDKs. A component is built again only if its sources, the SDK or the contract have changed."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from conftest import OSIRIS, ROOT, TARGET

SDK = ROOT / "sdk"
TOOLS = ROOT / ".deps" / "venv" / "bin"
CACHE = TARGET / "language-drivers"
LANGUAGES = ("rust", "python", "typescript", "go", "c")
# Folders beside the SDKs' sources that do not change what they build.
BESIDE = {"node_modules", "dist", "tests", "test", "examples", "__pycache__", ".pytest_cache"}

# The tools of Go and C, as the SDKs' build scripts take them.
BUILT_WITH = {
    "GO": os.environ.get("GO") or shutil.which("go") or str(TOOLS / "go"),
    "OSIRIS_CC": f"{TOOLS / 'python'} -m ziglang cc --target=wasm32-wasi",
    "WASM_TOOLS": str(TOOLS / "wasm-tools"),
}


def language_of(source: Path) -> str:
    """The language of a driver's main file."""
    return {".py": "python", ".ts": "typescript", ".go": "go", ".c": "c", ".toml": "rust"}[source.suffix]


def build(source: Path, output: Path, *options: str, spec: Path) -> None:
    """Builds the driver whose main file is `source` into a component. The grants of its spec decide what it imports."""
    language = language_of(source)
    with tempfile.TemporaryDirectory() as work:
        if language == "python":
            command = [sys.executable, "-m", "osiris_sdk.build", source, "--spec", spec, "--output", output, *options]
        elif language == "typescript":
            requested = (yaml.safe_load(spec.read_text()).get("grants") or {}).keys() & {"http", "connect", "state"}
            command = ["node", SDK / "typescript" / "build.mjs", source, "--grants", ",".join(requested), "--output", output, *options]
        elif language == "go":
            command = [SDK / "go" / "build", go_module(source, spec, Path(work)), output, *options]
        else:
            command = [SDK / "c" / "build", spec, output, source, *options]
        environment = os.environ | BUILT_WITH | {"PYTHONPATH": str(SDK / "python")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def go_module(source: Path, spec: Path, folder: Path) -> Path:
    """The folder of a driver in Go: a copy with a go.mod, unless the driver is part of the SDK's own module."""
    if source.is_relative_to(SDK):
        return source.parent
    shutil.copytree(source.parent, folder, dirs_exist_ok=True)
    shutil.copy(spec, folder / "spec.yaml")
    (folder / "go.mod").write_text(
        f"module driver\n\ngo 1.24\n\nrequire go.osiris.dev/sdk v0.0.0\n\nreplace go.osiris.dev/sdk => {SDK / 'go'}\n"
    )
    return folder


def rust(manifest: Path) -> Path:
    """Builds a driver in Rust, which cargo does only if something has changed."""
    name = next(line.split('"')[1] for line in manifest.read_text().splitlines() if line.startswith("name = "))
    command = ["cargo", "build", "--quiet", "--profile", "driver", "--target", "wasm32-wasip2", "--package", name]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"CARGO_TARGET_DIR": str(TARGET)}, check=True)
    return TARGET / "wasm32-wasip2" / "driver" / f"{name.replace('-', '_')}.wasm"


def component(source: Path, *options: str, spec: Path | None = None) -> Path:
    """The component of a driver, whose main file is `source` (for Rust its Cargo.toml): the one built last time if nothing
    that it is made of has changed."""
    language = language_of(source)
    spec = spec or source.with_name("spec.yaml")
    if language == "rust":
        return rust(source)
    CACHE.mkdir(parents=True, exist_ok=True)
    made_of = digest(source, spec, language, options)
    name = f"{hashlib.sha256(str(source).encode()).hexdigest()[:12]}-{source.stem}"
    output = CACHE / f"{name}-{made_of[:24]}.wasm"
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not output.exists():
            for old in CACHE.glob(f"{name}-*.wasm"):
                old.unlink()
            fresh = output.with_suffix(".new")
            build(source, fresh, *options, spec=spec)
            fresh.rename(output)
    return output


def digest(source: Path, spec: Path, language: str, options: tuple[str, ...]) -> str:
    """The digest of everything that a component is made of, apart from the tools."""
    files = {spec, Path(__file__), *(file for file in source.parent.iterdir() if file.suffix == source.suffix)}
    for folder in (SDK / language, ROOT / "wit"):
        for place, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if name not in BESIDE]
            files.update(Path(place, name) for name in names if not name.endswith((".md", ".pyc")))
    parts = [repr(options).encode(), *(file.name.encode() + b"\0" + file.read_bytes() for file in sorted(files))]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def pack(built: Path, spec: Path, folder: Path) -> Path:
    """Packs a component with its spec into a folder of drivers, under the name in the spec."""
    command = [OSIRIS, "drivers", "pack", built, "--spec", spec, "--output", folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / f"{yaml.safe_load(spec.read_text())['name']}.wasm"


def driver(source: Path, folder: Path, *options: str, spec: Path | None = None) -> Path:
    """Builds and packs a driver."""
    folder.mkdir(parents=True, exist_ok=True)
    return pack(component(source, *options, spec=spec), spec or source.with_name("spec.yaml"), folder)


# What any component may import: it is linked without effect, or gives what every driver has.
INERT = {"wasi:cli", "wasi:clocks", "wasi:filesystem", "wasi:io", "wasi:random", "wasi:sockets"}
OF_EVERY_DRIVER = {f"osiris:driver/{name}" for name in ("errors", "context", "secrets", "arrow", "tables", "sql", "files")}


def requested_imports(imports: list[str]) -> set[str]:
    """The interfaces among a component's imports that its spec must request."""
    names = {name.partition("@")[0] for name in imports}
    return {name for name in names if name.partition("/")[0] not in INERT} - OF_EVERY_DRIVER
