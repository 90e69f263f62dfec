"""The strongest attacks on a worker: what stops them here stops them there, and the same search finds what is not stopped."""

import pytest
from attacks import GUEST, SQL
from conftest import HOLE, holding
from test_attacks import check_harmless, steps, victim  # noqa: F401, a fixture
from test_hole import services  # noqa: F401, a fixture

pytestmark = pytest.mark.local_only("a test that chooses executors itself")

STRONGEST = {
    "guest": ["wasi_read_passwd", "wasi_write_tmp", "file_create_elsewhere", "wasi_tcp_loopback", "forged_handle", "own_input_by_number", "temporary_climb", "secret_in_logs", "secret_in_panic", "stack_overflow"],
    "sql": ["read_text_passwd", "foreign_data_file", "copy_to_base", "attach_base", "session_manifest", "load_extension", "read_parent_environ", "serialized_sql", "own_input_write", "internal_function"],
}
ATTACKS = [attack for attack in GUEST + SQL if attack.name in STRONGEST[attack.group]]
# In place of a driver. What is beside its folder are other attempts and everything that the worker was sent.
NATIVE = """
    exec|ptrace|read_parent_memory|write_parent_memory|kill_parent|mount|memory_file|udp|read /etc/passwd|read /proc/self/environ|read BASE/pipeline.yaml
    |read BASE/.osiris_sessions/earlier/data/theirs.duckdb|list SCRATCH/..|list SCRATCH/../../blobs|write SCRATCH/../../lock|write SCRATCH/../written/0|write BASE/pipeline.yaml
    |symlink SCRATCH|hard_link SCRATCH|tcp 127.0.0.1:PORT|unix BASE/socket
""".strip().split("|")
READABLE = ["read /etc/passwd", "read BASE/pipeline.yaml", "list SCRATCH/../../blobs", "tcp 127.0.0.1:PORT", "unix BASE/socket"]


@pytest.fixture
def far(victim):  # noqa: F811
    victim.on = ["--on", "PROGRAM worker --slots 2"]
    return victim


def together(project, attacks) -> list[dict]:
    """All attacks in one pipeline, each with a file of its own to write."""
    built = [steps(project, attack) for attack in attacks]
    for attack, (_, step, _) in zip(attacks, built, strict=True):
        step["id"] = f"{attack.group}-{attack.name.replace('_', '-')}"
        step["config"]["file"] = f"out-{step['id']}.txt"
        project.write(step["config"]["file"], "before")
    source, _, sibling = built[0]
    return [source, *(step for _, step, _ in built), sibling, source | {"id": "attack"}]


def native(project, calls: list[str], port: int) -> list[dict]:
    asked = [call.strip().replace("BASE", str(project.folder)).replace("PORT", str(port)) for call in calls]
    return [{"id": f"hole{place}", "component": "test.attack", "needs": [], "config": {"attack": "native", "sql": call}} for place, call in enumerate(asked)]


def test_the_strongest_attacks_are_stopped_on_a_worker(far):
    assert len(ATTACKS) == sum(map(len, STRONGEST.values())) and not any(attack.flags for attack in ATTACKS)
    whole = together(far, ATTACKS)
    result = far.run(whole, expect=1)
    for attack, step in zip(ATTACKS, whole[1:]):
        error = result["step"][step["id"]]["error"]
        assert (error and error["kind"]) == (None if attack.kind == "success" else attack.kind), (attack, error)
        assert error is None or (error["blame"] == "driver" and attack.words.lower() in error["message"].lower()), error
        file = far.folder / step["config"]["file"]
        assert file.read_text() == "before"
        file.unlink()
    check_harmless(far, result, ATTACKS[0])


def test_native_code_on_a_worker_reaches_nothing(far, services):  # noqa: F811
    result = far.run(native(far, NATIVE, services), expect=1, program=HOLE)
    for call, step in zip(NATIVE, result["steps"], strict=True):
        message = step["error"]["message"]
        assert message.startswith("refused: ") and "os error" in message and "no call is named" not in message, (call, step)
    assert "treasure" not in result["stderr"] and "root:" not in result["stderr"]
    assert (far.folder / "pipeline.json").read_text() == "{}"


def test_the_positive_controls_succeed_on_a_worker(far, services):  # noqa: F811
    calls = native(far, READABLE, services)
    stolen = [attack for attack in SQL if attack.name in ("read_text_passwd", "foreign_data_file", "attach_base")]
    far.on = ["--on", "PROGRAM worker --slots 2 --unlocked --unconfined"]
    result = far.run([*calls, *together(far, stolen)], program=HOLE)
    assert {step["status"] for step in result["steps"]} == {"success"}
    # The search for secrets finds one that is stored.
    far.on = ["--on", "PROGRAM worker"]
    far.run([{"id": "echo", "component": "test.config_echo", "config": {"note": "${OSIRIS_CANARY}"}}])
    for file in holding(far.folder):
        assert file.name == "echo.duckdb"
        file.unlink()
    for path in far.folder.glob("attack.duckdb*"):
        path.unlink()
