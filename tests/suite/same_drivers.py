"""The same two drivers in each language: built from tests/guests/same, or frozen in tests/frozen.

`python tests/suite/same_drivers.py 0.2.0` freezes them, once for each version of the contract.
"""

import lzma
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from conftest import ROOT
from languages import LANGUAGES, driver

SAME = ROOT / "tests" / "guests" / "same"
FROZEN = ROOT / "tests" / "frozen"
FILES = {"rust": "Cargo.toml", "python": "driver.py", "typescript": "driver.ts", "go": "driver.go", "c": "driver.c"}
TASKS = ("rest", "columns")
# A component in Python contains the interpreter; one is enough.
NOT_FROZEN = "same.columns_python"


@dataclass
class SameDrivers:
    folder: Path
    # The languages of each task.
    languages: dict[str, list[str]]


def found(folder: Path) -> SameDrivers:
    return SameDrivers(folder, {task: [one for one in LANGUAGES if (folder / f"same.{task}_{one}.wasm").exists()] for task in TASKS})


def built(folder: Path) -> SameDrivers:
    """Builds all drivers."""
    for task in TASKS:
        template = (SAME / task / "spec.yaml").read_text()
        for language in LANGUAGES:
            spec = folder / language / task / "spec.yaml"
            spec.parent.mkdir(parents=True)
            spec.write_text(template.replace("_LANGUAGE", f"_{language}"))
            driver(SAME / task / language / FILES[language], folder / "packed", spec=spec)
    made = found(folder / "packed")
    assert made.languages == dict.fromkeys(TASKS, list(LANGUAGES))
    return made


def frozen(folder: Path, version: str) -> SameDrivers:
    """Unpacks the drivers that were built for a version of the contract."""
    for packed in (FROZEN / version).glob("*.wasm.xz"):
        with lzma.open(packed) as compressed, (folder / packed.stem).open("wb") as plain:
            shutil.copyfileobj(compressed, plain)
    there = found(folder)
    assert there.languages["rest"] == list(LANGUAGES) and "columns" in there.languages
    return there


def freeze(version: str) -> None:
    target = FROZEN / version
    assert not target.exists(), f"{target} is frozen already"
    with tempfile.TemporaryDirectory() as folder:
        for packed in built(Path(folder)).folder.glob("*.wasm"):
            if packed.stem != NOT_FROZEN:
                target.mkdir(parents=True, exist_ok=True)
                (target / f"{packed.name}.xz").write_bytes(lzma.compress(packed.read_bytes(), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    freeze(sys.argv[1])
