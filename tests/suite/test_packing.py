"""`osiris drivers pack` checks what can be known without running a driver, and leaves nothing behind when it refuses;
`drivers list` says why a file is no driver."""

import re
import subprocess

import pytest
from conftest import GUESTS, ROOT, TARGET

SPEC = ROOT / "tests" / "guests" / "config-echo" / "spec.yaml"
CONTRACT = re.search(r"package osiris:driver@([\d.]+);", (ROOT / "wit" / "driver.wit").read_text())[1]


def component(old: bytes = b"", new: bytes = b"") -> bytes:
    """A built component, with a text in it replaced by one of the same length."""
    built = (TARGET / "wasm32-wasip2" / "driver" / "config_echo.wasm").read_bytes()
    assert len(old) == len(new) and old in built
    return built.replace(old, new)


def assembled(project, module: str) -> bytes:
    """A component that exports `run` of a module as an extractor does."""
    project.write("made.wat", f"""(component
        (core module $module {module})
        (core instance $code (instantiate $module))
        (func $run (canon lift (core func $code "run")))
        (instance $export (export "run" (func $run)))
        (export "extract" (func $run))
        (export "osiris:driver/extract@{CONTRACT}" (instance $export)))""")
    subprocess.run([ROOT / ".deps" / "venv" / "bin" / "wasm-tools", "parse", "made.wat", "-o", "assembled.wasm"], cwd=project.folder, check=True)
    return (project.folder / "assembled.wasm").read_bytes()


EXCEPTION = '(tag $wrong) (func (export "run") (throw $wrong))'


def pack(project, built: bytes, *arguments: str):
    project.write("made.wasm", built)
    (project.folder / "drivers").mkdir(exist_ok=True)
    return project.osiris("drivers", "pack", "made.wasm", "--spec", str(SPEC), "-o", "drivers/", *arguments)


def packed(project) -> list[str]:
    return [path.name for path in (project.folder / "drivers").iterdir()]


@pytest.mark.parametrize("case", ["a feature", "an import", "an export"])
def test_a_driver_that_cannot_run_here_is_refused_before_it_is_written(project, case):
    built, named = {
        "a feature": (lambda: assembled(project, EXCEPTION), "exceptions"),
        "an import": (lambda: component(b"wasi:cli/environment@", b"wasi:cli/environmenz@"), "wasi:cli/environmenz@"),
        "an export": (lambda: assembled(project, '(func (export "run"))'), f"`osiris:driver/extract@{CONTRACT}` has another type"),
    }[case]
    done = pack(project, built())
    assert done.returncode == 2 and "`made.wasm` cannot be compiled" in done.stderr and named in done.stderr, done.stderr
    assert packed(project) == []


def test_a_driver_that_can_run_is_packed(project):
    done = pack(project, component(), "--compile")
    assert done.returncode == 0 and packed(project) == ["test.config_echo.wasm"], done.stderr


def test_a_core_module_gets_the_command_that_makes_it_a_component(project):
    done = pack(project, b"\0asm\1\0\0\0")
    assert done.returncode == 2 and "a core module, not a component" in done.stderr
    assert "wasm32-wasip2" in done.stderr and "wasm-tools component new" in done.stderr


def test_the_lock_does_not_pin_a_driver_that_cannot_be_compiled(project):
    assert pack(project, assembled(project, EXCEPTION), "--compile=false").returncode == 0
    step = {"id": "echo", "component": "drivers/test.config_echo.wasm", "config": {}}
    result = project.run([step], expect=2)
    assert "exceptions" in result["stderr"] and not (project.folder / "osiris.lock").exists()
    project.write("drivers/test.config_echo.wasm", (GUESTS / "test.config_echo.wasm").read_bytes())
    project.run([step])
    assert step["component"] in (project.folder / "osiris.lock").read_text()


def test_drivers_list_says_which_files_are_no_drivers_and_which_are_not_used(project):
    driver = (GUESTS / "test.config_echo.wasm").read_bytes()
    for name, content in {"a.wasm": driver, "b.wasm": driver, "text.wasm": b"text", "unpacked.wasm": component()}.items():
        project.write(f"drivers/{name}", content)
    done = project.osiris("drivers", "list", env={"OSIRIS_DRIVERS": str(project.folder / "drivers")})
    assert done.returncode == 0
    warnings = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    for name, reason in {"b.wasm": "the same name, `test.config_echo`", "text.wasm": "no WebAssembly component", "unpacked.wasm": "spec"}.items():
        assert any(name in line and reason in line for line in warnings), (name, done.stderr)
