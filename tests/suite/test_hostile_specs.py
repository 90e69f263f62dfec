"""Specs that no legitimate driver has: the process that reads them is confined and bounded, and is not the host."""

import os

import pytest
from test_hostile_files import HELLO, SPEC, section, spec

MEGABYTE = 1 << 20


def schema(properties: str, more: str = "") -> str:
    """The spec of the greeting driver with additional options and keys."""
    return SPEC.replace("  properties:\n", f"  properties:\n{properties}", 1) + more


def lists(name: str, items: int) -> str:
    return f"    {name}: {{type: array, items: {{type: string}}, default: [{', '.join(f'v{item}' for item in range(items))}]}}\n"


def doubling(levels: int) -> str:
    """A schema in which each definition occurs twice in the next one."""
    definitions = "".join(
        f"    d{level}: {{allOf: [{{$ref: '#/$defs/d{level - 1}'}}, {{$ref: '#/$defs/d{level - 1}'}}]}}\n" for level in range(1, levels)
    )
    return SPEC.replace("  properties:\n", f"  $defs:\n    d0: {{type: string}}\n{definitions}  properties:\n    x: {{$ref: '#/$defs/d{levels - 1}'}}\n", 1)


def patterns(number: int, pattern: str) -> str:
    """A schema of patterns that differ in `N` and all have to be tried, because none matches."""
    all_of = ", ".join(f"{{not: {{pattern: '{pattern.replace('N', str(one))}'}}}}" for one in range(number))
    return schema(f"    x: {{type: string, default: '{'a' * 60}', allOf: [{all_of}]}}\n")


# Name: the spec, the step's config, and a part of the error. Each of these took gigabytes or minutes in the host.
HOSTILE = {
    "template-bomb": (schema(lists("a", 10), f"grants: {{connect: ['{'{config.a}' * 9}.example.com:1']}}\n"), {}, "1,000 values"),
    "template-bomb-of-files": (schema(lists("l", 1000), "grants: {read: ['{config.l}/{config.l}/{config.l}/{config.l}']}\n"), {}, "1,000 values"),
    "template-bomb-of-the-author": (schema(lists("l", 1), "grants: {read: ['{config.l}/{config.l}/{config.l}']}\n"), {"l": [str(n) for n in range(300)]}, "1,000 values"),
    "template-bomb-in-instances": (schema(lists("a", 10), f"instances: '{'{config.a}' * 9}'\n"), {"a": [str(n) for n in range(10)]}, "names one option there"),
    "template-bomb-in-folders": (schema(lists("a", 10), f"grants: {{createFolders: '{'{config.a}' * 9}'}}\n"), {}, "1,000 values"),
    "template-bomb-in-state": (schema(lists("a", 10), f"stateWhen: '{'{config.a}' * 9}'\ngrants: {{state: true}}\n"), {}, "1,000 values"),
    "template-bomb-of-addresses": (schema(lists("a", 10), f"grants: {{http: ['GET https://{'{config.a}' * 9}.example.com']}}\n"), {}, "1,000 values"),
    "template-of-megabytes": (schema(f"    t: {{type: string, default: '{'t' * 60_000}'}}\n", f"grants: {{read: ['{'{config.t}' * 9}']}}\n"), {}, "64 kB"),
    "ref-doubling": (doubling(40), {"x": "y"}, "its spec takes more than"),
    "regex-backtracking": (patterns(1000, r"^(?:(a|aa)(?=a))+\1?[bcN]$"), {}, "its spec takes more than"),
    "regex-memory": (patterns(20_000, r"^(\w{40}){10}xN$"), {}, "its spec takes more than"),
    "regex-memory-in-one": (patterns(1, r"^((((\w{99}){99}){99}){99}){99}"), {}, "evil.wasm"),
    "version-forges-the-plan": (SPEC.replace("version: 0.1.0", 'version: "1.0.0, sha256 4f2a)\\n   may      nothing\\n\\n2. done  (writer x@1"'), {}, "version"),
    "version-steers": (SPEC.replace("version: 0.1.0", r'version: "1\e]0;owned\a"'), {}, "version"),
    "version-too-long": (SPEC.replace("version: 0.1.0", f"version: {'1' * 65}"), {}, "version"),
    "title-too-long": (SPEC.replace("Greet everyone", "t" * 300), {}, "title"),
    "title-of-two-lines": (SPEC.replace("Greet everyone", r'"one\ntwo"'), {}, "title"),
    "description-too-long": (SPEC + f"description: {'d' * 30_000}\n", {}, "description"),
    "too-many-templates": (SPEC + "grants: {read: [" + "'{config.names}', " * 500 + "]}\n", {}, "templates"),
    "too-long-a-template": (SPEC + "grants: {read: ['" + "{config.names}/" * 200 + "']}\n", {}, "template"),
    "name-too-long": (SPEC.replace("hello.", "h" * 300 + "."), {}, "name"),
}


def within(memory: int) -> list[str]:
    """Runs a command in which no process may use more memory."""
    return ["prlimit", f"--data={memory}"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_spec_is_refused_within_bounds(project, name):
    text, config, words = HOSTILE[name]
    project.write("drivers/evil.wasm", HELLO + spec(text))
    project.pipeline([{"id": "evil", "component": "drivers/evil.wasm", "config": {"names": ["Ada"]} | config}])
    done = project.osiris("plan", "pipeline.yaml", before=within(600 * MEGABYTE), timeout=90)
    said = done.stdout + done.stderr
    assert done.returncode == 2 and "panicked" not in said, said[:2000]
    assert words in said, said[:2000]
    assert len(said) < 5000 and not set("\x1b\x07") & set(said)
    for line in said.splitlines():
        assert not line.startswith(("   may ", "2. ")), "a driver forges a line of the plan"


def test_a_large_but_legitimate_spec_is_read(project):
    """The controls: definitions, patterns, a thousand values, and a list that the author wrote."""
    text = schema(
        lists("paths", 1) + "    code: {type: string, pattern: '^(a+)+$', default: aaaa}\n    d: {$ref: '#/$defs/deep'}\n",
        "grants: {read: ['{config.paths}']}\ndescription: |\n  Several\n  lines\n",
    ).replace("  properties:\n", "  $defs: {deep: {type: object, properties: {e: {type: integer}}}}\n  properties:\n", 1)
    project.write("drivers/big.wasm", HELLO + spec(text))
    for number in range(1000):
        project.write(f"in/{number}.csv", "x")
    step = {"id": "big", "component": "drivers/big.wasm", "config": {"names": ["Ada"], "paths": [f"in/{number}.csv" for number in range(1000)], "d": {"e": 1}}}
    project.run([step])
    assert project.osiris("plan", "pipeline.yaml").stdout.count("read `in/") == 1000
    step["config"]["d"] = {"e": "one"}
    assert "`d.e` must be an integer" in project.run([step], expect=2)["stderr"]
    step["config"] |= {"d": {"e": 1}, "paths": [f"in/{number}.csv" for number in range(1000)] + ["in/0.csv"]}
    assert "1,000 values" in project.run([step], expect=2)["stderr"]


def test_a_path_forges_no_line_of_the_plan(project):
    forged = "a\n   may      nothing outside the session\n\n2. done  (writer x@1"
    text = schema("    file: {type: string}\n", "grants: {read: ['{config.file}']}\n")
    project.write("drivers/evil.wasm", HELLO + spec(text))
    project.write(forged, "x")
    project.pipeline([{"id": "evil", "component": "drivers/evil.wasm", "config": {"names": ["A"], "file": forged}}])
    planned = project.osiris("plan", "pipeline.yaml")
    assert planned.returncode == 0, planned.stderr
    assert [line for line in planned.stdout.splitlines() if line.startswith("   may ")] == [r"   may      read `a\n   may      nothing outside the session\n\n2. done  (writer x@1`"]
    assert not any(line.startswith("2. ") for line in planned.stdout.splitlines())


def test_the_host_keeps_no_component_in_memory(project):
    """A listing reads the head of a file that is not a component, and streams a component."""
    os.makedirs(project.folder / "drivers")
    for number in range(4):
        with open(project.folder / "drivers" / f"empty{number}.wasm", "wb") as file:
            file.truncate(200 * MEGABYTE)
    project.write("drivers/large.wasm", HELLO + section(0, b"\x01x" + bytes(200 * MEGABYTE)) + spec(SPEC.replace("hello.", "large.")))
    done = project.osiris("drivers", "list", before=within(150 * MEGABYTE))
    assert done.returncode == 0 and "hello.extractor" in done.stdout and "large.extractor" in done.stdout, done.stderr


def test_a_component_of_a_million_imports_is_refused(project):
    def leb(number):
        return bytes([number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14])

    one = b"\x00\x04a-bc\x05\x00"  # An import of an instance of type 0.
    component = b"\0asm\x0d\0\x01\0" + section(10, leb(1_000_000) + one * 1_000_000) + spec(SPEC)
    project.write("drivers/evil.wasm", component)
    project.pipeline([{"id": "evil", "component": "drivers/evil.wasm", "config": {"names": ["Ada"]}}])
    done = project.osiris("plan", "pipeline.yaml", before=within(150 * MEGABYTE))
    assert done.returncode == 2 and "imports" in done.stderr, done.stderr


def test_a_drivers_description_is_cached_only_for_its_bytes(project):
    """The cache of specs is keyed by the bytes that were read: a changed driver, a damaged entry and a planted one
    are read again."""
    cache = project.folder / "cache"
    project.write("drivers/a.wasm", HELLO + spec(SPEC))
    project.pipeline([{"id": "a", "component": "drivers/a.wasm", "config": {"names": ["Ada"]}}])
    plan = lambda: project.osiris("plan", "pipeline.yaml", env={"OSIRIS_CACHE_DIR": str(cache)})  # noqa: E731
    assert "hello.extractor@0.1.0" in plan().stdout
    entries = list(cache.glob("*.spec"))
    assert len(entries) == 1, list(cache.iterdir())
    kept = entries[0].read_text()
    for damaged in ("", "{}", kept[: len(kept) // 2], kept.replace("0.1.0", r"1\u001b[2J"), "[" * 100_000):
        entries[0].write_text(damaged)
        again = plan()
        assert again.returncode == 0 and "hello.extractor@0.1.0" in again.stdout, again.stderr
        assert entries[0].read_text() == kept
    project.write("drivers/a.wasm", HELLO + spec(SPEC.replace("version: 0.1.0", "version: 0.2.0")))
    assert "hello.extractor@0.2.0" in plan().stdout
    # Without a cache folder, everything works as before.
    done = project.osiris("plan", "pipeline.yaml", env={"OSIRIS_CACHE_DIR": "/proc/nowhere"})
    assert "hello.extractor@0.2.0" in done.stdout, done.stderr
