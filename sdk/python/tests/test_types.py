"""Every type of column, from Python values to the contract's buffers and back."""

import datetime
import math
import struct
import uuid
from array import array
from decimal import Decimal

import pytest

import osiris_sdk as osiris
from osiris_sdk import types
from osiris_sdk._fake_contract import arrow
from osiris_sdk.batch import Batch

UTC = datetime.timezone.utc
EAST = datetime.timezone(datetime.timedelta(hours=2, minutes=30))

CASES = {
    "boolean": (bool, [True, False, None]),
    "int8": (types.int8, [-128, 127, None]),
    "int16": (types.int16, [-(2**15), 2**15 - 1, None]),
    "int32": (types.int32, [-(2**31), 2**31 - 1, None]),
    "int64": (int, [-(2**63), 2**63 - 1, None]),
    "uint8": (types.uint8, [0, 255, None]),
    "uint16": (types.uint16, [0, 2**16 - 1, None]),
    "uint32": (types.uint32, [0, 2**32 - 1, None]),
    "uint64": (types.uint64, [0, 2**64 - 1, None]),
    "hugeint": (types.hugeint, [-(2**127), 2**127 - 1, None]),
    "uhugeint": (types.uhugeint, [0, 2**128 - 1, None]),
    "bignum": (types.bignum, [0, 1, -1, 10**80, -(10**80), None]),
    "float32": (types.float32, [1.5, -0.0, math.inf, None]),
    "float64": (float, [0.1, 1e308, -math.inf, None]),
    "decimal": (types.decimal(38, 10), [Decimal("-1234567890123456789012345678.0123456789"), Decimal("0E-10"), None]),
    "whole decimal": (types.decimal(5, 0), [Decimal("99999"), None]),
    "text": (str, ["", "naïve ☃ 😀", "a\0b", None]),
    "ascii": (str, ["a", "bc", "", None]),
    "bytes": (bytes, [b"", b"\x00\xff", None]),
    "bit": (types.bit, ["1", "01010101", "101010101", None]),
    "uuid": (uuid.UUID, [uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"), None]),
    "json": (types.json, ['{"a": 1.50}', "null", None]),
    "date": (datetime.date, [datetime.date(1, 1, 1), datetime.date(9999, 12, 31), datetime.date(1969, 12, 31), None]),
    "time": (datetime.time, [datetime.time(0, 0), datetime.time(23, 59, 59, 999999), None]),
    "time_ns": (types.time_ns, [datetime.time(1, 2, 3, 4), None]),
    "time_tz": (types.time_tz, [datetime.time(1, 2, 3, 4, EAST), datetime.time(23, 0, tzinfo=UTC), None]),
    "timestamp": (
        types.timestamp,
        [datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999), None],
    ),
    "timestamp_s": (types.timestamp_s, [datetime.datetime(1969, 12, 31, 23, 59, 59), None]),
    "timestamp_ms": (types.timestamp_ms, [datetime.datetime(2024, 1, 1, 0, 0, 0, 123000), None]),
    "timestamp_ns": (types.timestamp_ns, [datetime.datetime(2024, 1, 1, 0, 0, 0, 123456), None]),
    "instant": (types.instant, [datetime.datetime(2024, 1, 31, 10, tzinfo=UTC), None]),
    "interval": (types.interval, [types.Interval(-1, 2, 3000), types.Interval(), None]),
    "list": (list[int], [[1, None, 3], [], None]),
    "nested list": (list[list[str]], [[["a"], None, []], None, [[None]]]),
    "array": (types.array_of(float, 2), [[1.0, None], None, [3.0, 4.0]]),
    "struct": (types.struct(a=int, b=list[str]), [{"a": 1, "b": ["x"]}, {"a": None, "b": None}, None]),
    "empty list of structs": (list[types.struct(a=int)], [[], None, [{"a": 1}, None]]),
    "map": (dict[str, int], [{"k": 1, "l": None}, {}, None]),
    "map with other keys": (types.map_of(list[int], str), [[([1], "a"), ([2, 3], None)], None]),
    "union": (types.union(number=int, text=str), [types.Tagged("number", 1), types.Tagged("text", "a")]),
}


def passed(name, kind, values, **more):
    """The values after a way through the contract's schema and buffers."""
    batch = Batch.of({name: values}, **{name: kind}, **more)
    schema, raw = batch.contract_schema(), batch.contract_batch()
    received = Batch(types.of_fields(schema.fields), raw)
    assert all(isinstance(buffer, bytes) for node in raw.nodes for buffer in node.buffers)
    return received


@pytest.mark.parametrize("case", CASES)
def test_values_of_every_type_survive_both_ways(case):
    kind, values = CASES[case]
    for given in (values, [], [value for value in values if value is not None], values * 500):
        received = passed("x", kind, given)
        assert received["x"] == given
        assert received.types["x"] == types.resolve(kind)
        assert [type(value) for value in received["x"]] == [type(value) for value in given]
    if "union" not in case:
        assert passed("x", kind, [None] * 9)["x"] == [None] * 9


def test_every_type_is_tested_and_can_be_named_as_duckdb_does():
    tested = {types.resolve(kind).duckdb for kind, _ in CASES.values()}
    assert tested >= set(types._NAMED)
    for kind, _ in CASES.values():
        resolved = types.resolve(kind)
        assert types.resolve(resolved.duckdb) == resolved
    assert types.resolve("GEOMETRY").format == ""


def test_buffers_are_those_of_arrow():
    batch = Batch.of(
        {"n": [1, None, 3], "s": ["a", None, "ü"], "l": [[1], None, [2, 3]]}, n=types.int32, s=str, l=list[types.int8]
    )
    raw = batch.contract_batch()
    assert raw.nodes[0] == arrow.Node(3, [b"\x05", struct.pack("<3i", 1, 0, 3)])
    assert raw.nodes[1] == arrow.Node(3, [b"\x05", struct.pack("<4i", 0, 1, 1, 3), "aü".encode()])
    assert raw.nodes[2] == arrow.Node(3, [b"\x05", struct.pack("<4i", 0, 1, 1, 3)])
    assert raw.nodes[3] == arrow.Node(3, [b"", b"\x01\x02\x03"])
    assert [(field.name, field.format, field.children) for field in batch.contract_schema().fields] == [
        ("n", "i", 0), ("s", "u", 0), ("l", "+l", 1), ("l", "c", 0),
    ]  # fmt: skip
    key, value = types.resolve(dict[str, int]).fields("m")[2:]
    assert (key.nullable, value.nullable) == (False, True)


def test_values_that_do_not_fit_name_their_column_and_row():
    for kind, value, reason in [
        (types.int8, 128, "TINYINT"),
        (types.uint64, -1, "UBIGINT"),
        (int, "1", "BIGINT"),
        (int, 1.5, "BIGINT"),
        (types.hugeint, 2**127, "HUGEINT"),
        (types.float32, 1e300, "too large"),
        (bool, 1, "not True or False"),
        (str, 1, "type int"),
        (bytes, "a", "type str"),
        (types.decimal(5, 2), Decimal("1.005"), "more than 2 digits behind the point"),
        (types.decimal(5, 2), 1000, "more than 5 digits"),
        (types.decimal(5, 2), Decimal("NaN"), "not a finite number"),
        (types.decimal(5, 2), "x", "DECIMAL(5,2)"),
        (datetime.date, datetime.datetime(2024, 1, 1), "type datetime"),
        (types.timestamp, datetime.datetime(2024, 1, 1, tzinfo=UTC), "TIMESTAMP"),
        (types.instant, datetime.datetime(2024, 1, 1), "TIMESTAMPTZ"),
        (types.timestamp_s, datetime.datetime(2024, 1, 1, 0, 0, 0, 1), "finer"),
        (types.time_tz, datetime.time(1), "no zone"),
        (uuid.UUID, "x", "UUID"),
        (types.json, "{", "JSON"),
        (types.bit, "2", "0 and 1"),
        (list[int], "ab", "type str"),
        (list[int], [1, "x"], "column `x`.l, row 1"),
        (types.array_of(int, 2), [1], "its length is 1, not 2"),
        (types.struct(a=int), {"b": 1}, "has `b`"),
        (types.union(a=int), 1, "Tagged"),
    ]:
        with pytest.raises(osiris.DataError) as error:
            Batch.of({"x": [None, value]}, x=kind)
        assert reason in error.value.message, error.value.message
        assert "row 1" in error.value.message and "column `x`" in error.value.message


def test_values_that_python_lacks_are_refused_when_decoded_but_pass_through():
    for kind, format, bytes_of_value in [
        (types.timestamp, "tsu:", struct.pack("<q", 2**63 - 1)),
        (types.date, "tdD", struct.pack("<i", 2**31 - 1)),
        (types.timestamp_ns, "tsn:", struct.pack("<q", 1)),
        (types.time, "ttu", struct.pack("<q", 86_400_000_000)),
    ]:
        batch = Batch([("x", kind)], arrow.Batch(1, [arrow.Node(1, [b"", bytes_of_value])]))
        assert kind.format == format
        assert batch.contract_batch().nodes[0].buffers[1] == bytes_of_value
        with pytest.raises(osiris.DataError, match=f"column `x`, row 0 of its batch: the {kind.duckdb} has no value"):
            batch["x"]


def test_other_spellings_of_a_format_are_read():
    for format, metadata, buffers, expected in [
        ("b", [], [b"", b"\x02"], [False, True]),
        ("d:5,2,128", [], [b"", (150).to_bytes(16, "little") * 2], [Decimal("1.50")] * 2),
        (
            "tsm:Europe/Prague",
            [],
            [b"", struct.pack("<2q", 0, 1)],
            [datetime.datetime(1970, 1, 1, tzinfo=UTC), datetime.datetime(1970, 1, 1, 0, 0, 0, 1000, UTC)],
        ),
        ("n", [], [], [None, None]),
        ("u", [("osiris.duckdb_type", "ENUM('a', 'b')")], [b"", struct.pack("<3i", 0, 1, 2), b"ab"], ["a", "b"]),
    ]:
        columns = types.of_fields([arrow.Field("x", format, True, 0, metadata)])
        batch = Batch(columns, arrow.Batch(2, [arrow.Node(2, buffers)]))
        assert batch["x"] == expected
    assert columns[0][1].duckdb == "ENUM('a', 'b')"


def test_numbers_are_arrays():
    batch = passed("x", types.int32, [1, None, 3])
    values, missing = batch.numbers("x")
    assert values.typecode == "i" and values[0] == 1 and values[2] == 3 and missing == [1]
    assert passed("y", int, array("q", [1, 2]))["y"] == [1, 2]
    assert Batch.of({"z": array("d", [1.5])}).types == {"z": types.float64}
    with pytest.raises(osiris.DataError, match="not a number of fixed width"):
        passed("s", str, ["a"]).numbers("s")


def test_types_that_do_not_exist_are_refused():
    for declared, reason in [
        (Decimal, "osiris.decimal"),
        (object, "not a column's type"),
        (list, "not a column's type"),
    ]:
        with pytest.raises(TypeError, match=reason):
            types.resolve(declared)
    with pytest.raises(ValueError, match="does not exist"):
        types.decimal(39, 0)
    with pytest.raises(osiris.DataError, match="column `x` cannot be told"):
        Batch.of({"x": [None]})
