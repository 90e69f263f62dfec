"""Builds a driver's module into a component: `python -m osiris_sdk.build driver.py --output driver.wasm`.

The exports are those that the module's decorators declare. The imports are those of the contract that every driver
has, and those of the grants that the driver's spec requests: `http`, `connect` and `state`. Needs `componentize-py` and
PyYAML (`pip install osiris-sdk[build]`).
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

CONTRACT = "osiris:driver"
WIT = Path(__file__).parent / "wit"

# The command `componentize-py`, wherever its package is installed.
COMPONENTIZE = "import sys, componentize_py; sys.exit(componentize_py.script())"

EXPORTS = {"Extract": "extract", "Transform": "transform", "Load": "load", "Discover": "discover", "Check": "check"}
# What a spec's grant makes a driver import.
GRANTS = {
    "http": [
        "wasi:http/types@{wasi}",
        "wasi:http/outgoing-handler@{wasi}",
        "wasi:clocks/monotonic-clock@{wasi}",
        "wasi:io/poll@{wasi}",
    ],
    "connect": ["osiris:driver/tcp@{contract}"],
    "state": ["osiris:driver/state@{contract}"],
}


def exports_of(module: Path) -> list[str]:
    """The interfaces that a driver's module exports, found by importing it natively."""
    sys.path.insert(0, str(module.parent))
    spec = importlib.util.spec_from_file_location(module.stem, module)
    if spec is None or spec.loader is None:
        raise SystemExit(f"error: `{module}` is not a Python module")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module.stem] = loaded
    try:
        spec.loader.exec_module(loaded)
    finally:
        sys.path.remove(str(module.parent))
    found = [interface for name, interface in EXPORTS.items() if hasattr(loaded, name)]
    if not {"extract", "transform", "load"} & set(found):
        raise SystemExit(f"error: `{module}` has no function with @extractor, @processor or @writer")
    return found


def grants_of(spec: Path) -> list[str]:
    """The grants that a driver's spec requests and that need an import."""
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise SystemExit("error: reading a spec needs PyYAML: pip install osiris-sdk[build]") from None
    try:
        requested = (yaml.safe_load(spec.read_text()) or {}).get("grants") or {}
    except OSError as error:
        raise SystemExit(
            f"error: cannot read the driver's spec: {error}; name it with --spec, or its grants with --grants"
        ) from None
    return [grant for grant in GRANTS if requested.get(grant)]


def world(exports: list[str], grants: list[str]) -> str:
    """The WIT of a world with these exports and grants."""
    contract = _version(WIT / "driver.wit")
    wasi = _version(WIT / "deps" / "http.wit")
    lines = [f"    include {CONTRACT}/imports@{contract};"]
    for grant in grants:
        lines += [f"    import {interface.format(wasi=wasi, contract=contract)};" for interface in GRANTS[grant]]
    lines += [f"    export {CONTRACT}/{interface}@{contract};" for interface in exports]
    return "package built:driver;\n\nworld driver {\n" + "\n".join(lines) + "\n}\n"


def _version(wit: Path) -> str:
    found = re.search(r"^package [\w:-]+@([^;]+);", wit.read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit(f"error: `{wit}` names no version")
    return found[1]


def build(module: Path, output: Path, grants: list[str]) -> None:
    """Builds the component."""
    if importlib.util.find_spec("componentize_py") is None:
        raise SystemExit("error: `componentize-py` is not installed: pip install osiris-sdk[build]")
    exports = exports_of(module)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "world.wit").write_text(world(exports, grants))
        paths = [str(module.parent), str(Path(__file__).parent.parent), sysconfig.get_path("purelib")]
        subprocess.run(
            [
                sys.executable, "-c", COMPONENTIZE, "--wit-path", str(WIT), "--wit-path", folder, "--world", "built:driver/driver", "componentize",
                *(option for path in dict.fromkeys(paths) for option in ("--python-path", path)),
                module.stem, "--output", str(output),
            ],
            check=True,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m osiris_sdk.build", description="Builds a driver's module into a component."
    )
    parser.add_argument("module", type=Path, help="the driver's module, such as driver.py")
    parser.add_argument("--output", type=Path, help="the component [default: the module's name with .wasm]")
    parser.add_argument(
        "--spec", type=Path, help="the driver's spec, whose grants are imported [default: spec.yaml beside the module]"
    )
    parser.add_argument(
        "--grants",
        help=f"the grants to import ({', '.join(GRANTS)}; separated by commas), instead of those in the spec",
    )
    chosen = parser.parse_args()
    if chosen.grants is None:
        grants = grants_of(chosen.spec or chosen.module.parent / "spec.yaml")
    else:
        grants = [grant for grant in chosen.grants.split(",") if grant]
        unknown = [grant for grant in grants if grant not in GRANTS]
        if unknown:
            raise SystemExit(
                f"error: `{unknown[0]}` is not a grant that needs an import; those are {', '.join(GRANTS)}"
            )
    build(chosen.module.resolve(), (chosen.output or chosen.module.with_suffix(".wasm")).resolve(), grants)


if __name__ == "__main__":
    main()
