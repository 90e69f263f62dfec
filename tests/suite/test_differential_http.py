"""A short run of the differential fuzz of http.extractor: once from a fixed seed, once from a new one, which pytest
prints on failure."""

import random

import pytest
from differential_http import Apis

SEEDS = [20240229, random.randrange(2**32)]


@pytest.mark.parametrize("seed", SEEDS, ids=["fixed", "new"])
def test_random_apis_are_read_completely(project, seed):
    fuzz = Apis(project, random.Random(seed))
    fuzz.batch(reads=30, width=5, rows=25)
    assert fuzz.findings.differences == [], f"seed {seed}\n{fuzz.findings}"


def test_a_difference_is_detected(project):
    """The control: the expected records of each API differ from those that it sends."""
    fuzz = Apis(project, random.Random(SEEDS[0]))
    judge, alike = fuzz.judge, []

    def changed(read, runs):
        alike.append(judge(read, runs))
        for column in read.columns:
            column[:] = [None if value is None else '"other"' for value in column]
        return judge(read, runs)

    fuzz.judge = changed
    fuzz.batch(reads=12, width=5, rows=25)
    assert alike == [None] * 12 and len(fuzz.findings.differences) >= 6, fuzz.findings
