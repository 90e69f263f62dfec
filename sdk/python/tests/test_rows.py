"""Tables of rows, and rows that are read."""

import dataclasses
import datetime
import importlib.util
import json
import uuid
from collections import namedtuple
from decimal import Decimal

import pytest

import osiris_sdk as osiris
from osiris_sdk import _fake_contract as contract
from osiris_sdk import _json_rows, types
from osiris_sdk.testing import Input, run


def written(rows, **columns):
    """What an extractor leaves in `main`."""

    def extract(config, output):
        output.write("main", rows, **columns)

    return run(osiris.extractor(extract))


def text_of(row):
    return next(_json_rows.chunks([row])).text


def test_rows_keep_every_value():
    rows = [
        {
            "id": 2**63,
            "text": "ü ☃ \0 \ud800",
            "pi": 3.14,
            "yes": True,
            "list": [1, [None]],
            "object": {"a": {}},
            "none": None,
        },
        {"id": 1},
    ]
    result = written(rows)
    assert result.rows()[0] == rows[0]
    assert result.rows()[1] == {
        "id": 1,
        "text": None,
        "pi": None,
        "yes": None,
        "list": None,
        "object": None,
        "none": None,
    }
    assert result.types() == {}


def test_values_that_json_lacks_are_written_as_duckdb_reads_them():
    assert text_of({"a": Decimal("12345678901234567890.10"), "b": [Decimal("1E+3")], "c": Decimal("NaN")}) == (
        '{"a":12345678901234567890.10,"b":[1000],"c":"NaN"}\n'
    )
    assert (
        text_of({"a": float("nan"), "b": [float("inf"), -float("inf"), 1.5]})
        == '{"a":"NaN","b":["Infinity","-Infinity",1.5]}\n'
    )
    assert (
        text_of({"d": datetime.date(2024, 1, 31), "t": datetime.time(1, 2, 3, 4)})
        == '{"d":"2024-01-31","t":"01:02:03.000004"}\n'
    )
    assert text_of({"b": b'a\\"\x00\xff'}) == r'{"b":"a\\x5C\\x22\\x00\\xFF"}' + "\n"
    assert (
        text_of({"i": types.Interval(1, -2, 3000), "u": types.Tagged("n", 1)})
        == '{"i":"1 months -2 days 3 microseconds","u":{"n":1}}\n'
    )
    assert text_of({"s": {3}, "g": (n for n in (1, 2)), "m": "decoy"}) == '{"s":[3],"g":[1,2],"m":"decoy"}\n'


def test_rows_may_be_dataclasses_and_named_tuples_and_a_single_row():
    @dataclasses.dataclass
    class Item:
        id: int
        at: datetime.date

    Pair = namedtuple("Pair", "id at")
    day = datetime.date(2024, 1, 31)
    for rows in ([Item(1, day)], [Pair(1, day)], {"id": 1, "at": day}):
        result = written(rows)
        assert result.rows() == [{"id": 1, "at": day}]
        assert result.types() == {"at": "DATE"}
    with pytest.raises(osiris.DataError, match="row 1 is not a dict"):
        written([{"id": 1}, 7])


def test_declared_columns_have_their_types_and_appear_without_rows():
    columns = {
        "id": int,
        "amount": osiris.decimal(18, 2),
        "tags": list[str],
        "at": osiris.instant,
        "key": uuid.UUID,
        "raw": bytes,
        "extra": "GEOMETRY",
    }
    result = written([], **columns)
    assert result.rows() == [] and result.types()["amount"] == "DECIMAL(18,2)"
    key = uuid.uuid4()
    at = datetime.datetime(2024, 1, 31, 10, tzinfo=datetime.timezone.utc)
    result = written(
        [
            {
                "id": "7",
                "amount": 0.1,
                "tags": ["a", None],
                "at": "2024-01-31T12:00:00+02:00",
                "key": key,
                "raw": b"\x00\\a",
            },
            {"at": at, "amount": ""},
        ],
        **columns,
    )
    assert result.rows()[0] == {
        "id": 7, "amount": Decimal("0.10"), "tags": ["a", None], "at": at, "key": key, "raw": b"\x00\\a", "extra": None,
    }  # fmt: skip
    assert result.rows()[1]["at"] == at and result.rows()[1]["amount"] is None
    with pytest.raises(osiris.DataError, match="record 1, column `amount`: 'x' is not a DECIMAL"):
        written([{"amount": 1}, {"amount": "x"}], **columns)


def test_the_type_of_a_column_never_depends_on_the_order_of_rows():
    day = datetime.date(2024, 1, 31)
    many = _json_rows.CHUNK // 8
    assert written([{"day": None}] * 3 + [{"day": day}]).types() == {"day": "DATE"}
    assert written([{"days": []}, {"days": [None, day]}]).types() == {"days": "DATE[]"}
    with pytest.raises(
        osiris.DataError, match="column `day` of table `main` has values of type DATE, which appear only after"
    ):
        written([{"day": None}] * many + [{"day": day}])
    assert len(written([{"day": None}] * many + [{"day": day}], day=datetime.date).rows()) == many + 1


def test_rows_are_passed_on_in_parts():
    consumed = []

    def rows():
        for number in range(100_000):
            consumed.append(number)
            yield {"number": number, "text": "x" * 20}

    parts = _json_rows.chunks(rows())
    first = next(parts)
    assert _json_rows.CHUNK <= len(first.text) < _json_rows.CHUNK + 100 * _json_rows.GROUP
    assert len(consumed) == first.rows < 50_000
    assert first.rows + sum(part.rows for part in parts) == 100_000


def test_rows_are_encoded_together_and_large_ones_one_by_one():
    rows = [{"a": number} for number in range(3)] + [{"a": float("nan")}]
    assert [chunk.text for chunk in _json_rows.chunks(rows[:3])] == ['[{"a":0},{"a":1},{"a":2}]\n']
    assert [chunk.text for chunk in _json_rows.chunks(rows)] == ['{"a":0}\n{"a":1}\n{"a":2}\n{"a":"NaN"}\n']
    large = [{"a": "x" * _json_rows.CHUNK, "b": Decimal("1.50")}] * 3
    assert [(chunk.rows, chunk.text[-12:]) for chunk in _json_rows.chunks(large)] == [(1, 'xx","b":1.50}\n'[-12:])] * 3
    assert [row["a"] for row in written(rows).rows()] == [0, 1, 2, "NaN"] and len(written(large).rows()) == 3


def test_a_row_a_call_is_not_a_call_of_the_host_a_row(monkeypatch):
    calls = []
    append = contract.tables.JsonWriter.append
    monkeypatch.setattr(contract.tables.JsonWriter, "append", lambda self, text: calls.append(text) or append(self, text))

    def extract(config, output):
        table = output.table("main")
        for number in range(1000):
            table.write({"number": number})
        table.write_json('[{"number": 1000}]')

    assert [row["number"] for row in run(osiris.extractor(extract)).rows()] == list(range(1001)) and len(calls) == 1


def test_a_value_that_json_cannot_represent_names_its_row_and_column():
    circular = []
    circular.append(circular)
    for value in (object(), circular):
        with pytest.raises(osiris.DataError, match="row 3, column `b`"):
            written([{"a": 1, "b": 2}] * 3 + [{"a": 1, "b": value}])


def test_tables_are_written_side_by_side_and_finished_at_the_end():
    @osiris.extractor
    def extract(config, output):
        with output.table("first", id=int) as first:
            for number in range(3):
                first.write({"id": number})
                output.write("second", [{"id": number}])
        with pytest.raises(osiris.DataError, match="`first` is finished"):
            first.write({"id": 4})
        with pytest.raises(osiris.DataError, match="created already"):
            output.table("second")
        with pytest.raises(osiris.DataError, match="does not take batches"):
            output.append("second", osiris.Batch.of({"id": [1]}))
        output.append("third", osiris.Batch.of({"id": [1]}))
        with pytest.raises(osiris.DataError, match="takes batches, not rows"):
            output.write("third", [{"id": 1}])
        output.table("fourth").write_json('{"id": 1}\n{"id": 2}')

    result = run(extract)
    assert [len(result.rows(name)) for name in ("first", "second", "third", "fourth")] == [3, 3, 1, 2]


def test_json_rows_of_an_input_keep_all_digits():
    @osiris.writer
    def load(config, inputs):
        rows = list(inputs.only().rows())
        assert rows == [{"d": Decimal("12345678901234567.89"), "f": 0.5, "t": "2024-01-31T00:00:00", "s": "a\nb"}] * 3
        assert isinstance(rows[0]["d"], Decimal) and isinstance(rows[0]["f"], float)
        assert list(inputs.named("orders").rows("f"))[0] == {"f": 0.5}
        assert len(inputs.only()) == 3
        with pytest.raises(osiris.NotFoundError, match="no column `x`; it has d, f, t, s"):
            list(inputs.only().rows("x"))

    row = {"d": Decimal("12345678901234567.89"), "f": 0.5, "t": datetime.datetime(2024, 1, 31), "s": "a\nb"}
    run(load, inputs={"orders": Input([row] * 3, d=osiris.decimal(19, 2))}, batch_size=2)


def test_the_mark_of_decimals_is_not_made_when_the_module_is_loaded():
    spec = _json_rows.__spec__
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    assert fresh._Typed.mark == ""
    (chunk,) = fresh.chunks([{"a": Decimal("12345678901234567.89"), "b": "1"}])
    assert chunk.text == '{"a":12345678901234567.89,"b":"1"}\n' and len(fresh._Typed.mark) == 32


def test_numbers_are_exact_unless_a_float_says_the_same():
    for text, expected in [
        ("0.1", float),
        ("1e3", float),
        ("0.10000000000000001", Decimal),
        ("12345678901234567.89", Decimal),
        ("1.0000000000000000", float),
        ("1e400", Decimal),
        ("-1.5E-400", Decimal),
        ("0e400", float),
    ]:
        assert isinstance(_json_rows.exact_number(text), expected), text
    assert json.loads("0.1", parse_float=_json_rows.exact_number) == 0.1
