"""Write drivers for Osiris in Python.

    import osiris_sdk as osiris

    @osiris.extractor
    def extract(config, output):
        output.write("main", ({"greeting": f"hello {name}"} for name in config.names))

`output` takes rows (`write`, `table`) or batches of columns (`append`); inputs give rows (`rows`) or batches
(`batches`). `osiris_sdk.types` lists the types of columns. Requests go through `osiris.http`, files through
`osiris.files`, TCP connections through `osiris.sockets`, SELECT statements through `osiris.sql`, and what a step
remembers through `osiris.state`. Raise the errors of `osiris.errors`; any other exception is reported with its type,
text, file and line. `osiris_sdk.testing` runs a driver natively against a fake host.
"""

from . import errors, files, http, sockets, sql, state, types
from .batch import Batch
from .config import Config
from .context import attempt, log, metric, partition, progress, reject, secret, secrets_below, step_id
from .drivers import Column, Table, check, discover, extractor, processor, writer
from .errors import (
    AuthError,
    ConfigError,
    DataError,
    DeniedError,
    Error,
    InternalError,
    LimitError,
    NotFoundError,
    OtherError,
    RateLimitedError,
    TimeoutError,
    TransientError,
)
from .tables import Input, Inputs, Output, Reader
from .types import Interval, Tagged, decimal, instant, interval, json, list_of, map_of, struct, timestamp, uuid

__version__ = "0.2.0"

__all__ = [
    "AuthError", "Batch", "Column", "Config", "ConfigError", "DataError", "DeniedError", "Error", "Input", "Inputs",
    "InternalError", "Interval", "LimitError", "NotFoundError", "OtherError", "Output", "RateLimitedError", "Reader",
    "Table", "Tagged", "TimeoutError", "TransientError", "attempt", "check", "decimal", "discover", "errors",
    "extractor", "files", "http", "instant", "interval", "json", "list_of", "log", "map_of", "metric", "partition",
    "processor", "progress", "reject", "secret", "secrets_below", "sockets", "sql", "state", "step_id", "struct", "timestamp",
    "types", "uuid", "writer",
]  # fmt: skip
