"""http.extractor from run to run: the order of values, and what is read again."""

import json

import pytest
from http_server import in_turn, web  # noqa: F401
from http_steps import failed, grant, read, rows, step

CURSOR = {"param": "since", "field": "c"}


def runs(project, web, *answers, path="/items", **config) -> list[list]:
    """What each run delivers of the column `c`, if the server returns one list per run."""
    url = web.route(path, in_turn(*([{"c": value} if not isinstance(value, dict) else value for value in values] for values in answers)))
    grant(project, web)
    config = {"url": url, "cursor": CURSOR, "dtype": {"c": "VARCHAR"}, **config}
    return [[row[0] for row in rows(project, **config)] for _ in answers]


PROVEN = {
    "RFC 2822": ("Wed, 07 Feb 2024 10:00:00 GMT", "Fri, 09 Feb 2024 08:00:00 GMT"),
    "decimals as text": ("999.5", "1000.5"),
    "a number, then a text": (999, "1000.5"),
    "negative decimals": ("-1.5", "-0.5"),
    "exponents": ("9e5", "1e6"),
    "beyond 64 bits": ("18446744073709551616", "18446744073709551617"),
    "offsets": ("2024-02-07T10:00:00Z", "2024-02-09T08:00:00+01:00"),
    "nanoseconds": ("2024-02-07T10:00:00.000000001Z", "2024-02-07T10:00:00.000000002Z"),
    "dates": ("2024-09-30", "2024-10-01"),
}


@pytest.mark.parametrize("what", PROVEN)
def test_numbers_and_times_are_ordered_by_value(project, web, what):
    first, later = PROVEN[what]
    assert runs(project, web, [first], [later], []) == [[str(first)], [str(later)], []]
    assert [request.query.get("since") for request in web.requests] == [None, str(first), str(later)]


SPELLINGS = [
    ("2024-02-07T10:00:00.000+0000", "2024-02-07T10:00:00.001+0000"),
    ("2024-02-07t10:00:00z", "2024-02-07t10:00:01z"),
    ("2024-02-07 10:00:00 UTC", "2024-02-07 10:00:01 UTC"),
    ("2024-10-27T02:30:00+02:00", "2024-10-27T02:10:00+01:00"),
    ("2024-01-01T05:45:00+05:45", "2024-01-01T00:00:00.5Z"),
    ("2024-01-01T00:00:00-00:00", "2024-01-01T14:00:01+14:00"),
    ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.5Z"),
    ("20240207T100000Z", "20240207T100001Z"),
    ("20240207", "20240210"),
    ("2024-02-07T10:00Z", "2024-02-07T10:00:30Z"),
    (1707300000000, 1707300000001),
    (5, 5.5),
    (-5, -4),
    (1e3, 1000.25),
    ("007", "010"),
    ("7 Feb 2024 10:00:00 +0100", "Wed, 7 Feb 2024 10:00:01 +0100"),
]


def test_notations_of_numbers_and_times_are_continued(project, web):
    """Several reads in each of three runs: the first value, a later one beside it, nothing new."""
    steps = []
    for place, (first, later) in enumerate(SPELLINGS):
        web.route(f"/{place}", in_turn([{"id": 1, "c": first}], [{"id": 1, "c": first}, {"id": 2, "c": later}], [{"id": 2, "c": later}]))
        steps.append(step(url=f"{web.url}/{place}", cursor=CURSOR) | {"id": f"s{place}", "needs": []})
    grant(project, web)
    for ids in ([1], [2], []):
        result = project.run(steps)
        assert {place: project.rows(result, f"s{place}", "select id from main") for place in range(len(SPELLINGS))} == {place: [(id,) for id in ids] for place in range(len(SPELLINGS))}


UNKNOWN = ["12/30/2023", "30.12.2023", "2024-9-30", "v9", "1.9.0", "0x1f", "/Date(1700000000000)/", "999,5", "5f1c9e0b", "Mon Feb 5 2024"]


def test_texts_without_a_provable_order_are_refused_in_the_first_run(project, web):
    url = web.route("/items", lambda request: [{"c": UNKNOWN[request.number - 1]}])
    grant(project, web)
    for text in UNKNOWN:
        error = failed(project, url=url, cursor=CURSOR)
        assert error["kind"] == "data"
        for word in ("`c` in record 1 of page 1", text, "`cursor_type: text`", "`cursor_format`"):
            assert word in error["message"], error
    state = project.osiris("state", "show", "--json")
    assert "items" not in state.stdout


def test_the_author_can_declare_the_order_of_a_cursor(project, web):
    for place, (config, first, later) in enumerate(
        [
            ({"cursor_format": "%m/%d/%Y"}, "12/31/2023", "01/02/2024"),
            ({"cursor_format": "%d.%m.%Y %H:%M"}, "31.12.2023 23:00", "01.01.2024 01:00"),
            ({"cursor_format": "/Date(%Q)/"}, "/Date(999999999999)/", "/Date(1000000000000)/"),
            ({"cursor_type": "text"}, "v09", "v10"),
            ({"cursor_type": "number"}, "9", "10"),
            ({"cursor_type": "timestamp"}, "2024-01-01T00:00:00", "2024-01-01T00:00:01Z"),
            ({"cursor_type": "date"}, "2024-01-31", "2024-02-01"),
        ]
    ):
        found = runs(project, web, [first], [later, first], path=f"/{place}", **config)
        project.osiris("state", "reset", "read")
        assert found == [[first], [later]], config
    assert "does not go with" in failed(project, url=web.url + "/0", cursor=CURSOR, cursor_type="text", cursor_format="%Y-%m-%d")["message"]
    assert "which is missing" in failed(project, url=web.url + "/0", lookback="1d")["message"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([5, "2024-01-01"], "numbers (`5`)"),
        (["2024-01-01T00:00:00Z", "2024-01-02T00:00:00"], "`cursor_type: timestamp`"),
        (["2024-01-01", "yesterday"], "`yesterday`"),
        ([7, "v8"], "`v8`"),
    ],
)
def test_a_cursor_that_mixes_types_is_refused(project, web, values, words):
    url = web.route("/items", lambda _: [{"c": value} for value in values])
    grant(project, web)
    message = failed(project, url=url, cursor=CURSOR)["message"]
    assert "`c` mixes" in message and words in message and "record 2 of page 1" in message


@pytest.mark.parametrize("sentinel", ["9999-12-31", "2999-01-01", "Infinity", "NaN", "-infinity"])
def test_a_value_that_nothing_can_follow_warns_and_blocks_nothing(project, web, sentinel):
    url = web.route("/items", in_turn([{"c": "2024-01-01"}, {"c": sentinel}], [{"c": sentinel}, {"c": "2024-01-02"}], [{"c": "2024-01-03"}]))
    grant(project, web)
    first = read(project, url=url, cursor=CURSOR)
    assert [row[0] for row in project.rows(first, "read")] == ["2024-01-01", sentinel]
    assert "nothing could come after" in first["stderr"] and sentinel in first["stderr"]
    assert rows(project, url=url, cursor=CURSOR) == [("2024-01-02",)]
    assert rows(project, url=url, cursor=CURSOR) == [("2024-01-03",)]
    assert [request.query.get("since") for request in web.requests] == [None, "2024-01-01", "2024-01-02"]


def test_the_greatest_numbers_of_a_type_block_nothing(project, web):
    for place, sentinel in enumerate((2**63 - 1, "9223372036854775807", 999999999999)):
        project.osiris("state", "reset", "read")
        assert runs(project, web, [5, sentinel], [6], path=f"/{place}") == [["5", str(sentinel)], ["6"]]


def test_a_lookback_reads_a_span_again(project, web):
    cases = [
        ("1d", ["2024-01-05T00:00:00Z"], ["2024-01-03T00:00:00Z", "2024-01-04T12:00:00Z", "2024-01-05T00:00:00Z"], "2024-01-04T00:00:00Z"),
        ("2 days", ["2024-03-01"], ["2024-02-27", "2024-02-28", "2024-03-01"], "2024-02-28"),
        ("1h", ["Mon, 05 Feb 2024 00:30:00 GMT"], ["Sun, 04 Feb 2024 23:00:00 GMT", "Sun, 04 Feb 2024 23:45:00 GMT", "Mon, 05 Feb 2024 00:30:00 GMT"], "Sun, 04 Feb 2024 23:30:00 GMT"),
        (10, [100], [80, 95, 100], "90"),
        (0.5, ["12345678901234567890.5"], ["1", "12345678901234567890", "12345678901234567890.5"], "12345678901234567890"),
    ]
    for place, (lookback, first, second, since) in enumerate(cases):
        project.osiris("state", "reset", "read")
        found = runs(project, web, first, second, path=f"/{place}", lookback=lookback)
        assert found == [[str(value) for value in first], [str(value) for value in second[1:]]], lookback
        assert web.requests[-1].query["since"] == since
    project.osiris("state", "reset", "read")
    assert "write a duration" in failed(project, url=web.url + "/0", cursor=CURSOR, lookback="soon")["message"]


def test_a_state_keeps_the_digits_of_its_value_and_an_older_one_is_continued(project, web):
    values = ["12345678901234567890.123456789", "12345678901234567890.123456790"]
    assert runs(project, web, [values[0]], [values[1], values[0]]) == [[values[0]], [values[1]]]
    (file,) = project.folder.glob(".osiris/state/*/read.json")
    kept = json.loads(file.read_text())
    for older in ({"field": "c", "value": "2024-02-07T10:00:00Z", "ties": "", "columns": None}, {"field": "c", "value": 999, "ties": ""}):
        file.write_text(json.dumps(kept | {"state": older}))
        new = "2024-02-09T08:00:00+01:00" if isinstance(older["value"], str) else "1000.5"
        url = web.route("/items", lambda _, new=new: [{"c": new}])
        assert rows(project, url=url, cursor=CURSOR) == [(new,)]
        assert web.requests[-1].query["since"] == str(older["value"])
