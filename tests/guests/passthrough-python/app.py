"""Shows that the contract alone, without an SDK, is enough to pass a table through a Python guest."""

import json
from contextlib import ExitStack

from wit_world import exports
from wit_world.imports import context
from wit_world.imports.tables import Input, Output, Types


class Transform(exports.Transform):
    def run(self, inputs: list[Input], output: Output) -> None:
        if text := json.loads(context.config()).get("raise"):
            raise ValueError(text)
        with output, ExitStack() as held:
            for position, table in enumerate(inputs):
                held.enter_context(table)
                pass_through(table, output, "main" if position == 0 else table.alias())


def pass_through(table: Input, output: Output, name: str) -> None:
    """Copies every row of `table` into a new output table."""
    with table.read([], Types.EXACT) as reader:
        with output.create_table(name, reader.schema()) as writer:
            while (batch := reader.next()) is not None:
                writer.append(batch)
            writer.finish()
