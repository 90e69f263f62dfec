"""Excel files made by hand, so that a test decides each byte of them."""

import io
import zipfile
from xml.sax.saxutils import escape, quoteattr

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"


class Styled:
    """A number with a number format: one that every workbook has, or a code."""

    def __init__(self, number, look):
        self.number, self.look = number, look


class Raw(str):
    """The XML of a cell."""


class Shared(str):
    """A text that is stored once for the workbook."""


class Failed(str):
    """A cell with an error such as `#N/A`."""


def letters(column: int) -> str:
    text = ""
    while column >= 0:
        text, column = chr(65 + column % 26) + text, column // 26 - 1
    return text


class Workbook:
    """`sheets` are lists of rows by name: a row is a list of values, `None` for an empty cell, or XML as a whole."""

    def __init__(self, sheets, date1904=False, merged=None, states=None, more=None):
        self.sheets, self.date1904, self.merged, self.states, self.more = sheets, date1904, merged or {}, states or {}, more or {}
        self.shared: list[str] = []
        self.looks: list = [0]

    def cell(self, place: str, value) -> str:
        if value is None:
            return ""
        match value:
            case Raw():
                return value
            case Styled():
                if value.look not in self.looks:
                    self.looks.append(value.look)
                return f'<c r="{place}" s="{self.looks.index(value.look)}"><v>{value.number}</v></c>'
            case Failed():
                return f'<c r="{place}" t="e"><v>{value}</v></c>'
            case Shared():
                if value not in self.shared:
                    self.shared.append(value)
                return f'<c r="{place}" t="s"><v>{self.shared.index(value)}</v></c>'
            case bool():
                return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
            case int() | float():
                return f'<c r="{place}"><v>{value!r}</v></c>'
        return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'

    def sheet(self, name: str) -> str:
        rows = self.sheets[name]
        if isinstance(rows, str):
            return rows
        data = "".join(
            f'<row r="{number}">{"".join(self.cell(f"{letters(column)}{number}", value) for column, value in enumerate(row))}</row>'
            for number, row in enumerate(rows, 1)
            if row is not None
        )
        merged = "".join(f'<mergeCell ref="{area}"/>' for area in self.merged.get(name, []))
        return f'<worksheet xmlns="{MAIN}"><dimension ref="A1"/><sheetData>{data}</sheetData>{f"<mergeCells>{merged}</mergeCells>" if merged else ""}</worksheet>'

    def styles(self) -> str:
        own = {look: 164 + number for number, look in enumerate(look for look in self.looks if isinstance(look, str))}
        formats = "".join(f'<numFmt numFmtId="{number}" formatCode={quoteattr(look)}/>' for look, number in own.items())
        cells = "".join(f'<xf numFmtId="{own.get(look, look)}"/>' for look in self.looks)
        return f'<styleSheet xmlns="{MAIN}"><numFmts>{formats}</numFmts><cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs>{cells}</cellXfs></styleSheet>'

    def parts(self) -> dict[str, str | bytes]:
        names = list(self.sheets)
        state = lambda name: f' state="{self.states[name]}"' if name in self.states else ""  # noqa: E731
        sheets = "".join(f'<sheet name={quoteattr(name)} sheetId="{n}"{state(name)} r:id="rId{n}"/>' for n, name in enumerate(names, 1))
        relation = lambda id, kind, target: f'<Relationship Id="{id}" Type="{RELATIONS}/{kind}" Target="{target}"/>'  # noqa: E731
        related = "".join(relation(f"rId{n}", "worksheet", f"worksheets/sheet{n}.xml") for n in range(1, len(names) + 1))
        related += relation("rId900", "styles", "styles.xml") + relation("rId901", "sharedStrings", "sharedStrings.xml")
        parts = {f"xl/worksheets/sheet{n}.xml": self.sheet(name) for n, name in enumerate(names, 1)}
        shared = "".join(f'<si><t xml:space="preserve">{escape(text)}</t></si>' for text in self.shared)
        return {
            "[Content_Types].xml": "<Types/>",
            "_rels/.rels": f'<Relationships xmlns="{PACKAGE}">{relation("rId1", "officeDocument", "xl/workbook.xml")}</Relationships>',
            "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}"><workbookPr date1904="{int(self.date1904)}"/><sheets>{sheets}</sheets></workbook>',
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}">{related}</Relationships>',
            "xl/styles.xml": self.styles(),
            "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}" uniqueCount="1">{shared}</sst>',
            **parts,
            **self.more,
        }

    def bytes(self) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self.parts().items():
                archive.writestr(name, content)
        return out.getvalue()


def workbook(rows, **options) -> bytes:
    """A workbook with one sheet, or with the sheets of a dictionary."""
    return Workbook(rows if isinstance(rows, dict) else {"Sheet1": rows}, **options).bytes()
