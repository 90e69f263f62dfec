"""A hostile driver is harmless: every attack of the corpus, against all layers and against its layer only."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from attacks import FOLDER, GUEST, LAYERS, NETWORK, SQL, Attack
from conftest import HOLE, ROOT, holding

CANARY = "canary-5f1c9e/+ü secret"


def steps(project, attack: Attack) -> list[dict]:
    config = {"attack": attack.name, "key": CANARY, "file": "out.txt"}
    if attack.group == "sql":
        # A session's name is not known before it runs: whatever it contains would be in a folder of its kind.
        session = project.folder / ".osiris_sessions" / "earlier"
        text = attack.sql.replace("SESSION", str(session)).replace("BASE", str(project.folder)).replace("PARENT", str(os.getpid()))
        config |= {"attack": "sql", "sql": text}
    return [
        project.sql("select 1 as a"),
        {"id": "attack", "component": "test.attack", "needs": ["source"], "config": config},
        {"id": "sibling", "component": "duckdb.processor", "needs": ["source"], "config": {"query": "from source"}},
    ]


@pytest.fixture
def victim(project):
    """A project with an earlier session, whose files must be protected like this one's."""
    result = project.run([project.sql("select 1 as a"), project.sql("select 'treasure' as a", id="theirs")])
    Path(result["session_path"]).rename(project.folder / ".osiris_sessions" / "earlier")
    project.write("out.txt", "before")
    project.write("pipeline.json", "{}")
    return project


def strangers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"pipeline.yaml", "pipeline.json", "osiris.lock", "out.txt", ".osiris_sessions"}


def check_harmless(project, result: dict, attack: Attack) -> dict:
    """Checks after any attack: its sibling finished, nothing of it remains, and no secret leaked."""
    assert result["step"]["sibling"]["status"] == "success", result["stderr"]
    session = Path(result["session_path"])
    assert not (session / "scratch").exists()
    assert strangers(project.folder) == set()
    assert not list(Path("/tmp").glob("osiris-attack*")), "it left something behind"
    assert "treasure" not in result["stderr"] and "root:" not in result["stderr"]
    assert "canary" not in result["stderr"]
    for file in session.rglob("*"):
        assert not file.is_file() or b"canary" not in file.read_bytes(), f"{file} holds the secret"
    assert sum(file.stat().st_size for file in session.rglob("*.jsonl")) < 40_000_000
    return result["step"]["attack"]


@pytest.mark.parametrize("attack", GUEST + SQL, ids=lambda attack: f"{attack.group}-{attack.name}")
def test_an_attack_is_stopped(victim, attack: Attack):
    success = attack.kind == "success"
    result = victim.run(steps(victim, attack), *attack.flags, expect=0 if success else 1)
    step = check_harmless(victim, result, attack)
    if success:
        assert step["status"] == "success"
        # Granted for writing, but never written: it is unchanged.
        assert (victim.folder / "out.txt").read_text() == "before"
        return
    error = step["error"]
    # A limit that the author's SQL reaches is the author's fault; here the author of the config is the attacker.
    assert error["blame"] == ("user" if attack.group == "sql" and attack.kind in ("timeout", "cpu", "output") else "driver"), error
    assert error["kind"] == attack.kind, error
    assert attack.words.lower() in error["message"].lower(), error
    assert (victim.folder / "out.txt").read_text() == "before"
    assert [path.name for path in (Path(result["session_path"]) / "data").iterdir() if path.stem == "attack"] == []


# With the operating system's confinement off: what the WebAssembly and DuckDB layers stop by themselves.
@pytest.mark.parametrize(
    "attack",
    [attack for attack in GUEST if attack.stopped_by in ("imports", "contract", "duckdb")] + [attack for attack in SQL if "duckdb" in attack.alone],
    ids=lambda attack: f"{attack.group}-{attack.name}",
)
def test_an_attack_is_stopped_without_the_operating_system(victim, attack: Attack):
    success = attack.kind == "success"
    result = victim.run(steps(victim, attack), *attack.flags, "--unconfined", expect=0 if success else 1, program=HOLE)
    step = check_harmless(victim, result, attack)
    assert success or step["error"]["kind"] == attack.kind, step


# With DuckDB unlocked and any statement allowed: what the operating system stops by itself.
@pytest.mark.parametrize("attack", [attack for attack in SQL if "system" in attack.alone], ids=lambda attack: attack.name)
def test_an_attack_is_stopped_by_the_operating_system_alone(victim, attack: Attack):
    result = victim.run(steps(victim, attack), *attack.flags, "--unlocked", expect=1, program=HOLE)
    check_harmless(victim, result, attack)


def test_the_positive_control_succeeds_with_every_layer_off(victim):
    """The same attacks succeed with every layer off, so it is the layers that stop them."""
    stolen = []
    for attack in SQL:
        if attack.name in ("read_text_passwd", "foreign_data_file", "copy_to", "attach_base"):
            result = victim.run(steps(victim, attack), "--unlocked", "--unconfined", program=HOLE)
            stolen.append(result["step"]["attack"]["status"])
    for path in [*Path("/tmp").glob("osiris-attack*"), *victim.folder.glob("attack.duckdb*")]:
        path.unlink()
    assert stolen == ["success"] * 4


def test_the_positive_control_finds_an_unmasked_canary(victim):
    """The same text in a field that is not a secret is found, so the search works."""
    steps = [{"id": "echo", "component": "test.config_echo", "config": {"note": "${OSIRIS_CANARY}"}}]
    session = Path(victim.run(steps)["session_path"])
    assert {"echo.duckdb"} <= {file.name for file in holding(victim.folder)}
    # The same search ends every test.
    shutil.rmtree(session)


def test_the_corpus_contains_every_attack_that_the_drivers_implement():
    """Each attack also names an existing layer that stops it; docs/security.md counts them."""
    for folder, attacks in [("attacks", GUEST), ("network-attacks", NETWORK)]:
        source = (FOLDER.parent / folder / "src" / "lib.rs").read_text()
        known = re.search(r"^attacks! \{([^}]*)\}", source, re.M).group(1).split()
        assert sorted(name for name in known if name != "sql") == sorted(attack.name for attack in attacks)
    stopped_by = [re.split(", then |: ", attack.stopped_by) for attack in GUEST + NETWORK + SQL]
    assert {layer for layers in stopped_by for layer in layers[:1]} <= LAYERS


def test_every_attack_is_in_the_documentation():
    from attacks import table

    assert table() in (ROOT / "docs" / "security.md").read_text(), "run `make docs`"


def test_every_file_with_unsafe_code_is_in_the_documentation():
    """And no other: the table in docs/security.md is complete."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.rs"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    unsafe = {name for name in listed.split("\0") if name and has_unsafe((ROOT / name).read_text())}
    table = (ROOT / "docs" / "security.md").read_text().split("<!-- unsafe -->")[1].split("<!-- /unsafe -->")[0]
    assert set(re.findall(r"`([^`]+\.rs)`", table)) == unsafe


def has_unsafe(source: str) -> bool:
    code = re.sub(r"//[^\n]*", "", source)
    return re.search(r"\bunsafe\s*(\{|fn\b|impl\b|extern\b)|#!?\[unsafe\(", code) is not None


@pytest.mark.parametrize("code", ["unsafe { f() }", "pub unsafe fn f() {}", "unsafe impl Send for A {}", "unsafe extern \"C\" {}", "#[unsafe(no_mangle)]"])
def test_unsafe_code_is_recognised_in_all_its_forms(code):
    assert has_unsafe(f"use a;\n    {code}\n") and not has_unsafe(f"// {code}\nlet unsafety = 1; // unsafe {{\n")
