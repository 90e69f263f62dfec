"""Parquet files are read and written exactly, or refused by name."""

import decimal
import json
import os
import uuid

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

D = decimal.Decimal


def extract(project, table: pa.Table | None = None, expect: int = 0, config: dict | None = None, **options) -> dict:
    """Reads a file written by pyarrow."""
    if table is not None:
        pq.write_table(table, project.folder / "in.parquet", **options)
    step = {"id": "read", "component": "filesystem.parquet_extractor", "config": {"path": "in.parquet", **(config or {})}}
    return project.run([step], expect=expect)


def texts(project, result: dict, columns: str = "columns(*)::varchar") -> list[tuple]:
    return project.rows(result, "read", f"select {columns} from main")


def message(result: dict, step: str = "read") -> str:
    return result["step"][step]["error"]["message"]


def write(project, select: str, expect: int = 0, **config) -> dict:
    step = {"id": "write", "component": "filesystem.parquet_writer", "config": {"path": "out.parquet", **config}}
    return project.run([project.sql(select), step], expect=expect)


def back(project, **config) -> dict:
    return project.run([{"id": "read", "component": "filesystem.parquet_extractor", "config": {"path": "out.parquet", **config}}])


def warnings(result: dict, step: str) -> str:
    return json.dumps(result["step"][step].get("warnings", [])) + result["stderr"]


def test_decimals_of_more_than_38_digits_are_read_exactly(project):
    wide = D("123456789012345678901234567890123456789012.12")
    small = [D("1.50"), D("-2.25"), D("0.01"), None]
    table = pa.table({
        "id": [1, 2, 3, 4],
        "small": pa.array(small, pa.decimal256(50, 2)),
        "fits": pa.array(small, pa.decimal128(38, 2)),
        "wide": pa.array([wide, D("-0.01"), D("0.00"), None], pa.decimal256(50, 2)),
        "fraction": pa.array([D("1.5"), D("-0.5"), None, D(0)], pa.decimal256(76, 40)),
        "list": pa.array([[small[0], None], [], None, [wide]], pa.list_(pa.decimal256(45, 2))),
        "narrow_list": pa.array([[small[0], None], [], None, small], pa.list_(pa.decimal256(45, 2))),
        "nested": pa.array([{"a": [(1, {"d": wide})]}, {"a": None}, None, {"a": [(2, {"d": small[1]})]}], pa.struct([("a", pa.map_(pa.int32(), pa.struct([("d", pa.decimal256(60, 2))])))])),
    })  # fmt: skip
    result = extract(project, table)
    types = project.types(result, "read")
    assert types["small"] == types["fits"] == "DECIMAL(38,2)" and types["wide"] == types["fraction"] == "VARCHAR"
    assert types["list"] == "VARCHAR[]" and types["narrow_list"] == "DECIMAL(38,2)[]"
    assert project.rows(result, "read", "select count(*)::int from main where small is distinct from fits") == [(0,)]
    assert texts(project, result, "wide, fraction, list") == [
        (str(wide), "1.5" + "0" * 39, ["1.50", None]), ("-0.01", "-0.5" + "0" * 39, []), ("0.00", None, None), (None, "0." + "0" * 40, [str(wide)])
    ]  # fmt: skip
    assert texts(project, result, "nested::varchar")[0] == (f"{{'a': {{1={{'d': {wide}}}}}}}",)
    assert "`wide` is decimal(50,2)" in warnings(result, "read")
    only = extract(project, config={"columns": ["small", "id"], "limit": 2})
    assert project.rows(only, "read") == [(D("1.50"), 1), (D("-2.25"), 2)]


@pytest.mark.parametrize("precision", [39, 40, 41, 44, 45, 50, 57, 60, 65, 76])
def test_every_width_of_decimals_in_pages_with_and_without_a_dictionary(project, precision):
    values = [D(n % 7 - 3).scaleb(-3) * 10 ** (n % 30) for n in range(3000)] + [None]
    most = D(10**precision - 1).scaleb(-3, decimal.Context(prec=80))
    with decimal.localcontext(decimal.Context(prec=80)):
        least = -most
        table = pa.table({"a": pa.array(values, pa.decimal256(precision, 3)), "b": pa.array([*[most, least] * 1500, None], pa.decimal256(precision, 3))})
    result = extract(project, table, use_dictionary=["a"], row_group_size=500, compression="snappy")
    assert project.types(result, "read") == {"a": "DECIMAL(38,3)", "b": "VARCHAR"}
    assert [row[0] for row in project.rows(result, "read", "select a from main")] == values
    assert texts(project, result, "b")[:2] + texts(project, result, "b")[-1:] == [(f"{most:f}",), (f"{least:f}",), (None,)]


NANOS = 1700000000123456789


def moments(value: int) -> dict[str, pa.Array]:
    return {
        "at_utc": pa.array([1700000000123456000, value, None], pa.timestamp("ns", "UTC")),
        "naive": pa.array([NANOS, -1, None], pa.timestamp("ns")),
        "clock": pa.array([86399999999000, value % 86400000000000, None], pa.time64("ns")),
        "nested": pa.array([[{"at": value}], [], None], pa.list_(pa.struct([("at", pa.timestamp("ns", "Europe/Prague"))]))),
    }


def test_nanoseconds_in_utc_are_kept_truncated_or_refused(project):
    pq.write_table(pa.table(moments(1700000000123457000)), project.folder / "in.parquet", write_time_adjusted_to_utc=True)
    whole = extract(project)
    assert project.types(whole, "read") == {"at_utc": "TIMESTAMP WITH TIME ZONE", "naive": "TIMESTAMP_NS", "clock": "TIME WITH TIME ZONE", "nested": "STRUCT(\"at\" TIMESTAMP WITH TIME ZONE)[]"}
    assert texts(project, whole, "epoch_us(at_utc), naive::varchar")[:2] == [(1700000000123456, "2023-11-14 22:13:20.123456789"), (1700000000123457, "1969-12-31 23:59:59.999999999")]
    pq.write_table(pa.table(moments(NANOS)), project.folder / "in.parquet", write_time_adjusted_to_utc=True)
    refused = message(extract(project, expect=1))
    assert "column `at_utc` (timestamp(ns, UTC)): row 2 holds 2023-11-14 22:13:20.123456789" in refused and "nanoseconds: keep" in refused
    for column, words in [("clock", "row 2 holds 22:13:20.123456789"), ("nested", "a nested value holds 2023-11-14")]:
        assert words in message(extract(project, expect=1, config={"columns": [column]}))
    kept = extract(project, config={"nanoseconds": "keep"})
    assert project.types(kept, "read") == {"at_utc": "TIMESTAMP_NS", "naive": "TIMESTAMP_NS", "clock": "TIME_NS", "nested": "STRUCT(\"at\" TIMESTAMP_NS)[]"}
    assert texts(project, kept, "at_utc::varchar, clock::varchar, nested::varchar")[1:2] == [("2023-11-14 22:13:20.123456789", "22:13:20.123456789", "[]")]
    assert "without a time zone" in warnings(kept, "read")
    cut = extract(project, config={"nanoseconds": "cut"})
    assert texts(project, cut, "epoch_us(at_utc)")[1] == (1700000000123456,) and "nanoseconds were cut off" in warnings(cut, "read")


def test_int96_is_read_exactly_or_refused(project):
    old = {"use_deprecated_int96_timestamps": True}
    whole = extract(project, pa.table({"a": pa.array([1500000, None, -1000], pa.timestamp("ns"))}), **old)
    assert texts(project, whole) == [("1970-01-01 00:00:00.0015",), (None,), ("1969-12-31 23:59:59.999999",)]
    nanos = pa.table({"a": pa.array([NANOS, None, -1], pa.timestamp("ns")), "b": [1, 2, 3]})
    assert "row 1 holds 2023-11-14 22:13:20.123456789" in message(extract(project, nanos, expect=1, **old))
    kept = extract(project, config={"nanoseconds": "keep"})
    assert texts(project, kept) == [("2023-11-14 22:13:20.123456789", "1"), (None, "2"), ("1969-12-31 23:59:59.999999999", "3")]
    far = pa.table({"a": pa.array([2**55], pa.timestamp("s"))})
    assert "beyond the range" in message(extract(project, far, expect=1, config={"nanoseconds": "cut"}, **old))


def test_types_of_other_writers_are_read_unchanged(project):
    identity = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    columns = {
        "u64": (pa.array([2**64 - 1], pa.uint64()), "UBIGINT", "18446744073709551615"),
        "u8": (pa.array([255], pa.uint8()), "UTINYINT", "255"),
        "f16": (pa.array([1.5], pa.float16()), "FLOAT", "1.5"),
        "time": (pa.array([86399999999999], pa.time64("ns")), "TIME_NS", "23:59:59.999999999"),
        "ms": (pa.array([1700000000123], pa.timestamp("ms")), "TIMESTAMP", "2023-11-14 22:13:20.123"),
        "dictionary": (pa.array(["a"]).dictionary_encode(), "VARCHAR", "a"),
        "fixed": (pa.array([b"\xff\xfe"], pa.binary(2)), "BLOB", "\\xFF\\xFE"),
        "uuid": (pa.array([identity.bytes], pa.uuid()), "UUID", str(identity)),
        "json": (pa.array(['{"a": 1.00}'], pa.json_()), "JSON", '{"a": 1.00}'),
        "nothing": (pa.array([None], pa.null()), "INTEGER", None),
        "d256": (pa.array([D("1.50")], pa.decimal256(30, 2)), "DECIMAL(30,2)", "1.50"),
        "map": (pa.array([[("a", 1), ("b", None)]], pa.map_(pa.string(), pa.int32())), "MAP(VARCHAR, INTEGER)", "{a=1, b=NULL}"),
        "twice": (pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int32())), "MAP(VARCHAR, INTEGER)", "{a=1, a=2}"),
        "vector": (pa.array([[1, 2]], pa.list_(pa.int32(), 2)), "INTEGER[]", "[1, 2]"),
        "nul": (pa.array(["a\0b"]), "VARCHAR", "a\0b"),
    }  # fmt: skip
    result = extract(project, pa.table({name: values for name, (values, _, _) in columns.items()}))
    assert project.types(result, "read") == {name: kind for name, (_, kind, _) in columns.items()}
    assert texts(project, result)[0] == tuple(text for _, _, text in columns.values())


def test_types_that_cannot_be_read_are_refused_by_name(project):
    cases = [
        (pa.table({"good": [1], "bad": pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))}), "column `bad`"),
        (pa.table({"good": [1], "t": pa.array([90_000_000_000], pa.time64("us"))}), "column `t` holds a time of day"),
        (pa.table({"good": [1], "ms": pa.array([2**62], pa.timestamp("ms"))}), "column `ms`"),
    ]
    for table, words in cases:
        assert words in message(extract(project, table, expect=1)), words
    pq.write_table(pa.table({"a": list(range(5000))}), project.folder / "whole.parquet")
    whole = (project.folder / "whole.parquet").read_bytes()
    broken = [(whole[:-3], "is cut off"), (whole[: len(whole) // 2], "is cut off"), (whole[:4] + whole[4000:], "in.parquet"), (b"a,b\n1,2\n", "is not a Parquet file"),
              (b"", "is empty"), (whole[:-4] + b"PARE", "encrypted"), (whole[:-8] + b"\xff\xff\xff\x7fPAR1", "is cut off")]  # fmt: skip
    for content, words in broken:
        project.write("in.parquet", content)
        failed = extract(project, expect=1)
        assert words in message(failed) and failed["step"]["read"]["error"]["blame"] == "user", (words, failed)


def test_an_encrypted_column_is_reported_as_such_if_the_footer_is_plain(project):
    import pyarrow.parquet.encryption as encryption

    class Keys(encryption.KmsClient):
        def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
            return key_bytes.hex().encode()

    factory, connection = encryption.CryptoFactory(lambda _: Keys()), encryption.KmsConnectionConfig()
    for plain in (True, False):
        options = encryption.EncryptionConfiguration(footer_key="f", column_keys={"c": ["a"]}, plaintext_footer=plain)
        properties = factory.file_encryption_properties(connection, options)
        table = pa.table({"a": [1, 2], "b": [3, 4]})
        with pq.ParquetWriter(project.folder / "in.parquet", table.schema, encryption_properties=properties) as writer:
            writer.write_table(table)
        assert "encrypted" in message(extract(project, expect=1)), plain


def test_names_and_folders_never_change_columns_silently(project):
    table = pa.table([pa.array([1]), pa.array([2]), pa.array([3]), pa.array([4])], names=["a", "A", "a.b", 'q"'])
    result = extract(project, table)
    assert list(project.types(result, "read")) == ["a", "A_1", "a.b", 'q"'] and texts(project, result) == [("1", "2", "3", "4")]
    assert "column `A` is called `A_1`" in warnings(result, "read")
    os.makedirs(project.folder / "day=5")
    pq.write_table(pa.table({"day": [1], "b": [2]}), project.folder / "day=5" / "in.parquet")
    assert texts(project, extract(project, config={"path": "day=5/in.parquet"})) == [("1", "2")]


LONG = "123456789012345678901234567890123456789012345"
WRITTEN = {
    "h": "(-99999999999999999999999999999999999999)::hugeint", "uh": "7::uhugeint", "iv": "interval '14 months 2 days 25:00:03.123'",
    "bit": "'0101'::bit", "big": f"'{LONG}'::bignum", "tz": "'10:00:00.5+02:30'::timetz", "tns": "'2024-01-01 00:00:00.123456789'::timestamp_ns",
    "ts_s": "'2024-01-01 00:00:01'::timestamp_s", "ts_ms": "'2024-01-01 00:00:01.5'::timestamp_ms", "en": "'b'::enum('a', 'b', 'it''s')",
    "arr": "[[1, 2], null]::integer[2][2]", "d": "0.1::decimal(38,38)", "time_ns": "'23:59:59.999999999'::time_ns", "u": "uuid '00112233-4455-6677-8899-aabbccddeeff'",
    "j": "'{\"a\": 1.00}'::json", "b": "'\\x00\\xff'::blob", "nested": "{'h': [1::hugeint], 'iv': {'x y': interval '-1 day -0.000001 seconds'}, 'e': map {'b'::enum('a', 'b'): '1'::bit}}",
    "inf": "'infinity'::timestamp", "dinf": "'-infinity'::date", "nan": "'nan'::float", "ub": "18446744073709551615::ubigint", "a.b": "1", 'q"': "'x'", "tsi": "'infinity'::timestamp_s",
    "one": "[[1, 2]]::integer[][1]", "ti": "time '24:00:00'", "tzt": "timestamptz '2024-01-01 00:00:00.123456+00'", "m": "map {}::map(varchar, hugeint)",
}  # fmt: skip


def test_every_type_is_read_back_in_type_and_value(project):
    select = ", ".join(f'{sql} as "{name.replace(chr(34), chr(34) * 2)}"' for name, sql in WRITTEN.items())
    nulls = ", ".join("null" for _ in WRITTEN)
    for rows in (f"select {select} union all by name select * from (select {select}) limit 0", f"select {select}", f"(select {select}) union all select {nulls}"):
        rows = rows.replace("union all by name select * from", "union all select * from")
        source = write(project, rows)
        result = back(project)
        # An ENUM inside other types is read back as text.
        expected = {name: kind.replace("ENUM('a', 'b'), BIT", "VARCHAR, BIT") for name, kind in project.types(source, "source").items()}
        assert project.types(result, "read") == expected
        assert texts(project, result) == project.rows(source, "source", "select columns(*)::varchar from main")
    theirs = pq.read_table(project.folder / "out.parquet", columns=["h", "arr", "en", "bit", "tz", "big"])
    assert theirs.slice(0, 1).to_pylist() == [{"h": D("-99999999999999999999999999999999999999"), "arr": [[1, 2], None], "en": "b", "bit": "0101", "tz": "10:00:00.5+02:30", "big": LONG}]


REFUSED = [
    ("h", "170141183460469231731687303715884105727::hugeint", "row 2: `170141183460469231731687303715884105727`"),
    ("h", "340282366920938463463374607431768211455::uhugeint", "38 digits"),
    ("h", "[-100000000000000000000000000000000000000::hugeint]", "would be changed"),
    ("i", "interval '0.000001 seconds'", "whole milliseconds"),
    ("i", "interval '-1 day'", "no sign"),
    ("i", "interval '3000000000 seconds'", "1192 hours"),
]


def test_values_that_parquet_cannot_hold_are_refused_or_written_as_configured(project):
    for name, sql, words in REFUSED:
        rows = f"select {sql} as {name}, 1 as id union all select {sql}, 2".replace(f"select {sql} as {name}", f"select null::{duckdb.sql(f'select typeof({sql})').fetchone()[0]} as {name}", 1)
        refused = message(write(project, rows, expect=1), "write")
        assert f"column `{name}`" in refused and words in refused and "on_loss: text" in refused, refused
        assert not (project.folder / "out.parquet").exists()
        source = write(project, rows, on_loss={name: "text"})
        assert texts(project, back(project)) == project.rows(source, "source", "select columns(*)::varchar from main")
        nulled = write(project, rows, on_loss="null")
        assert texts(project, back(project), f"count({name})::int") == [(0,)] and '"count": "1"' in warnings(nulled, "write").replace("\\", "")
        (project.folder / "out.parquet").unlink()
    assert "UNION" in message(write(project, "select union_value(a := 1) as u", expect=1), "write")
    assert "`on_loss` names column `x`" in message(write(project, "select 1 as a", expect=1, on_loss={"x": "null"}), "write")
