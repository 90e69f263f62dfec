"""excel.extractor reads what Excel files have: each value unchanged, or an error that names the cell."""

import datetime

import duckdb
import pytest
from xlsx_file import MAIN, Failed, Raw, Shared, Styled, Workbook, workbook

DATE, TIME, MOMENT, DURATION = 14, 21, "yyyy\\-mm\\-dd hh:mm:ss", "[h]:mm:ss"


def read(project, content: bytes, expect: int = 0, **config):
    project.write("in.xlsx", content)
    return project.run([{"id": "read", "component": "excel.extractor", "config": {"path": "in.xlsx", **config}}], expect=expect)


def rows(project, content: bytes, **config):
    return project.rows(read(project, content, **config), "read")


def error(project, content: bytes, **config) -> str:
    failed = read(project, content, expect=1, **config)["step"]["read"]["error"]
    assert failed["blame"] == "user", failed
    return failed["message"]


def test_every_kind_of_value_arrives_unchanged(project):
    head = ["whole", "large", "real", "flag", "text", "shared", "day", "moment", "clock", "length", "empty"]
    content = workbook([
        head,
        [1, 9007199254740993, 1.5, True, " a <&> \n", Shared("é"), Styled(45351, DATE), Styled(45351.75, MOMENT), Styled(0.5, TIME), Styled(1.5, DURATION), None],
        [-2, 2**63, "", False, Raw('<c r="E3" t="str"><f>A1</f><v>x_x000D_y</v></c>'), Shared("é"), Styled(1, DATE), Styled(45351, MOMENT), Styled(0, TIME), Styled(-0.25, DURATION), None],
        [Raw('<c r="A4"><v>1E+3</v></c>'), None, Raw('<c r="C4"><v>1.1000000000000001</v></c>'), None, None, None, None, Styled(45351.416668095556, MOMENT), None, None, None],
    ])
    result = read(project, content)
    assert project.types(result, "read") == {
        "whole": "BIGINT", "large": "HUGEINT", "real": "DOUBLE", "flag": "BOOLEAN", "text": "VARCHAR", "shared": "VARCHAR", "day": "DATE", "moment": "TIMESTAMP",
        "clock": "TIME", "length": "INTERVAL", "empty": "VARCHAR",
    }
    moment = datetime.datetime(2024, 2, 29, 18)
    assert project.rows(result, "read") == [
        (1, 9007199254740993, 1.5, True, " a <&> \n", "é", datetime.date(2024, 2, 29), moment, datetime.time(12), datetime.timedelta(hours=36), None),
        (-2, 2**63, None, False, "x\ry", "é", datetime.date(1900, 1, 1), moment.replace(hour=0), datetime.time(0), datetime.timedelta(hours=-6), None),
        (1000, None, 1.1, None, None, None, None, datetime.datetime(2024, 2, 29, 10, 0, 0, 123456), None, None, None),
    ]


def test_a_workbook_counts_from_1900_or_1904(project):
    days = [["d"], [Styled(0, DATE)], [Styled(1, DATE)]]
    assert rows(project, workbook(days, date1904=True)) == [(datetime.date(1904, 1, 1),), (datetime.date(1904, 1, 2),)]
    # In 1900 there is no day 0, and Excel's day 60 never was.
    assert rows(project, workbook([["d"], [Styled(59, DATE)], [Styled(61, DATE)]])) == [(datetime.date(1900, 2, 28),), (datetime.date(1900, 3, 1),)]
    result = read(project, workbook([["d"], [Styled(59, DATE)], [Styled(60, DATE)]]))
    assert project.rows(result, "read") == [("1900-02-28",), ("60",)] and "A3" in str(result["step"]["read"]["warnings"])


def test_values_of_several_kinds_are_texts_with_a_warning(project):
    result = read(project, workbook([["v"], [1], ["x"], [Styled(45351, DATE)], [True], [0.1]]))
    assert project.rows(result, "read") == [("1",), ("x",), ("2024-02-29",), ("true",), ("0.1",)]
    assert "A3" in str(result["step"]["read"]["warnings"])


SHEETS = {"One": [["a"], [1]], "Two & more": [["b"], [2]], "Gone": [["c"], [3]]}


def test_a_sheet_is_chosen_by_its_name_or_its_number(project):
    content = workbook(SHEETS, states={"Gone": "veryHidden"})
    for sheet, expected in [({}, 1), ({"sheet": 2}, 2), ({"sheet": "Two & more"}, 2), ({"sheet_name": "Gone"}, 3)]:
        assert rows(project, content, **sheet) == [(expected,)]
    for sheet in ("two", 4):
        assert "its sheets: `One`, `Two & more`, `Gone` (hidden)" in error(project, content, sheet=sheet)


GRID = [None, ["junk"], [None, "id", "name", "id", None, None], None, [None, 1, "x", 2, "note", None], [None, 3, "y", 4, None, None]]


@pytest.mark.parametrize(("config", "names", "expected"), [
    ({"header": 3}, ["id", "name", "id_1", "E"], [(1, "x", 2, "note"), (3, "y", 4, None)]),
    ({"range": "B3:C"}, ["id", "name"], [(1, "x"), (3, "y")]),
    ({"range": "$B$3:$D$5", "columns": ["id_1", "id"]}, ["id_1", "id"], [(2, 1)]),
    ({"range": "B5:C6", "header": False}, ["B", "C"], [(1, "x"), (3, "y")]),
    ({"range": "3:5", "skip_blank_rows": False}, ["id", "name", "id_1", "E"], [(None,) * 4, (1, "x", 2, "note")]),
    ({"header": 3, "limit": 1, "columns": ["name"]}, ["name"], [("x",)]),
    ({"header": 3, "columns": ["id"], "dtype": {"id": "DECIMAL(5,2)"}}, ["id"], [(1,), (3,)]),
    ({"header": 3, "columns": ["id"], "dtype": {"id": "DATE"}}, ["id"], [(datetime.date(1900, 1, 1),), (datetime.date(1900, 1, 3),)]),
])
def test_a_part_of_a_sheet_is_read(project, config, names, expected):
    result = read(project, workbook(GRID), **config)
    assert list(project.types(result, "read")) == names and project.rows(result, "read") == expected


@pytest.mark.parametrize(("config", "words"), [
    ({"range": "B3:B", "columns": ["name"]}, "the sheet has: `id`"),
    ({"header": 3, "columns": ["nope"]}, "`id`, `name`"),
    ({"header": 3, "dtype": {"nope": "DATE"}}, "`id`, `name`"),
    ({"header": 3, "dtype": {"name": "BIGINT"}}, "row 5 of sheet `Sheet1`"),
    ({"header": 3, "dtype": {"name": "NUMBRE"}}, "NUMBRE"),
    ({"header": 4}, "row 4"),
    ({"range": "Sheet1!A1"}, "A3:D"),
    ({"range": "F9:F10"}, "no cells with values"),
    ({"range": "B4:D", "header": 3}, "outside of `range`"),
])
def test_what_cannot_be_read_is_named(project, config, words):
    assert words in error(project, workbook(GRID), **config)


def test_merged_cells_have_one_value_or_each_the_same(project):
    content = workbook([["k", "v", "w"], ["x", 1, None], [None, 2, 5], ["y", 3, 6]], merged={"Sheet1": ["A2:A3", "B2:C2"]})
    assert rows(project, content) == [("x", 1, None), (None, 2, 5), ("y", 3, 6)]
    assert rows(project, content, fill_merged=True) == [("x", 1, 1), ("x", 2, 5), ("y", 3, 6)]


def test_a_cell_with_an_error_is_refused_or_null(project):
    content = workbook([["a", "b"], [1, Failed("#N/A")], [2, 3]])
    assert "cell B2 of sheet `Sheet1` has the error `#N/A`" in error(project, content)
    assert rows(project, content, on_error_cell="blank") == [(1, None), (2, 3)]


def test_several_files_become_one_table(project):
    project.write("in/y=1/a.xlsx", workbook([["a", "b"], [1, "x"]]))
    project.write("in/y=2/b.xlsx", workbook([["a", "c"], [1.5, "y"]]))
    config = {"path": "in/**/*.xlsx", "filename": True, "hive_partitioning": True}
    step = {"id": "read", "component": "excel.extractor", "config": config}
    assert "union_by_name" in project.run([step], expect=1)["step"]["read"]["error"]["message"]
    config |= {"union_by_name": True, "new_files_only": True}
    assert project.rows(project.run([step]), "read") == [(1.0, "x", None, 1, "in/y=1/a.xlsx"), (1.5, None, "y", 2, "in/y=2/b.xlsx")]
    assert project.rows(project.run([step]), "read") == []


def archive(changes: dict, **options) -> bytes:
    """A sound workbook with other parts."""
    return Workbook({"Sheet1": [["a", "b"], [1, Shared("x")]]}, more=changes, **options).bytes()


def sheet(data: str) -> dict:
    return {"xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}"><sheetData>{data}</sheetData></worksheet>'}


LAUGHS = '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
HEAD = '<row r="1"><c r="A1" t="inlineStr"><is><t>a</t></is></c></row>'
TEN_MB = "A" * 10_000_000
AREAS = '<mergeCell ref="A1:XFD1048576"/>' * 9

DAMAGED = {
    "no zip": (b"a,b\n1,2\n", "not an Excel file"),
    "empty": (b"", "not an Excel file"),
    "old": (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600), "password"),
    "parquet": (b"PAR1" + bytes(600), "a Parquet file"),
    "cut": (archive({})[:-40], "cut short"),
    "no workbook": (archive({"_rels/.rels": "<Relationships/>", "xl/workbook.xml": "<workbook/>"}), "no sheet with cells"),
    "binary": (archive({"xl/workbook.bin": ""}), ".xlsb"),
    "entities": (archive({"xl/sharedStrings.xml": f"{LAUGHS}<sst><si><t>&b;</t></si></sst>"}), "document type"),
    "unknown entity": (archive(sheet(HEAD + '<row r="2"><c r="A2" t="str"><v>&b;</v></c></row>')), "entity"),
    "shared text out of reach": (archive(sheet(HEAD + '<row r="2"><c r="A2" t="s"><v>1000000</v></c></row>')), "cell A2 has the shared text number `1000000`"),
    "negative shared text": (archive(sheet('<row r="1"><c r="A1" t="s"><v>-1</v></c></row>')), "cell A1"),
    "not a number": (archive(sheet(HEAD + '<row r="2"><c r="A2"><v>1e999</v></c></row>')), "cell A2 has the value `1e999`"),
    "unknown type": (archive(sheet('<row r="1"><c r="A1" t="zz"><v>1</v></c></row>')), "unknown type `zz`"),
    "cell of another row": (archive(sheet('<row r="1"><c r="A2"><v>1</v></c></row>')), "`A2`, which does not belong there"),
    "cell beyond the sheet": (archive(sheet('<row r="1"><c r="XFE1"><v>1</v></c></row>')), "`XFE1`"),
    "cells out of order": (archive(sheet('<row r="1"><c r="B1"><v>1</v></c><c r="A1"><v>1</v></c></row>')), "`A1`"),
    "rows out of order": (archive(sheet('<row r="2"/><row r="1"/>')), "row after row 2"),
    "row beyond the sheet": (archive(sheet('<row r="1048577"/>')), "row after row 0"),
    "cut xml": (archive({"xl/worksheets/sheet1.xml": "<worksheet><sheetData><row>"}), "ends in the middle"),
    "wrong xml": (archive({"xl/styles.xml": "<a><b></a>"}), "xl/styles.xml"),
    "deep xml": (archive({"xl/styles.xml": "<a>" * 100_000}), "nested"),
    "no utf-8": (archive({"xl/sharedStrings.xml": b"<sst><si><t>\xff</t></si></sst>"}), "xl/sharedStrings.xml"),
    "missing sheet": (archive({"xl/_rels/workbook.xml.rels": '<Relationships><Relationship Id="rId1" Type="x/worksheet" Target="worksheets/none.xml"/></Relationships>'}), "`Sheet1` is missing"),
    "sheet elsewhere": (archive({"xl/_rels/workbook.xml.rels": '<Relationships><Relationship Id="rId1" Type="x/worksheet" TargetMode="External" Target="file:///etc/passwd"/></Relationships>'}), "`Sheet1` is missing"),
    "sheet above": (archive({"xl/_rels/workbook.xml.rels": '<Relationships><Relationship Id="rId1" Type="x/worksheet" Target="../../../../etc/passwd"/></Relationships>'}), "`Sheet1` is missing"),
    "long text": (archive(sheet(HEAD + f'<row r="2"><c r="A2" t="str"><v>{TEN_MB}{TEN_MB}</v></c></row>')), "longer than 16 MiB"),
    "long text in parts": (archive(sheet(HEAD + f'<row r="2"><c r="A2" t="str"><v>{TEN_MB}<!-- -->{TEN_MB}</v></c></row>')), "longer than 16 MiB"),
    "overlapping areas": (archive({"xl/worksheets/sheet1.xml": f'<worksheet><sheetData>{HEAD}</sheetData><mergeCells>{AREAS}</mergeCells></worksheet>'}), "overlap"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_or_hostile_file_is_a_clear_error(project, name):
    content, words = DAMAGED[name]
    message = error(project, content, **({"fill_merged": True} if name == "overlapping areas" else {}))
    assert words in message and "in.xlsx" in message, message


def test_shared_texts_without_end_are_refused_within_the_memory_of_a_step(project):
    """A bomb: 400 MB of texts in 400 KB."""
    texts = ("<si><t>" + "A" * 30_000 + "</t></si>") * 13_500
    assert "192 MiB" in error(project, archive({"xl/sharedStrings.xml": f"<sst>{texts}</sst>"}))


def test_a_sheet_that_claims_to_be_huge_is_as_large_as_its_cells(project):
    claimed = {"xl/worksheets/sheet1.xml": f'<worksheet><dimension ref="A1:XFD1048576"/><cols><col min="1" max="16384"/></cols><sheetData>{HEAD}<row r="1048576"><c r="A1048576"><v>1</v></c></row></sheetData></worksheet>'}
    assert rows(project, archive(claimed)) == [(1,)]
    assert project.rows(read(project, archive(claimed), skip_blank_rows=False), "read", "select count(*), count(a) from main") == [(1048575, 1)]


def test_links_macros_and_names_that_lead_out_of_the_archive_are_not_looked_at(project):
    more = {
        "../../../../tmp/evil.txt": "x", "/etc/evil": "x", "xl/vbaProject.bin": "x", "xl/externalLinks/externalLink1.xml": f"{LAUGHS}<x>&b;</x>",
        "xl/connections.xml": '<connections><connection><webPr url="http://127.0.0.1/"/></connection></connections>', "xl/media/bomb.png": bytes(50_000_000),
    }
    assert rows(project, archive(more)) == [(1, "x")]


def test_copy_reads_a_workbook(project):
    project.write("book.xlsx", workbook([["id", "day"], [1, Styled(45351, DATE)]]))
    done = project.osiris("copy", "book.xlsx", "out.parquet")
    assert done.returncode == 0, done.stderr
    assert duckdb.sql(f"from '{project.folder / 'out.parquet'}'").fetchall() == [(1, datetime.date(2024, 2, 29))]
