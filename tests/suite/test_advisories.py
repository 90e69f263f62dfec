"""The offline check of advisories: versions compare as Cargo compares them, and a crate known to be bad is found."""

import importlib.machinery
import importlib.util

import pytest
from conftest import ROOT

loader = importlib.machinery.SourceFileLoader("advisories", str(ROOT / "tools" / "advisories"))
advisories = importlib.util.module_from_spec(importlib.util.spec_from_loader("advisories", loader))
loader.exec_module(advisories)


@pytest.mark.parametrize(
    "version,requirement,met",
    [
        ("1.5.1", ">= 1.5.1, < 1.6.0", True), ("1.6.0", ">= 1.5.1, < 1.6.0", False), ("1.10.0", "> 1.9", True),
        ("1.2.3", "^1.2.0", True), ("2.0.0", "^1.2.0", False), ("0.3.9", "^0.3.2", True), ("0.4.0", "^0.3.2", False), ("0.0.4", "^0.0.3", False),
        ("1.2.9", "~1.2.3", True), ("1.3.0", "~1.2.3", False), ("1.2.3", "=1.2.3", True), ("1.2.4", "=1.2", True), ("1.2.3", "1.2", True),
        ("1.0.0-rc.2", "< 1.0.0", True), ("1.0.0-rc.10", "> 1.0.0-rc.9", True), ("1.0.0-alpha", "< 1.0.0-alpha.1", True),
        ("1.0.0+build", ">= 1.0.0", True), ("9.9.9", "*", True),
    ],
)  # fmt: skip
def test_a_version_meets_a_requirement_as_in_cargo(version, requirement, met):
    assert advisories.meets(version, requirement) == met


def test_a_crate_with_an_advisory_is_found_and_its_patched_versions_are_not(tmp_path, monkeypatch, capsys):
    date, known = advisories.read_snapshot()
    assert len({advisory.id for advisory in known}) == len(known) and date.year >= 2026
    lock = tmp_path / "Cargo.lock"
    monkeypatch.setattr(advisories, "LOCKS", [lock])
    packages = [("tokio", "1.8.0", advisories.CRATES_IO), ("tokio", "1.8.5", advisories.CRATES_IO), ("hyper", "0.9.0", "git+https://example.com/hyper")]
    lock.write_text("".join(f'[[package]]\nname = "{name}"\nversion = "{version}"\nsource = "{source}"\n' for name, version, source in packages))
    assert advisories.check() == 1
    told = capsys.readouterr().out
    assert "tokio 1.8.0: vulnerability: Task dropped in wrong thread" in told and "RUSTSEC-2021-0072" in told
    assert "hyper" not in told and "days old" in told
    assert not any("tokio 1.8.5" in line and "RUSTSEC-2021-0072" in line for line in told.splitlines())


def test_an_advisory_that_is_ignored_unnecessarily_is_reported(tmp_path, monkeypatch, capsys):
    lock = tmp_path / "Cargo.lock"
    lock.write_text("")
    monkeypatch.setattr(advisories, "LOCKS", [lock])
    assert advisories.check() == 1
    assert "RUSTSEC-2023-0071 affects no crate here" in capsys.readouterr().out
