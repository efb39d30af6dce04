#!/usr/bin/env python3
"""Makes the depot's PDF, Word, OpenDocument and Excel files from their sources, and the questions.

    deploy/demo/make.py           writes documents/ and questions.json
    deploy/demo/make.py --check   writes nothing; says what differs from its source

`sources/THEME/NAME.pdf.md` becomes `documents/THEME/NAME.pdf`; the other formats likewise, and
`NAME.xlsx.csv` becomes a workbook. The formats are written out by hand, with nothing but Python's
own library, so that a machine without a network can make them again. Two runs agree in content;
the compressed bytes may differ between versions of zlib, and --check looks inside.
"""

import datetime
import io
import json
import re
import sys
import unicodedata
import zipfile
import zlib
from html import escape, unescape
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES, DOCUMENTS, QUESTIONS = HERE / "sources", HERE / "documents", HERE / "questions.json"
AUTHOR = "Transports Maréchal"
MOMENT = (2026, 11, 20, 8, 0, 0)
ISO_MOMENT = "2026-11-20T08:00:00Z"


def text(value):
    return escape(str(value), quote=False)


# --- reading a source -----------------------------------------------------------------------------


def blocks(source):
    """A source as blocks: ("h", level, words), ("p", words), ("ul" or "ol", items), ("table", rows)."""
    found = []
    for chunk in re.split(r"\n\s*\n", source.strip()):
        lines = chunk.splitlines()
        if match := re.match(r"(#+) (.*)", lines[0]):
            found.append(("h", len(match[1]), match[2]))
        elif lines[0].startswith("|"):
            rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
            found.append(("table", [row for row in rows if not set("".join(row)) <= set("-: ")]))
        elif lines[0].startswith("- "):
            found.append(("ul", [line[2:] for line in lines]))
        elif re.match(r"\d+\. ", lines[0]):
            found.append(("ol", [line.split(". ", 1)[1] for line in lines]))
        else:
            found.append(("p", " ".join(lines)))
    return found


def title_of(parts):
    return next(block[2] for block in parts if block[0] == "h")


def language_of(name):
    english = ("subcontractor-driver", "safety-data", "contract-annex", "norwick-delivery")
    return "en" if name.startswith(english) else "fr"


def archive(members, first=None):
    """A ZIP with fixed dates; `first` is a member that must come first and uncompressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as pack:
        for name, content in ([first] if first else []) + members:
            entry = zipfile.ZipInfo(name, MOMENT)
            kind = zipfile.ZIP_STORED if first and name == first[0] else zipfile.ZIP_DEFLATED
            pack.writestr(entry, content, compress_type=kind)
    return buffer.getvalue()


XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006"


def relations(*targets):
    """The relationships part of an Office Open XML package: (type, target) in order."""
    rows = "".join(
        f'<Relationship Id="rId{number}" Type="{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, 1)
    )
    return f'{XML}<Relationships xmlns="{RELATIONS}">{rows}</Relationships>'


def content_types(overrides):
    rows = "".join(f'<Override PartName="/{part}" ContentType="{kind}"/>' for part, kind in overrides)
    return (
        f'{XML}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{rows}</Types>'
    )


CORE_TYPE = "application/vnd.openxmlformats-package.core-properties+xml"
CORE_RELATION = "http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties"


def core(title, language):
    return (
        f'{XML}<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<dc:title>{text(title)}</dc:title><dc:creator>{AUTHOR}</dc:creator><dc:language>{language}</dc:language>"
        f'<dcterms:created xsi:type="dcterms:W3CDTF">{ISO_MOMENT}</dcterms:created></cp:coreProperties>'
    )


# --- Word -----------------------------------------------------------------------------------------

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
WORD_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml"


def word_paragraph(words, style=None, number=None):
    properties = f'<w:pStyle w:val="{style}"/>' if style else ""
    if number:
        properties += f'<w:numPr><w:ilvl w:val="0"/><w:numId w:val="{number}"/></w:numPr>'
    # Word splits a paragraph into runs wherever something was edited; half of ours are split too.
    cut = words.find(" ", len(words) // 2)
    runs = [words[:cut], words[cut:]] if len(words) > 120 and cut > 0 else [words]
    body = "".join(f'<w:r><w:t xml:space="preserve">{text(run)}</w:t></w:r>' for run in runs)
    return f"<w:p>{f'<w:pPr>{properties}</w:pPr>' if properties else ''}{body}</w:p>"


def word_table(rows):
    borders = "".join(
        f'<w:{side} w:val="single" w:sz="4" w:color="999999"/>'
        for side in ("top", "left", "bottom", "right", "insideH", "insideV")
    )
    lines = "".join(
        "<w:tr>" + "".join(f"<w:tc><w:tcPr/>{word_paragraph(cell)}</w:tc>" for cell in row) + "</w:tr>"
        for row in rows
    )
    grid = "<w:gridCol/>" * len(rows[0])
    return f"<w:tbl><w:tblPr><w:tblBorders>{borders}</w:tblBorders></w:tblPr><w:tblGrid>{grid}</w:tblGrid>{lines}</w:tbl><w:p/>"


def docx(parts, language):
    body = []
    for block in parts:
        if block[0] == "h":
            body.append(word_paragraph(block[2], f"Heading{block[1]}"))
        elif block[0] == "p":
            body.append(word_paragraph(block[1]))
        elif block[0] == "table":
            body.append(word_table(block[1]))
        else:
            number = 1 if block[0] == "ul" else 2
            body += [word_paragraph(item, "ListParagraph", number) for item in block[1]]
    styles = '<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/></w:style>' + "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{level}"><w:name w:val="heading {level}"/>'
        f'<w:pPr><w:outlineLvl w:val="{level - 1}"/></w:pPr><w:rPr><w:b/><w:sz w:val="{36 - 6 * level}"/></w:rPr></w:style>'
        for level in (1, 2, 3)
    )
    numbering = "".join(
        f'<w:abstractNum w:abstractNumId="{number}"><w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="{kind}"/>'
        f'<w:lvlText w:val="{mark}"/></w:lvl></w:abstractNum>'
        for number, kind, mark in ((1, "bullet", "•"), (2, "decimal", "%1."))
    ) + "".join(f'<w:num w:numId="{n}"><w:abstractNumId w:val="{n}"/></w:num>' for n in (1, 2))
    members = [
        ("[Content_Types].xml", content_types([
            ("word/document.xml", f"{WORD_TYPE}.document.main+xml"),
            ("word/styles.xml", f"{WORD_TYPE}.styles+xml"),
            ("word/numbering.xml", f"{WORD_TYPE}.numbering+xml"),
            ("docProps/core.xml", CORE_TYPE),
        ])),
        ("_rels/.rels", relations((f"{OFFICE}/relationships/officeDocument", "word/document.xml"), (CORE_RELATION, "docProps/core.xml"))),
        ("word/_rels/document.xml.rels", relations((f"{OFFICE}/relationships/styles", "styles.xml"), (f"{OFFICE}/relationships/numbering", "numbering.xml"))),
        ("word/document.xml", f'{XML}<w:document xmlns:w="{WORD}"><w:body>{"".join(body)}</w:body></w:document>'),
        ("word/styles.xml", f'{XML}<w:styles xmlns:w="{WORD}">{styles}<w:style w:type="paragraph" w:styleId="ListParagraph"><w:name w:val="List Paragraph"/></w:style></w:styles>'),
        ("word/numbering.xml", f'{XML}<w:numbering xmlns:w="{WORD}">{numbering}</w:numbering>'),
        ("docProps/core.xml", core(title_of(parts), language)),
    ]
    return archive(members)


# --- OpenDocument ---------------------------------------------------------------------------------

ODF = "urn:oasis:names:tc:opendocument:xmlns"
ODT_TYPE = "application/vnd.oasis.opendocument.text"


def odt(parts, language):
    body = []
    for block in parts:
        if block[0] == "h":
            body.append(f'<text:h text:outline-level="{block[1]}">{text(block[2])}</text:h>')
        elif block[0] == "p":
            body.append(f"<text:p>{text(block[1])}</text:p>")
        elif block[0] == "table":
            rows = "".join(
                "<table:table-row>"
                + "".join(f'<table:table-cell office:value-type="string"><text:p>{text(cell)}</text:p></table:table-cell>' for cell in row)
                + "</table:table-row>"
                for row in block[1]
            )
            columns = f'<table:table-column table:number-columns-repeated="{len(block[1][0])}"/>'
            body.append(f"<table:table>{columns}{rows}</table:table>")
        else:
            items = "".join(f"<text:list-item><text:p>{text(item)}</text:p></text:list-item>" for item in block[1])
            body.append(f'<text:list text:style-name="{"Puces" if block[0] == "ul" else "Numéros"}">{items}</text:list>')
    names = f'xmlns:office="{ODF}:office:1.0" xmlns:text="{ODF}:text:1.0" xmlns:table="{ODF}:table:1.0" xmlns:style="{ODF}:style:1.0" office:version="1.3"'
    lists = (
        '<text:list-style style:name="Puces"><text:list-level-style-bullet text:level="1" text:bullet-char="•"/></text:list-style>'
        '<text:list-style style:name="Numéros"><text:list-level-style-number text:level="1" style:num-suffix="." style:num-format="1"/></text:list-style>'
    )
    meta = (
        f'<office:meta><dc:title>{text(title_of(parts))}</dc:title><dc:creator>{AUTHOR}</dc:creator>'
        f"<dc:language>{language}</dc:language><dc:date>{ISO_MOMENT}</dc:date></office:meta>"
    )
    manifest = "".join(
        f'<manifest:file-entry manifest:full-path="{path}" manifest:media-type="{kind}"/>'
        for path, kind in (("/", ODT_TYPE), ("content.xml", "text/xml"), ("meta.xml", "text/xml"))
    )
    members = [
        ("content.xml", f"{XML}<office:document-content {names}><office:automatic-styles>{lists}</office:automatic-styles><office:body><office:text>{''.join(body)}</office:text></office:body></office:document-content>"),
        ("meta.xml", f'{XML}<office:document-meta {names} xmlns:dc="http://purl.org/dc/elements/1.1/">{meta}</office:document-meta>'),
        ("META-INF/manifest.xml", f'{XML}<manifest:manifest xmlns:manifest="{ODF}:manifest:1.0" manifest:version="1.3">{manifest}</manifest:manifest>'),
    ]
    return archive(members, first=("mimetype", ODT_TYPE))


# --- Excel ----------------------------------------------------------------------------------------

SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
SHEET_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
DAY_ZERO = datetime.date(1899, 12, 30)


def column(index):
    return chr(ord("A") + index)


def cell(value, place, strings, head):
    """A number as a number, a date as the day that Excel counts, the rest as a shared string."""
    if not value:
        return ""
    if not head and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return f'<c r="{place}" s="1"><v>{(datetime.date.fromisoformat(value) - DAY_ZERO).days}</v></c>'
    if not head and re.fullmatch(r"\d+(,\d+)?", value):
        return f'<c r="{place}"><v>{value.replace(",", ".")}</v></c>'
    strings.setdefault(value, len(strings))
    return f'<c r="{place}" t="s"><v>{strings[value]}</v></c>'


def xlsx(source, title):
    strings, sheets = {}, []
    for part in re.split(r"^# feuille: ", source, flags=re.M)[1:]:
        name, *lines = part.strip().splitlines()
        rows = "".join(
            f'<row r="{number}">'
            + "".join(cell(value, f"{column(index)}{number}", strings, number == 1) for index, value in enumerate(line.split(";")))
            + "</row>"
            for number, line in enumerate(lines, 1)
        )
        sheets.append((name, f'{XML}<worksheet xmlns="{SHEET}"><sheetData>{rows}</sheetData></worksheet>'))
    listed = "".join(f'<sheet name="{text(name)}" sheetId="{number}" r:id="rId{number}"/>' for number, (name, _) in enumerate(sheets, 1))
    parts = [f"worksheets/sheet{number}.xml" for number in range(1, len(sheets) + 1)]
    styles = (
        '<fonts count="1"><font><sz val="11"/><name val="Liberation Sans"/></font></fonts><fills count="1"><fill><patternFill patternType="none"/></fill></fills>'
        '<borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>'
        '<cellXfs count="2"><xf/><xf numFmtId="14" applyNumberFormat="1"/></cellXfs>'
        '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>'
    )
    members = [
        ("[Content_Types].xml", content_types(
            [("xl/workbook.xml", f"{SHEET_TYPE}.sheet.main+xml"), ("xl/styles.xml", f"{SHEET_TYPE}.styles+xml"),
             ("xl/sharedStrings.xml", f"{SHEET_TYPE}.sharedStrings+xml"), ("docProps/core.xml", CORE_TYPE)]
            + [(f"xl/{part}", f"{SHEET_TYPE}.worksheet+xml") for part in parts])),
        ("_rels/.rels", relations((f"{OFFICE}/relationships/officeDocument", "xl/workbook.xml"), (CORE_RELATION, "docProps/core.xml"))),
        ("xl/_rels/workbook.xml.rels", relations(
            *((f"{OFFICE}/relationships/worksheet", part) for part in parts),
            (f"{OFFICE}/relationships/styles", "styles.xml"), (f"{OFFICE}/relationships/sharedStrings", "sharedStrings.xml"))),
        ("xl/workbook.xml", f'{XML}<workbook xmlns="{SHEET}" xmlns:r="{OFFICE}/relationships"><sheets>{listed}</sheets></workbook>'),
        ("xl/styles.xml", f'{XML}<styleSheet xmlns="{SHEET}">{styles}</styleSheet>'),
        ("xl/sharedStrings.xml", f'{XML}<sst xmlns="{SHEET}">{"".join(f"<si><t>{text(value)}</t></si>" for value in strings)}</sst>'),
        ("docProps/core.xml", core(title, "fr")),
    ]
    return archive(members + [(f"xl/{part}", sheet) for part, (_, sheet) in zip(parts, sheets)])


# --- PDF ------------------------------------------------------------------------------------------

# Advance widths of Helvetica for the characters 32 to 126, in thousandths of the size (Adobe's metrics).
WIDTHS = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
    556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
    260, 334, 584,
]
PAGE_WIDTH, PAGE_HEIGHT, MARGIN, FOOT = 595, 842, 62, 60
BOLD_IS_WIDER = 1.07


def width(words, size, bold=False):
    total = 0
    for letter in unicodedata.normalize("NFD", words):
        code = ord(letter)
        if not unicodedata.combining(letter):
            total += WIDTHS[code - 32] if 32 <= code <= 126 else 556
    return total * size / 1000 * (BOLD_IS_WIDER if bold else 1)


def wrap(words, size, room, bold=False):
    lines, line = [], ""
    for word in words.split():
        longer = f"{line} {word}".strip()
        if line and width(longer, size, bold) > room:
            lines.append(line)
            line = word
        else:
            line = longer
    return lines + [line]


def shown(words, x, y, size, bold=False):
    raw = words.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
    return b"BT /%s %d Tf %.1f %.1f Td (%s) Tj ET\n" % (b"B" if bold else b"F", size, x, y, raw)


class Pages:
    """Lines set from top to bottom; a new page begins where the old one is full."""

    def __init__(self):
        self.pages, self.y = [b""], PAGE_HEIGHT - MARGIN

    def need(self, height):
        if self.y - height < FOOT:
            self.pages.append(b"")
            self.y = PAGE_HEIGHT - MARGIN

    def line(self, words, size=11, bold=False, x=MARGIN):
        self.need(size * 1.4)
        self.y -= size * 1.4
        self.pages[-1] += shown(words, x, self.y, size, bold)

    def paragraph(self, words, size=11, bold=False, indent=0, mark=""):
        lines = wrap(words, size, PAGE_WIDTH - 2 * MARGIN - indent, bold)
        # A paragraph is not torn by the end of a page: what was one thought is read as one.
        self.need(size * 1.4 * len(lines))
        for number, line in enumerate(lines):
            if mark and number == 0:
                self.pages[-1] += shown(mark, MARGIN + indent - 16, self.y - size * 1.4, size)
            self.line(line, size, bold, MARGIN + indent)
        self.y -= 5

    def table(self, rows):
        room = PAGE_WIDTH - 2 * MARGIN
        widest = [max(min(width(row[i], 10, True), 190) for row in rows) + 12 for i in range(len(rows[0]))]
        widths = [room * one / sum(widest) for one in widest]
        for number, row in enumerate(rows):
            cells = [wrap(words, 10, room_for - 8, number == 0) for words, room_for in zip(row, widths)]
            height = 13 * max(map(len, cells)) + 4
            self.need(height)
            x = MARGIN
            for lines, room_for in zip(cells, widths):
                for down, line in enumerate(lines):
                    self.pages[-1] += shown(line, x, self.y - 13 * (down + 1), 10, number == 0)
                x += room_for
            self.y -= height
            self.pages[-1] += b"0.7 G %d %.1f m %d %.1f l S\n" % (MARGIN, self.y - 2, PAGE_WIDTH - MARGIN, self.y - 2)
        self.y -= 8


def pdf(parts, language):
    pages = Pages()
    for block in parts:
        if block[0] == "h":
            size = {1: 18, 2: 14}.get(block[1], 12)
            pages.y -= 8
            # A heading does not stand alone at the foot of a page.
            pages.need(size * 1.4 + 40)
            pages.paragraph(block[2], size, bold=True)
        elif block[0] == "p":
            pages.paragraph(block[1])
        elif block[0] == "table":
            pages.table(block[1])
        else:
            for number, item in enumerate(block[1], 1):
                pages.paragraph(item, indent=18, mark="•" if block[0] == "ul" else f"{number}.")
    return pdf_file(pages.pages, title_of(parts), language)


def pdf_file(pages, title, language):
    def string(words):
        return b"<" + ("\ufeff" + words).encode("utf-16-be").hex().encode() + b">"

    first = 6
    kids = b" ".join(b"%d 0 R" % (first + 2 * number) for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /Lang (%s) >>" % language.encode(),
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(pages)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
        b"<< /Title %s /Author %s /CreationDate (D:20261120080000Z) >>" % (string(title), string(AUTHOR)),
    ]
    for number, content in enumerate(pages, 1):
        content += shown(f"{AUTHOR} - {number}/{len(pages)}", MARGIN, 36, 8)
        packed = zlib.compress(content, 9)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Resources << /Font << /F 3 0 R /B 4 0 R >> >> /Contents %d 0 R >>"
            % (PAGE_WIDTH, PAGE_HEIGHT, first + 2 * number - 1)
        )
        objects.append(b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed))
    out, offsets = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return out + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R /Info 5 0 R >>\nstartxref\n%d\n%%%%EOF\n"
        % (len(objects) + 1, table, len(objects) + 1, len(out))
    )


# --- questions ------------------------------------------------------------------------------------


def passages(name):
    """The passages of a document as they stand in its text: paragraphs and list items."""
    source = next(SOURCES.glob(f"{name}.*"), DOCUMENTS / name).read_text(encoding="utf-8")
    if name.endswith(".html"):
        return [unescape(re.sub(r"<[^>]+>", "", one)) for one in re.findall(r"<(?:p|li)>(.*?)</(?:p|li)>", source, re.S)]
    found = []
    for chunk in re.split(r"\n\s*\n", source.replace("\r", "")):
        items = re.split(r"^(?:- |\d+\. )", chunk, flags=re.M)
        found += [item.strip() for item in items if item.strip() and not item.startswith(("#", "|"))]
    return found


def questions():
    """`questions.txt` as SQuAD: the context is the one passage that holds the answer."""
    data, entry, problems = [], None, []
    for number, line in enumerate((HERE / "questions.txt").read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("? "):
            asked = line[2:]
        elif line.startswith("= "):
            answer = line[2:]
            holders = [one for one in passages(entry["title"]) if answer in " ".join(one.split())]
            if len(holders) != 1:
                problems.append(f"questions.txt:{number}: {len(holders)} passages of {entry['title']} hold « {answer} »")
                continue
            # The passage keeps its own line breaks; the answer is looked for across them.
            match = re.search(r"\s+".join(map(re.escape, answer.split())), holders[0])
            context = next((one for one in entry["paragraphs"] if one["context"] == holders[0]), None)
            if context is None:
                context = {"context": holders[0], "qas": []}
                entry["paragraphs"].append(context)
            context["qas"].append({
                "id": f"depot-{number:03}", "question": asked, "is_impossible": False,
                "answers": [{"text": match[0], "answer_start": match.start()}],
            })
        elif line and not line.startswith("#"):
            entry = {"title": line, "language": language_of(line.rsplit("/", 1)[-1]), "paragraphs": []}
            data.append(entry)
    if problems:
        sys.exit("\n".join(problems))
    return json.dumps({"version": "depot-1", "data": data}, ensure_ascii=False, indent=1) + "\n"


# --- both ways ------------------------------------------------------------------------------------


def made():
    """Every generated file: its path and its bytes."""
    for source in sorted(SOURCES.glob("*/*")):
        target = DOCUMENTS / source.parent.name / source.stem
        words, language = source.read_text(encoding="utf-8"), language_of(source.name)
        if target.suffix == ".xlsx":
            yield target, xlsx(words, target.stem.replace("-", " ").capitalize())
        else:
            yield target, {".docx": docx, ".odt": odt, ".pdf": pdf}[target.suffix](blocks(words), language)
    yield QUESTIONS, questions().encode("utf-8")


def inside(path, data):
    """What a file says, apart from how it was compressed."""
    if path.suffix in (".docx", ".odt", ".xlsx"):
        with zipfile.ZipFile(io.BytesIO(data)) as pack:
            return [(name, pack.read(name)) for name in pack.namelist()]
    if path.suffix == ".pdf":
        return [zlib.decompress(one) for one in re.findall(rb"stream\n(.*?)\nendstream", data, re.S)]
    return data


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    stale, count = [], 0
    for path, data in made():
        count += 1
        if check:
            if not path.is_file() or inside(path, path.read_bytes()) != inside(path, data):
                stale.append(path.relative_to(HERE))
        elif not path.is_file() or inside(path, path.read_bytes()) != inside(path, data):
            path.write_bytes(data)
    if stale:
        sys.exit("demo: not as their sources say (make demo-files): " + ", ".join(map(str, stale)))
    documents = [one for one in DOCUMENTS.glob("*/*") if one.is_file()]
    print(f"demo: {len(documents)} documents, {count} of the files generated, all as their sources say")


if __name__ == "__main__":
    main()
