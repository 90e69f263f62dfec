"""The rooms of the host: each imports only from its own floor and those below, and ARCHITECTURE.md names every one.
And what holds for all code: how long a file and a function may be, and that no crate goes without the lints.
"""

import ast
import re
import subprocess
import tomllib

import pytest

from conftest import ROOT

SOURCE = ROOT / "host" / "src"
CODE_MAP = re.compile(r"^\| (\d+) \| ([^|]+) \|", re.M)

# What may be used in one room only: a pattern, the room, and the reason.
PRIVATE = [
    (r"\bduckdb::(?!arrow\b)", "engine", "only the engine opens DuckDB, and checks every statement"),
    (r"\bbindgen!", "contract", "the contract's host side is in one room"),
    (r"\b(landlock|seccompiler)::", "sandbox", "the operating system's layer is in one room"),
    (r"\bwasmparser::", "driver", "a stranger's component is read in one room"),
]


def floors():
    """The floor of each room, from ARCHITECTURE.md."""
    rows = CODE_MAP.findall((ROOT / "ARCHITECTURE.md").read_text())
    return {room.removesuffix("/").removesuffix(".rs"): int(floor) for floor, rooms in rows for room in re.findall(r"`([\w./]+)`", rooms)}


def room(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".rs")


def code(path):
    """A file's code without its comments and tests."""
    text = path.read_text().split("#[cfg(test)]\nmod tests {")[0]
    return re.sub(r"//[^\n]*", "", text)


def imports(text):
    """The rooms that a text imports: `crate::room`, and each of `crate::{one, other::Thing}`."""
    named = re.findall(r"\bcrate::(\w+)", text)
    for group in re.findall(r"\bcrate::\{((?:[^{}]|\{[^{}]*\})*)\}", text):
        named += [part.strip().split("::")[0] for part in re.sub(r"\{[^{}]*\}", "", group).split(",") if part.strip()]
    return set(named)


FILES = [path for path in sorted(SOURCE.rglob("*.rs")) if not path.stem.endswith("_tests")]


def upward(text, from_room, of):
    return sorted(other for other in imports(text) if other in of and of[other] > of[from_room])


def test_the_code_map_names_every_room_and_no_other():
    assert set(floors()) == {room(path) for path in SOURCE.iterdir()}


def test_each_room_imports_only_from_its_own_floor_and_those_below():
    of = floors()
    wrong = {str(path.relative_to(SOURCE)): found for path in FILES if (found := upward(code(path), room(path), of))}
    assert wrong == {}


@pytest.mark.parametrize("text", ["use crate::cli::print;", "use crate::{error::Report, cli::{print, table}};", "fn f() { crate::cli::g() }"])
def test_an_import_from_a_floor_above_is_found(text):
    assert upward(text, "engine", floors()) == ["cli"]


@pytest.mark.parametrize("pattern, own, reason", PRIVATE, ids=[own for _, own, _ in PRIVATE])
def test_restricted_names_are_used_only_in_their_room(pattern, own, reason):
    users = {room(path) for path in FILES if re.search(pattern, code(path))}
    assert users == {own}, reason


MOST_LINES_OF_A_FILE = 500
MOST_LINES_OF_A_FUNCTION = 60

# Longer files, each with the reason.
LONG_FILES = {"wit/driver.wit": "the manual of the contract, read from the top; other languages' tools take one file"}

# Longer Python functions, each with the reason.
LONG_FUNCTIONS = {"contestants": "holds a function for each contestant"}


def tracked(*patterns):
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_is_too_long():
    generated = ("/generated/", "/sdk/typescript/contract/", "/wit/deps/")
    files = tracked("*.rs", "*.py", "*.c", "*.h", "*.go", "*.ts", "*.mjs", "*.wit", "tools/*")
    files = [path for path in files if not any(part in str(path) for part in generated) and path.suffix != ".tsv"]
    assert len(files) > 400
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {path for path, length in lengths.items() if length > MOST_LINES_OF_A_FILE} == set(LONG_FILES)


def test_no_python_function_is_too_long():
    functions = [node for path in tracked("*.py") for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    assert {node.name for node in functions if node.end_lineno - node.lineno >= MOST_LINES_OF_A_FUNCTION} == set(LONG_FUNCTIONS)


def test_clippy_checks_the_length_of_functions_and_unsafe_code_in_every_crate():
    lints = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["lints"]
    assert (lints["rust"]["unsafe_code"], lints["clippy"]["too_many_lines"]) == ("deny", "warn")
    # The fuzzer's crate is a separate workspace, and contains only calls; the SDK's examples are what strangers write. The
    # SDK spells the lints out, because it is copied.
    crates = [path for path in tracked("*/Cargo.toml") if path.parent != ROOT / "fuzz" and path.parents[1] != ROOT / "sdk" / "rust" / "examples"]
    assert [str(path) for path in crates if tomllib.loads(path.read_text()).get("lints") not in ({"workspace": True}, lints)] == []
    settings = [tomllib.loads(path.read_text()) for path in tracked("*clippy.toml")]
    assert [setting["too-many-lines-threshold"] for setting in settings] == [MOST_LINES_OF_A_FUNCTION] * 2
