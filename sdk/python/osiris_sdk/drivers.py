"""Turns a function into a driver: `@extractor`, `@processor`, `@writer`, and `@discover` and `@check` beside them.

The function's first parameter is the step's config: a `Config`, or the dataclass that it is annotated with.
"""

from __future__ import annotations

import inspect
import os
import random
import sys
import traceback
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import _contract as contract
from . import config as configs
from ._resources import drop_all
from .context import install_log_handler, log
from .errors import Error, InternalError, raises_host_errors, to_contract
from .tables import Input, Inputs, Output

Driver = Callable[..., Any]


@dataclass
class Column:
    """A column of a table that `@discover` found."""

    name: str
    source_type: str
    """The other system's own name of the type."""
    duckdb_type: str
    nullable: bool = True


@dataclass
class Table:
    """A table that `@discover` found."""

    name: str
    columns: list[Column] = field(default_factory=list)
    schema: str | None = None
    primary_key: list[str] = field(default_factory=list)
    estimated_rows: int | None = None


def extractor(function: Driver) -> Driver:
    """Makes `function(config, output)` the driver's export: it reads rows from outside into `output`."""

    def run(self: Any, raw_output: Any) -> None:
        with raw_output:
            _run(function, raw_output=raw_output)

    return _export(function, "Extract", run, 2)


def processor(function: Driver) -> Driver:
    """Makes `function(config, inputs, output)` the driver's export: it transforms the rows of `inputs`."""

    def run(self: Any, raw_inputs: list[Any], raw_output: Any) -> None:
        with raw_output:
            _run(function, raw_inputs, raw_output)

    return _export(function, "Transform", run, 3)


def writer(function: Driver) -> Driver:
    """Makes `function(config, inputs)` the driver's export: it delivers the rows of `inputs` to the outside."""

    def run(self: Any, raw_inputs: list[Any]) -> None:
        _run(function, raw_inputs)

    return _export(function, "Load", run, 2)


def check(function: Driver) -> Driver:
    """Makes `function(config)` the driver's check: it connects and logs in without changing anything, and returns the
    server's name, such as `PostgreSQL 15.4`."""

    def run(self: Any) -> str:
        return str(_run(function))

    return _export(function, "Check", run, 1)


def discover(function: Driver) -> Driver:
    """Makes `function(config)` the driver's discovery: it returns the tables that the connection can read."""

    def run(self: Any) -> list[Any]:
        return [_catalog_table(table) for table in _run(function)]

    return _export(function, "Discover", run, 1)


def _catalog_table(table: Table) -> Any:
    columns = [
        contract.catalog.Column(column.name, column.source_type, column.duckdb_type, column.nullable)
        for column in table.columns
    ]
    return contract.catalog.Table(table.schema, table.name, columns, list(table.primary_key), table.estimated_rows)


EXPORTS = ("Extract", "Transform", "Load", "Discover", "Check")


def _export(function: Driver, name: str, run: Callable[..., Any], parameters: int) -> Driver:
    """Puts the class that componentize-py looks for into the function's module."""
    taken = len(inspect.signature(function).parameters)
    if taken != parameters:
        expected = {
            1: "(config)",
            2: "(config, output)" if name == "Extract" else "(config, inputs)",
            3: "(config, inputs, output)",
        }
        raise TypeError(f"`{function.__name__}` takes {taken} parameters, but must take {expected[parameters]}")
    module = sys.modules[function.__module__]
    setattr(module, name, type(name, (), {"run": run, "__doc__": function.__doc__}))
    function.osiris_export = name  # type: ignore[attr-defined]  # read by `osiris_sdk.testing` and `osiris_sdk.build`
    return function


def config_type(function: Driver) -> Any:
    """The annotation of the driver's first parameter."""
    first = next(iter(inspect.signature(function).parameters))
    try:
        return typing.get_type_hints(function).get(first)
    except NameError:
        return None


def _run(function: Driver, raw_inputs: list[Any] | None = None, raw_output: Any = None) -> Any:
    """Runs the driver; every exception becomes an error of the contract."""
    # Python seeds its random numbers when a component is built; without a new seed all runs would have the same ones.
    random.seed(os.urandom(32))
    install_log_handler()
    try:
        return call(function, raw_inputs, raw_output)
    except Exception as error:
        raise contract.Err(to_contract(_described(error))) from None
    finally:
        drop_all()


@raises_host_errors
def call(function: Driver, raw_inputs: list[Any] | None = None, raw_output: Any = None) -> Any:
    """Calls the driver with its config, and with its inputs and output if it has them."""
    arguments: list[Any] = [configs.load(config_type(function))]
    if raw_inputs is not None:
        arguments.append(Inputs(Input(raw) for raw in raw_inputs))
    if raw_output is None:
        return function(*arguments)
    output = Output(raw_output)
    function(*arguments, output)
    output.finish()
    return None


def _described(error: Exception) -> Error:
    """The error itself if the driver raised one of ours, or else an `InternalError` that says where it happened."""
    if isinstance(error, Error):
        return error
    log.error("".join(traceback.format_exception(error)).rstrip())
    return unexpected(error)


def unexpected(error: BaseException) -> InternalError:
    """An exception that is not an `Error`, with its type, text, file and line."""
    frames = traceback.extract_tb(error.__traceback__)
    own = os.path.dirname(os.path.abspath(__file__))
    outside = [frame for frame in frames if not os.path.abspath(frame.filename).startswith(own)] or list(frames)
    where = f" ({os.path.basename(outside[-1].filename)}:{outside[-1].lineno})" if outside else ""
    text = f": {error}" if str(error) else ""
    return InternalError(f"{type(error).__name__}{text}{where}")


__all__ = ["Column", "Table", "check", "discover", "extractor", "processor", "writer"]
