"""The columns that every format must carry or refuse: each type of DuckDB's `test_all_types()`, and extremes of our own.

A case is one column. Its values are SQL expressions, one a row; a null row comes last.
"""

import duckdb

LETTERS = "".join(chr(code) for code in range(32, 127))
ALL_BYTES = "".join(f"\\x{byte:02X}" for byte in range(256))

# Name: the values, each cast to the type that the first word names.
VALUES = {
    # Numbers.
    "integers around zero": ("INTEGER", ["-1", "0", "1"]),
    "bigint beyond a double": ("BIGINT", ["9007199254740993", "-9007199254740993"]),
    "ubigint largest": ("UBIGINT", ["18446744073709551615", "0"]),
    "hugeint beyond 64 bits": ("HUGEINT", ["18446744073709551616", "-18446744073709551617", "1"]),
    "hugeint of 38 digits": ("HUGEINT", ["99999999999999999999999999999999999999", "-99999999999999999999999999999999999999"]),
    "hugeint extremes": ("HUGEINT", ["'-170141183460469231731687303715884105728'", "'170141183460469231731687303715884105727'"]),
    "uhugeint largest": ("UHUGEINT", ["'340282366920938463463374607431768211455'", "0"]),
    "bignum small": ("BIGNUM", ["'-7'", "'0'", "'7'"]),
    "bignum of 60 digits": ("BIGNUM", ["'" + "1234567890" * 6 + "'", "'-" + "9" * 60 + "'"]),
    "double whole": ("DOUBLE", ["1e0", "-2e0", "1e6"]),
    "double fractions": ("DOUBLE", ["0.1::double", "1e0 / 3", "-2.5::double"]),
    "double extremes": ("DOUBLE", ["1.7976931348623157e308", "-1.7976931348623157e308", "2.2250738585072014e-308"]),
    "double subnormal": ("DOUBLE", ["4.9406564584124654e-324", "-2.2250738585072009e-308"]),
    "double minus zero": ("DOUBLE", ["'-0.0'", "'0.0'", "1.5::double"]),
    "double nan": ("DOUBLE", ["'nan'", "1.5::double"]),
    "double infinities": ("DOUBLE", ["'inf'", "'-inf'", "1.5::double"]),
    "float fractions": ("FLOAT", ["0.1", "16777216", "'3.4028234663852886e38'", "'1.401298464324817e-45'"]),
    "float minus zero, nan": ("FLOAT", ["'-0.0'", "'nan'", "'-inf'", "1"]),
    "decimal(1,0)": ("DECIMAL(1,0)", ["9", "-9", "0"]),
    "decimal(2,2)": ("DECIMAL(2,2)", ["0.99", "-0.01", "0"]),
    "decimal(10,2)": ("DECIMAL(10,2)", ["99999999.99", "-0.01", "1.50"]),
    "decimal(18,3)": ("DECIMAL(18,3)", ["'999999999999999.999'", "'-999999999999999.999'", "0.001"]),
    "decimal(19,0)": ("DECIMAL(19,0)", ["'9999999999999999999'", "1"]),
    "decimal(38,0)": ("DECIMAL(38,0)", ["'" + "9" * 38 + "'", "'-" + "9" * 38 + "'", "1"]),
    "decimal(38,19)": ("DECIMAL(38,19)", ["'1234567890123456789.1234567890123456789'", "'-0.0000000000000000001'"]),
    "decimal(38,38)": ("DECIMAL(38,38)", ["'0." + "9" * 38 + "'", "'-0." + "0" * 37 + "1'"]),
    # Texts.
    "text empty and null": ("VARCHAR", ["''", "'x'"]),
    "text always empty": ("VARCHAR", ["''"]),
    "text that means null": ("VARCHAR", ["'NULL'", "'NA'", "'null'", "'nan'", "'None'", "'N/A'", "'x'"]),
    "text with blanks": ("VARCHAR", ["' '", "'a '", "' a'", "'  '", "'\t'"]),
    "text with delimiters": ("VARCHAR", ["','", "'\"'", "'\"\"'", "'a\"b'", "';|'", "'\\'", "'\\N'", "'\\n'", "''''", "'`'", "'#x'"]),
    "text with line breaks": ("VARCHAR", ["chr(10)", "'a' || chr(10) || 'b'", "'a' || chr(13) || 'b'", "'a' || chr(13) || chr(10)", "chr(13)", "'x'"]),
    "text with nul": ("VARCHAR", ["'a' || chr(0) || 'b'", "'x'"]),
    "text with control characters": ("VARCHAR", ["chr(1) || chr(8) || chr(27) || chr(127) || chr(133) || chr(8232)", "'x'"]),
    "text outside the BMP": ("VARCHAR", ["'🦆'", "chr(1114111)", "'e' || chr(769)", "chr(65279) || 'x'", "chr(65533)"]),
    "text of all letters": ("VARCHAR", ["'" + LETTERS.replace("'", "''") + "'"]),
    "text, long": ("VARCHAR", ["repeat('ä', 400000)", "'x'"]),
    "text of digits": ("VARCHAR", ["'007'", "'1'", "'0'"]),
    "text like numbers": ("VARCHAR", ["'1'", "'2'", "'-3'"]),
    "text like fractions": ("VARCHAR", ["'1.50'", "'2.00'"]),
    "text like signed numbers": ("VARCHAR", ["'+1'", "'+2'"]),
    "text like exponents": ("VARCHAR", ["'1e5'", "'12E345'"]),
    "text like dates": ("VARCHAR", ["'2024-01-31'", "'2024-02-29'"]),
    "text like short dates": ("VARCHAR", ["'31/01/24'", "'01.02.2024'"]),
    "text like timestamps": ("VARCHAR", ["'2024-01-31T10:00:00Z'", "'2024-01-31 10:00:00+02:00'"]),
    "text like times": ("VARCHAR", ["'10:00'", "'25:61'"]),
    "text like booleans": ("VARCHAR", ["'true'", "'t'", "'no'"]),
    "text of booleans": ("VARCHAR", ["'true'", "'false'"]),
    "text like infinity": ("VARCHAR", ["'inf'", "'-Infinity'"]),
    "text like json": ("VARCHAR", ["'{\"a\": 1}'", "'[]'", "'\"x\"'"]),
    "text like uuids": ("VARCHAR", ["'00000000-0000-0000-0000-0000000000AB'", "'00000000-0000-0000-0000-0000000000ab'"]),
    "text like hex": ("VARCHAR", ["'0x10'", "'1_000'", "'\\x41'"]),
    # Bytes and bits.
    "blob of all bytes": ("BLOB", [f"'{ALL_BYTES}'::blob", "''::blob", "'\\x00'::blob", "'a,\"b'::blob"]),
    "blob of letters": ("BLOB", ["'abc'::blob", "'\\x5C\\x78\\x34\\x31'::blob"]),
    "bit": ("BIT", ["'0'", "'1'", "'0000000000000001'", "'101'"]),
    "uuid": ("UUID", ["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"]),
    # Dates and times.
    "date in common use": ("DATE", ["'2024-02-29'", "'1970-01-01'", "'9999-12-31'"]),
    "date extremes": ("DATE", ["'5881580-07-10'", "'5877642-06-25 (BC)'"]),
    "date before year 1": ("DATE", ["'0044-03-15 (BC)'", "'0001-01-01'"]),
    "date infinities": ("DATE", ["'infinity'", "'-infinity'", "'2024-01-01'"]),
    "date before 1000": ("DATE", ["'0001-01-01'", "'0999-12-31'"]),
    "date beyond 9999": ("DATE", ["'10000-01-01'", "'2024-01-01'"]),
    "time": ("TIME", ["'00:00:00'", "'23:59:59.999999'", "'12:34:56.7'"]),
    "time at 24": ("TIME", ["'24:00:00'", "'12:00:00'"]),
    "time_ns": ("TIME_NS", ["'12:34:56.123456789'", "'00:00:00'"]),
    "timetz": ("TIMETZ", ["'12:00:00+00'", "'12:34:56.789012-03:30'", "'00:00:00+15:59:59'", "'23:59:59.999999-15:59:59'"]),
    "timestamp in common use": ("TIMESTAMP", ["'2024-02-29 12:34:56'", "'1970-01-01 00:00:00'", "'2024-02-29 23:59:59.999999'"]),
    "timestamp at midnight": ("TIMESTAMP", ["'2024-02-29 00:00:00'", "'2024-03-01 00:00:00'"]),
    "timestamp extremes": ("TIMESTAMP", ["'294247-01-10 04:00:54.775806'", "'290309-12-22 (BC) 00:00:00'"]),
    "timestamp infinities": ("TIMESTAMP", ["'infinity'", "'-infinity'", "'2024-01-01 00:00:01'"]),
    "timestamp before year 1": ("TIMESTAMP", ["'0044-03-15 (BC) 12:00:00'", "'0001-01-01 00:00:00'"]),
    "timestamp_s": ("TIMESTAMP_S", ["'2024-02-29 12:34:56'", "'1969-12-31 23:59:59'"]),
    "timestamp_ms": ("TIMESTAMP_MS", ["'2024-02-29 12:34:56.789'", "'1969-12-31 23:59:59.999'"]),
    "timestamp_ns": ("TIMESTAMP_NS", ["'2024-02-29 12:34:56.123456789'", "'1969-12-31 23:59:59.999999999'"]),
    "timestamp_ns of microseconds": ("TIMESTAMP_NS", ["'2024-02-29 12:34:56.123456'", "'1970-01-01'"]),
    "timestamptz": ("TIMESTAMPTZ", ["'2024-02-29 12:34:56.789012+00'", "'2024-07-01 00:00:00+05:30'", "'1883-11-18 12:00:00-05'"]),
    "timestamptz extremes": ("TIMESTAMPTZ", ["'294247-01-10 04:00:54.775806+00'", "'290309-12-22 (BC) 00:00:00+00'"]),
    "timestamptz infinities": ("TIMESTAMPTZ", ["'infinity'", "'-infinity'", "'2024-01-01 00:00:00+00'"]),
    "interval": ("INTERVAL", ["'1 year 2 months 3 days 04:05:06.789'", "'0 days'", "'36 hours'", "'1 month'"]),
    "interval of mixed signs": ("INTERVAL", ["'1 year -3 days 04:00:00'", "'-1 month 30 days -00:00:00.000001'"]),
    "interval of only hours": ("INTERVAL", ["'12:34:56.789012'", "'838:00:00'"]),
    "interval extremes": ("INTERVAL", ["to_months(2147483647)", "to_days(-2147483648)", "to_microseconds(9223372036854775807)"]),
    # Enums, documents, nested types.
    "boolean": ("BOOLEAN", ["true", "false"]),
    "enum": ("ENUM('sad', 'glücklich', '', 'NULL')", ["'sad'", "'glücklich'", "'NULL'", "''"]),
    "enum like numbers": ("ENUM('1', '2')", ["'1'", "'2'"]),
    "json": ("JSON", ["'{\"a\": [1, null, {\"ü\": \"x\"}]}'", "'[]'", "'\"text\"'", "'12'", "'{}'"]),
    "json null": ("JSON", ["'null'", "'{\"a\": null}'"]),
    "json long numbers": ("JSON", ["'{\"a\": 12345678901234567890.123456789}'", "'0.1234567890123456789'", "'1.0'", "'1e400'"]),
    "json spaces and keys": ("JSON", ["'{\"b\":  1, \"a\": 2}'", "'[1,\n 2]'", "'\"\\u00e9\"'", "'{\"a\": 1, \"a\": 2}'"]),
    "list of integers": ("INTEGER[]", ["[1, null, -3]", "[]", "[null]"]),
    "list of texts": ("VARCHAR[]", ["['a', null, '', 'NULL', 'x,y', '\"', '[']", "[' a ', chr(10), '''', '\\']", "['{}']"]),
    "list of doubles": ("DOUBLE[]", ["[0.1, 1e300, 5e-324]", "['nan'::double, 'inf'::double]", "['-0.0'::double]"]),
    "list of decimals": ("DECIMAL(38,10)[]", ["['1234567890123456789012345678.0123456789'::decimal(38,10), null]"]),
    "list of hugeints": ("HUGEINT[]", ["[170141183460469231731687303715884105727::hugeint, 1]"]),
    "list of blobs": ("BLOB[]", ["['\\x00\\xFF'::blob, null, ''::blob]"]),
    "list of timestamps": ("TIMESTAMP[]", ["['2024-01-01 00:00:00.000001'::timestamp, 'infinity'::timestamp, null]"]),
    "list of nanoseconds": ("TIMESTAMP_NS[]", ["['2024-01-01 00:00:00.000000001'::timestamp_ns, null]"]),
    "list of json": ("JSON[]", ["['{\"a\": 0.1234567890123456789}'::json, 'null'::json, null]"]),
    "list of bits": ("BIT[]", ["['101'::bit, null]"]),
    "list of lists": ("INTEGER[][]", ["[[1, 2], [3, null]]", "[]"]),
    "list of ragged lists": ("INTEGER[][]", ["[[1, 2], [3], [], null]", "[]", "[[]]"]),
    "array": ("INTEGER[3]", ["[1, 2, 3]", "[null, 0, -1]"]),
    "struct": ("STRUCT(a INTEGER, b VARCHAR)", ["{'a': 1, 'b': 'x'}", "{'a': null, 'b': ''}", "{'a': null, 'b': null}"]),
    "struct of structs": ("STRUCT(a STRUCT(b STRUCT(c DATE, d DOUBLE)), e INTEGER[])", ["{'a': {'b': {'c': '2024-01-01', 'd': 0.1}}, 'e': [1]}", "{'a': null, 'e': []}", "{'a': {'b': null}, 'e': null}"]),
    "struct with unusual names": ("STRUCT(\"a b\" INTEGER, \"\"\"q\" VARCHAR, \"ü.x\" INTEGER)", ["{'a b': 1, '\"q': 'x', 'ü.x': 2}"]),
    "struct of exact numbers": ("STRUCT(a DECIMAL(38,10), b HUGEINT, c BLOB, d JSON)", ["{'a': '1234567890123456789012345678.0123456789', 'b': 170141183460469231731687303715884105727, 'c': '\\x00\\xFF', 'd': '{\"x\": 0.1234567890123456789}'}"]),
    "struct of floats": ("STRUCT(a DOUBLE, b FLOAT)", ["{'a': 'nan'::double, 'b': 'inf'::float}", "{'a': '-0.0'::double, 'b': 0.1::float}"]),
    "struct of times": ("STRUCT(a TIMESTAMP_NS, b TIMETZ, c INTERVAL, d TIMESTAMPTZ)", ["{'a': '2024-01-01 00:00:00.000000001', 'b': '12:00:00+05:30', 'c': '1 month -1 day', 'd': '2024-01-01 00:00:00+02'}"]),
    "struct of bits": ("STRUCT(a BIT, b UUID, c TIME)", ["{'a': '0101'::bit, 'b': '00000000-0000-0000-0000-0000000000ab', 'c': '24:00:00'}"]),
    "map": ("MAP(VARCHAR, INTEGER)", ["map {'a': 1, 'b': null}", "map {}", "map {'': 1, 'NULL': 2}"]),
    "map of integers": ("MAP(INTEGER, VARCHAR)", ["map {1: 'x', -2: null}"]),
    "map of lists": ("MAP(VARCHAR, DOUBLE[])", ["map {'a': [0.1, null]}", "map {'b': []}"]),
    "map of dates": ("MAP(DATE, BLOB)", ["map {'2024-01-01'::date: '\\x00\\xFF'::blob}"]),
    "union": ("UNION(num INTEGER, txt VARCHAR)", ["union_value(num := 1)", "union_value(txt := '1')", "union_value(txt := 'x')"]),
    "list of unions": ("UNION(num INTEGER, txt VARCHAR)[]", ["[union_value(num := 1)::UNION(num INTEGER, txt VARCHAR), union_value(txt := '1')::UNION(num INTEGER, txt VARCHAR)]"]),
    "list of maps": ("MAP(VARCHAR, INTEGER)[]", ["[map {'a': 1}, map {}, null]"]),
    "geometry": ("GEOMETRY", ["'POINT (1.5 -2)'", "'LINESTRING (0 0, 1 1)'", "'POINT EMPTY'"]),
}  # fmt: skip

# The column whose values are tested; its name does not occur in messages by chance. `row_number` identifies the rows.
COLUMN = "zebra"
ROW = "row_number"


def _own(kind: str, values: list[str]) -> str:
    rows = [f"({row}, ({value})::{kind})" for row, value in enumerate([*values, "null"], 1)]
    return f'select n::integer as {ROW}, v as {COLUMN} from (values {", ".join(rows)}) t(n, v)'


def together(selects: list[str], names: list[str]) -> str:
    """One table with the columns of many cases; short ones are padded with nulls."""
    parts = [f'(select {COLUMN} as "{name}" from ({select}))' for select, name in zip(selects, names)]
    return f"select (row_number() over ())::integer as {ROW}, * from {' positional join '.join(parts)}"


def cases() -> dict[str, str]:
    """The SELECT that creates each case's table."""
    with duckdb.connect() as connection:
        types = dict(row[:2] for row in connection.execute("describe select * from test_all_types()").fetchall())
    whole = f'select row_number() over () ::integer as {ROW}, "{{}}" as {COLUMN} from test_all_types()'
    return {f"all types: {name}": whole.format(name) for name in types} | {name: _own(*case) for name, case in VALUES.items()}
