"""The rooms of the host: each imports only from its own floor and those below, and ARCHITECTURE.md names every one."""

import re

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


def test_no_file_is_longer_than_500_lines():
    lengths = {str(path.relative_to(SOURCE)): len(path.read_text().splitlines()) for path in SOURCE.rglob("*.rs")}
    assert {path: length for path, length in lengths.items() if length > 500} == {}
