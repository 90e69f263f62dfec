"""Shared by the fuzzing of CSV and JSON files: batches, shuffled rows, and reducing differences to the smallest
input."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from differential_runs import SMALLEST, Findings, Steps, message, refused
from differential_types import shape


# Columns and rows of a file: many small ones, some wide or long.
SIZES = [(1, 1), (1, 12), (2, 6), (3, 3), (4, 8), (6, 4), (8, 20), (12, 10), (100, 2), (2, 300)] + [(1, 4), (2, 4), (3, 6), (4, 3)] * 6


class Columnar:
    """A file of named columns."""

    def alone(self, place: int) -> "Columnar":
        return replace(self, names=[self.names[place]], columns=[self.columns[place]])

    def without(self, row: int) -> "Columnar":
        return replace(self, columns=[column[:row] + column[row + 1 :] for column in self.columns])


class Files:
    """Random files of one format through its extractor."""

    format: str

    def __init__(self, steps: Steps, rng: random.Random):
        self.steps, self.rng, self.findings = steps, rng, Findings()
        self.seen: set[str] = set()

    def batch(self, files: int) -> None:
        made = [self.file() for _ in range(files)]
        self.findings.counts[f"{self.format} files"] += files
        self.findings.counts[f"{self.format} columns"] += sum(len(file.columns) for file in made)
        for file, differing in self.differing(made, shuffled=0.25):
            for place, why in differing.items():
                self.findings.counts["differences"] += 1
                if shape(why) not in self.seen:
                    self.seen.add(shape(why))
                    self.findings.differences.append(self.smallest(file, place, why) if len(self.seen) <= SMALLEST else f"{self.format}: {why}")

    def orders(self, file: Columnar, shuffled: float) -> list[tuple[str, list[int]]]:
        """The rows in their order and, for some of the files, in another order too."""
        order = list(range(len(file.columns[0])))
        return [("", order)] + [("-shuffled", self.rng.sample(order, len(order)))] * (self.rng.random() < shuffled)

    def judged(self, files: list, steps: list[dict], judge: Callable[[int, list[Path]], dict[int, str]]) -> list[tuple[Columnar, dict[int, str]]]:
        """The files that were refused, or in which `judge` finds columns that differ."""
        done = self.steps.run(steps)
        found = []
        for number, file in enumerate(files):
            both = [done[id] for id in (f"read-{number}", f"read-{number}-shuffled") if id in done]
            if failed := [step for step in both if refused(step)]:
                found.append((file, dict.fromkeys(range(len(file.columns)), f"refused: {message(failed[0])[:250]}")))
            elif differing := judge(number, [step["path"] for step in both]):
                found.append((file, differing))
        return found

    def smallest(self, file: Columnar, place: int, why: str) -> str:
        """The difference in one column, with the fewest rows that still show it."""
        one, said = file.alone(place), why
        while len(one.columns[0]) > 1:
            failing = self.differing([one.without(row) for row in range(min(len(one.columns[0]), 40))])
            if not failing:
                break
            one, said = failing[0][0], next(iter(failing[0][1].values()))
        if one.columns[0] == file.columns[place]:
            failing = self.differing([one])
            one, said = (one, next(iter(failing[0][1].values()))) if failing else (file, why)
        return f"{self.format}: {said}\n    column {one.names[0]!r}: {one.columns[0][:12]}, options {one.config}, {one.written()}"
