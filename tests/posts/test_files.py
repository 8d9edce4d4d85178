"""Files as shops, spreadsheets and marketplaces export them: read as they are meant, or refused with the reason."""

import csv
import gzip
import io
import json
import logging
import sys
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kembar.errors import CatalogError
from kembar.posts.catalog import Catalog, Columns
from kembar.posts.layout import Layout
from languages import TITLES, encoded
from places import DATA
from properties import examples

FIELD = DATA / "field" / "files"
IDS = ["SKU-1", "SKU-2", "SKU-3"]
NAMES = ["Botol minum Lion Star 1 liter biru", "Lion Star botol minum 1L biru", "Panci presto Maxim 20 cm"]
ROWS = "".join(f"{name},{title}\n" for name, title in zip(IDS, NAMES, strict=True))
CSV = "posting_id,title\n" + ROWS
Write = Callable[[bytes | str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(content: bytes | str, name: str = "posts.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return put


def zipped(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return out.getvalue()


def notes(catalog: Catalog) -> dict[str, int]:
    return {note.detail: note.count for note in catalog.notes}


def told(catalog: Catalog, words: str) -> int:
    """The count of the one note that has these words."""
    (count,) = [note.count for note in catalog.notes if words in note.detail]
    return count


FEED = "".join(
    f"<item><g:id>{name}</g:id><title>{title}</title><g:price>5 USD</g:price>"
    "<g:shipping><g:price>1 USD</g:price></g:shipping></item>"
    for name, title in zip(IDS, NAMES, strict=True)
)
RSS = f'<?xml version="1.0"?><rss xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title>{FEED}</channel></rss>'
RECORDS = [{"posting_id": name, "title": title} for name, title in zip(IDS, NAMES, strict=True)]
SEMICOLONS = CSV.replace(",", ";")
PADDED = "".join(f"{name},{title},,\n" for name, title in zip(IDS, NAMES, strict=True))

READ: dict[str, tuple[str, bytes | str, str]] = {  # what: name of the file, content, words of the note
    "gzip": ("posts.csv.gz", gzip.compress(CSV.encode()), "unpacked"),
    "gzip under another name": ("posts.csv", gzip.compress(CSV.encode()), "unpacked"),
    "gzip of JSON lines": ("p.jsonl.gz", gzip.compress("\n".join(map(json.dumps, RECORDS)).encode()), "unpacked"),
    "zip": ("posts.zip", zipped(posts__csv=CSV.encode()), "unpacked posts.zip/posts.csv"),
    "zip of a Mac": ("p.zip", zipped(**{"p__csv": CSV.encode(), "__MACOSX/x": b"x"}), "unpacked"),
    "JSON lines": ("posts.ndjson", "\n".join(map(json.dumps, RECORDS)), "utf-8"),
    "JSON list": ("posts.json", json.dumps(RECORDS), "utf-8"),
    "JSON of a shop": ("posts.json", json.dumps({"page": 1, "products": RECORDS}), "records under 'products'"),
    "JSON in UTF-16": ("posts.json", json.dumps(RECORDS).encode("utf-16"), "utf-16"),
    "RSS feed": ("feed.xml", RSS, "products of a feed of <rss>"),
    "RSS feed, gzipped": ("feed.xml.gz", gzip.compress(RSS.encode()), "products of a feed"),
    "feed under the name of a text": ("feed.txt", RSS, "products of a feed"),
    "separator line": ("posts.csv", "sep=;\n" + SEMICOLONS, "names the separator: ';'"),
    "quoted separator line": ("posts.csv", '"sep=;"\r\n' + SEMICOLONS, "names the separator"),
    "an unusual separator": ("posts.csv", "sep=^\n" + CSV.replace(",", "^"), "names the separator"),
    "lines before the header": ("posts.csv", "Export of shop 7\nDate: 2024-01-01\n\n" + CSV, "before the header"),
    "wider lines before": ("posts.csv", "Shop,7,Jakarta,Indonesia\n" + CSV, "before the header"),
    "blanks around names": ("posts.csv", CSV.replace("title\n", " title \n", 1), "blanks around them"),
    "byte order mark after quotes": ("posts.csv", '\ufeff"posting_id","title"\n' + ROWS, "byte order mark"),
    "trailing commas": ("posts.csv", "posting_id,title\n" + PADDED, "beyond the header"),
    "trailing commas everywhere": ("posts.csv", "posting_id,title,,\n" + PADDED, "utf-8"),
    "trailing commas in the header": ("posts.csv", "posting_id,title,,\n" + ROWS, "utf-8"),
    "empty rows": ("posts.csv", CSV + ",\n,\n", "without any of the wanted cells"),
    "empty longer rows": ("posts.csv", CSV + ",,,\n", "rows of empty cells"),
    "a total at the end": ("posts.csv", CSV + "Grand Total,\n", "totals"),
    "a total in Indonesian": ("posts.csv", CSV + "Jumlah:,\n", "totals"),
    "a header that returns": ("posts.csv", CSV + "posting_id,title\n", "repeated headers"),
    "a Shopee template": (
        "posts.csv",
        "posting_id,title\net_title_product_id,et_title_product_name\nWajib,Wajib\n" + ROWS,
        "rows of a template",
    ),
    "a template with sentences": (
        "posts.csv",
        "et_title_product_id,et_title_product_name\nKode Produk,Nama Produk\nWajib,Opsional\n"
        "Isi dengan kode produk,Nama 20 sampai 255 huruf\n" + ROWS,
        "rows of a template",
    ),
    "backslashes before quotes": (
        "posts.csv",
        'posting_id,title\n"SKU-1","Botol minum \\"Lion\\" Star"\n',
        "quotes behind backslashes",
    ),
    "old Mac line ends": ("posts.csv", CSV.replace("\n", "\r"), "carriage returns"),
    "text named .xls": ("posts.xls", CSV.replace(",", "\t"), "utf-8"),
    "names in capitals": ("posts.csv", CSV.replace("posting_id,title", "POSTING_ID,Title"), "found by name"),
}


@pytest.mark.parametrize("what", READ)
def test_read_and_noted(write: Write, what: str) -> None:
    name, content, words = READ[what]
    catalog = Catalog.read(write(content, name))
    if what == "backslashes before quotes":
        assert catalog.titles.to_list() == ['Botol minum "Lion" Star']
    else:
        assert catalog.ids.to_list() == IDS
        assert catalog.titles.to_list() == NAMES
    assert any(words in detail for detail in notes(catalog)), notes(catalog)
    assert len(catalog.problems) == 0


BOMB = "posting_id,title\n" + "a," + "x" * (80 << 20)
ENTITIES = '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><rss><item><id>&b;</id></item></rss>'
REFUSED: dict[str, tuple[str, bytes | str, tuple[str, ...]]] = {
    "empty file": ("posts.csv", b"", ("an empty file",)),
    "empty file in gzip": ("posts.csv.gz", gzip.compress(b""), ("an empty file inside",)),
    "gzip cut short": ("posts.csv.gz", gzip.compress(CSV.encode())[:40], ("does not unpack", "cut short")),
    "gzip damaged": ("p.gz", gzip.compress(CSV.encode())[:-8] + bytes(8), ("does not unpack",)),
    "gzip in gzip": ("p.csv.gz", gzip.compress(gzip.compress(CSV.encode())), ("another archive inside",)),
    "gzip bomb": ("p.csv.gz", gzip.compress(BOMB.encode(), 1), ("unpacks to more than 200 times",)),
    "zip with two tables": ("p.zip", zipped(a__csv=b"1", b__csv=b"2"), ("2 files inside: 'a.csv', 'b.csv'",)),
    "zip with nothing": ("p.zip", zipped(), ("0 files inside",)),
    "zip bomb": ("p.zip", zipped(a__csv=BOMB.encode()), ("looks like a bomb",)),
    "zip cut short": ("p.zip", zipped(a__csv=CSV.encode())[:60], ("does not unpack",)),
    "HTML": ("p.xls", "<html><table><tr><td>posting_id</td></tr></table></html>", ("HTML table named .xls", ".xlsx")),
    "HTML as CSV": ("p.csv", "\n <!DOCTYPE html><html></html>", ("an HTML table",)),
    "JSON cut short": ("p.json", json.dumps(RECORDS)[:-20], ("no JSON",)),
    "JSON lines cut short": ("p.jsonl", json.dumps(RECORDS[0]) + "\n" + '{"posting_id": ', ("line 2",)),
    "JSON of columns": ("p.json", json.dumps({"posting_id": {"0": "a"}}), ("orient='records'",)),
    "JSON of two lists": ("p.json", json.dumps({"a": RECORDS, "b": RECORDS}), ("2 lists of records: 'a', 'b'",)),
    "JSON of numbers": ("p.json", "[1, 2]", ("'1' as record 1",)),
    "JSON nested without end": ("p.json", "[" * 100_000, ("no JSON",)),
    "nested ids": (
        "p.json",
        json.dumps([{"posting_id": {"x": 1}, "title": "a"}]),
        ("a list or an object as 'posting_id' of record 1",),
    ),
    "entity bomb": ("p.xml", ENTITIES, ("declares the entity 'a'", "bomb")),
    "XML without products": ("p.xml", "<r><a>1</a></r>", ("XML of <r> without products", "<item>")),
    "XML cut short": ("p.xml", RSS[:300], ("no well-formed XML",)),
    "a short row": ("p.csv", "posting_id,title,x\nSKU-1,a\n", ("line 2: 2 cells", "bad_rows=...")),
    "a long row": ("p.csv", "Shop\n" + CSV + "SKU-4,a,b\n", ("line 6: 3 cells", "bad_rows=...")),
    "an open quote": ("p.csv", CSV + 'SKU-4,"a\n', ("does not parse",)),
    "two ids": (
        "p.csv",
        CSV.replace("posting_id", "sku,product_id").replace("SKU", "1,SKU"),
        ("'product_id' and 'sku'",),
    ),
    "ids that differ in blanks": ("p.csv", CSV + "SKU-1 ,x\n", ("'SKU-1' and 'SKU-1 '", "blanks around them")),
    "only totals": ("p.csv", "posting_id,title\nTotal,\n", ("no rows",)),
    "a workbook that is none": ("p.xlsx", b"PK\x03\x04" + bytes(100), ()),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_with_the_reason(write: Write, what: str) -> None:
    name, content, parts = REFUSED[what]
    if what == "a workbook that is none":
        pytest.importorskip("fastexcel")
    with pytest.raises(CatalogError) as caught:
        Catalog.read(write(content, name))
    for part in parts:
        assert part in str(caught.value), caught.value


@pytest.mark.skipif(not FIELD.exists(), reason="the cases from the field are not here; set KEMBAR_DATA")
def test_the_cases_from_the_field() -> None:
    for path in sorted(FIELD.iterdir()):
        if path.suffix == ".xls":
            with pytest.raises(CatalogError, match="HTML table"):
                Catalog.read(path)
        elif path.name != "expected.txt":
            catalog = Catalog.read(path)
            assert len(catalog) == {"gbk.csv": 4, "cp1251.csv": 4, "shopify.csv": 2}.get(path.name, 3)
            assert not catalog.titles.str.contains("[À-ÿ\ufffd]").any()


# what the user says overrides


def test_rows_to_skip(write: Write) -> None:
    path = write("a,b\nc,d\n" + CSV)
    assert Catalog.read(path, layout=Layout(skip_rows=2)).ids.to_list() == IDS
    with pytest.raises(CatalogError, match="without a column"):
        Catalog.read(path, layout=Layout(skip_rows=1))
    below = Catalog.read(path, layout=Layout(skip_rows=2, skip_after=1))
    assert below.ids.to_list() == IDS[1:]
    assert told(below, "as asked") == 1
    kept = write("posting_id,title\nWajib,Wajib\n" + ROWS, "kept.csv")
    assert Catalog.read(kept, layout=Layout(skip_after=0)).ids.to_list() == ["Wajib", *IDS]


def test_bad_rows_are_left_out_and_counted(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    path = write(CSV + "SKU-4\nSKU-5,a,b\nSKU-6,fine\n")
    catalog = Catalog.read(path, layout=Layout(bad_rows="skip"))
    assert catalog.ids.to_list() == [*IDS, "SKU-6"]
    assert told(catalog, "(lines 5, 6)") == 2
    assert "2 rows with more or fewer cells" in caplog.text


@pytest.mark.parametrize("wrong", [{"bad_rows": "drop"}, {"skip_rows": -1}, {"skip_after": True}, {"skip_rows": "2"}])
def test_what_is_said_is_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(CatalogError, match=next(iter(wrong))):
        Layout(**wrong)  # type: ignore[arg-type]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (CSV.encode(), gzip.compress(CSV.encode()), json.dumps(RECORDS).encode(), RSS.encode()):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert Catalog.read("-").ids.to_list() == IDS
    out = io.BytesIO()
    pl.DataFrame(RECORDS).write_parquet(out)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(out.getvalue())))
    assert Catalog.read("-").ids.to_list() == IDS
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(CatalogError, match="standard input, an empty file"):
        Catalog.read("-")


def test_a_folder_of_parts(tmp_path: Path) -> None:
    folder = tmp_path / "posts.parquet"
    folder.mkdir()
    with pytest.raises(CatalogError, match="without Parquet files"):
        Catalog.read(folder)
    for part in (0, 1):
        pl.DataFrame(RECORDS[part : 2 * part + 1]).write_parquet(folder / f"part-{part}.parquet")
    (folder / "_SUCCESS").touch()
    assert Catalog.read(folder).ids.to_list() == IDS


def test_numbers_in_json_keep_their_digits(write: Write) -> None:
    path = write(
        '[{"posting_id": 12345678901234567890123, "title": 1.50}, {"posting_id": 7, "title": null, "more": []}]',
        "p.json",
    )
    catalog = Catalog.read(path)
    assert catalog.ids.to_list() == ["12345678901234567890123", "7"]
    assert catalog.titles.to_list() == ["1.50", ""]


def test_a_header_of_100_000_columns(write: Write) -> None:
    names = ",".join(f"c{at}" for at in range(100_000))
    catalog = Catalog.read(write(f"{names},posting_id,title\n{',' * 99_999},a,kopi\n{',' * 99_999},b,teh\n"))
    assert catalog.titles.to_list() == ["kopi", "teh"]


def test_null_bytes_in_ids_and_titles(write: Write) -> None:
    assert (
        Catalog.read(write("posting_id,title,x\na,ko\x00pi,\nb,teh,\nc,susu dan roti,\n")).titles.to_list()[0] == "kopi"
    )


# columns found by name

EXPORTS = {
    "Shopify": "Handle,Title,Vendor,Variant Price,Image Src,Variant Barcode",
    "Shopee": "et_title_product_id,et_title_product_name,ps_brand,ps_price,ps_item_cover_image,ps_gtin_code",
    "Lazada": "SellerSKU,*Product Name(English),Brand,SpecialPrice,Product Images1,Barcode EAN",
    "Tokopedia": "Kode Produk,Nama Produk*,Merek,Harga (Rp)*,Foto Produk 1*,GTIN",
    "Amazon": "item_sku,item_name,brand_name,standard_price,main_image_url,external_product_id",
    "eBay": "Item number,Title,C:Brand,Current price,PicURL,P:EAN",
    "WooCommerce": 'ID,Name,Brands,Regular price,Images,"GTIN, UPC, EAN, or ISBN"',
    "Magento": "sku,name,manufacturer,price,base_image,ean",
    "Google Merchant": "id,title,brand,price,image_link,gtin",
}


@pytest.mark.parametrize("shop", EXPORTS)
def test_exports_are_known_by_their_columns(write: Write, caplog: pytest.LogCaptureFixture, shop: str) -> None:
    rows = (
        "x,a1,Botol minum biru,Lion,25000,a.jpg,4006381333931,Bottles\nx,a2,Panci,Maspion,90,b.jpg,5901234123457,Pans\n"
    )
    catalog = Catalog.read(write(f"Note,{EXPORTS[shop]},Category\n{rows}"))
    assert catalog.ids.to_list() == ["a1", "a2"]
    assert catalog.titles.to_list() == ["Botol minum biru", "Panci"]
    assert catalog.images.to_list() == ["a.jpg", "b.jpg"]
    assert catalog.prices is not None
    assert catalog.prices.tolist() == [25000.0, 90.0]
    assert catalog.further is not None
    assert catalog.further["brand"].to_list() == ["Lion", "Maspion"]
    assert catalog.identifiers is not None
    codes = catalog.identifiers.to_series().str.strip_chars_start("0")  # padded where its name says GTIN
    assert codes.to_list() == ["4006381333931", "5901234123457"]
    assert shop in caplog.text or shop in ("Shopee", "Tokopedia")  # which share names
    assert catalog.within is None


def test_what_is_named_is_not_looked_for(write: Write) -> None:
    path = write(f"{EXPORTS['Shopify']}\na1,Botol,Lion,5,a.jpg,1\n")
    named = Catalog.read(path, columns=Columns(id="Variant Barcode", title="Vendor", image=None))
    assert named.ids.to_list() == ["1"]
    assert named.titles.to_list() == ["Lion"]
    assert named.images.to_list() == [""]
    both = write("posting_id,title,Handle,Title,Image Src\np,mine,h,theirs,a.jpg\n", "both.csv")
    assert Catalog.read(both).titles.to_list() == ["mine"]


def test_rows_of_one_product_are_joined(write: Write) -> None:
    text = (
        "Handle,Title,Image Src,Variant Price,Variant Barcode\n"
        "a,Botol,1.jpg,,\na,,2.jpg,5,4006381333931\nb,Panci,3.jpg,9,4006381333931\na,,1.jpg,6,5901234123457\nb,,,,\n"
        "c,Wajan,,7,5901234123457\n"
    )
    catalog = Catalog.read(write(text))
    assert catalog.ids.to_list() == ["a", "b", "c"]
    assert catalog.further_images is not None
    assert [catalog.images[0], catalog.further_images.row(0)] == ["1.jpg", ("2.jpg",)]
    assert catalog.prices is not None
    assert catalog.prices.tolist() == [5.0, 9.0, 7.0]
    assert catalog.identifiers is not None
    assert catalog.identifiers["Variant Barcode"].to_list() == ["", "04006381333931", "05901234123457"]
    assert told(catalog, "several rows") == 2
    with pytest.raises(CatalogError, match="several posts share"):
        Catalog.read(write("Handle,Title,Image Src\na,Botol,1\na,Panci,2\n"))


def test_padded_ids_are_kept_and_noted(write: Write) -> None:
    catalog = Catalog.read(write("posting_id,title\nA ,x\nB ,y\n"))
    assert catalog.ids.to_list() == ["A ", "B "]
    assert told(catalog, "blanks around them, kept") == 2
    assert told(Catalog.read(write("posting_id,title\n1.73E+17,x\n5,y\n")), "scientific notation") == 1


def test_notes_are_saved_with_the_catalogue(write: Write, tmp_path: Path) -> None:
    catalog = Catalog.read(write("sep=;\n" + SEMICOLONS))
    catalog.save(tmp_path / "saved")
    assert Catalog.load(tmp_path / "saved").notes == catalog.notes != ()
    assert catalog.take([0]).notes == catalog.notes


# workbooks


def workbook(path: Path, *sheets: tuple[str, list[list[object]]], merged: str = "", formula: object = 0) -> Path:
    xlsxwriter = pytest.importorskip("xlsxwriter")
    pytest.importorskip("fastexcel")
    with xlsxwriter.Workbook(path) as book:
        date = book.add_format({"num_format": "yyyy-mm-dd"})
        for name, rows in sheets:
            sheet = book.add_worksheet(name)
            for at, row in enumerate(rows):
                for place, cell in enumerate(row):
                    if isinstance(cell, str) and cell.startswith("="):
                        sheet.write_formula(at, place, cell, None, formula)
                    elif hasattr(cell, "year"):
                        sheet.write_datetime(at, place, cell, date)
                    else:
                        sheet.write(at, place, cell)
            if merged:
                sheet.merge_range(merged, "merged")
    return path


def test_a_workbook(tmp_path: Path) -> None:
    rows: list[list[object]] = [["Shop 7"], [" posting_id", "title ", "price"], ["007", "a", 1.5], [7, 12, "Rp 5"], []]
    path = workbook(tmp_path / "p.xlsx", ("About", [["words"]]), ("Products", rows))
    catalog = Catalog.read(path)
    assert catalog.ids.to_list() == ["007", "7"]
    assert catalog.titles.to_list() == ["a", "12"]
    assert catalog.prices is not None
    assert catalog.prices.tolist() == [1.5, 5.0]
    assert told(catalog, "sheet 'Products'") == 0
    assert told(catalog, "before the header") == 1
    with pytest.raises(CatalogError, match="without a sheet 'Nope'; it has 'About', 'Products'"):
        Catalog.read(path, layout=Layout(sheet="Nope"))
    two = workbook(tmp_path / "two.xlsx", ("A", rows), ("B", rows))
    with pytest.raises(CatalogError, match="2 sheets of posts: 'A', 'B'"):
        Catalog.read(two)
    assert len(Catalog.read(two, layout=Layout(sheet="B"))) == 2


def test_what_a_spreadsheet_did_to_a_workbook(tmp_path: Path) -> None:
    import datetime

    rows: list[list[object]] = [["posting_id", "title"], [datetime.date(2024, 3, 5), "=1+1"], ["b", "=A1"], ["c", "d"]]
    computed = Catalog.read(workbook(tmp_path / "computed.xlsx", ("A", rows), formula="kopi"))
    assert computed.titles.to_list() == ["kopi", "kopi", "d"]
    assert told(computed, "that are dates") == 1
    empty = Catalog.read(workbook(tmp_path / "empty.xlsx", ("A", rows), formula="", merged="D1:D9"))
    assert empty.titles.to_list() == ["", "", "d"]
    assert told(empty, "formulas without a stored value") == 2
    assert told(empty, "merged cells") == 1
    long = [["posting_id", "title"], [173081234567890123, "x"], [173081234567891111, "y"]]
    assert told(Catalog.read(workbook(tmp_path / "long.xlsx", ("A", long))), "more than 15 digits") == 2
    text = [["posting_id", "title"], ["173081234567890123", "x"], ["173081234567891111", "y"]]
    assert not any("digits" in detail for detail in notes(Catalog.read(workbook(tmp_path / "t.xlsx", ("A", text)))))


def test_a_workbook_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.xlsx"
    path.write_bytes(zipped(**{"xl/workbook.xml": b"<x/>"}))
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    with pytest.raises(ImportError, match=r"pip install 'kembar\[excel\]'"):
        Catalog.read(path)


# any table, in any form, is read as it was or refused


def as_csv(rows: list[tuple[str, str]], data: st.DataObject) -> str:
    """Write a table with any separator, line end, quoting and irregularities."""
    draw = data.draw
    separator, end = draw(st.sampled_from(",\t;|")), draw(st.sampled_from(["\n", "\r\n"]))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    odd = draw(
        st.sets(st.sampled_from(["sep", "before", "blanks", "trailing", "empty", "total", "template", "blank lines"]))
    )
    out = io.StringIO(newline="")
    escaping: dict[str, object] = {"doublequote": False, "escapechar": "\\"} if draw(st.booleans()) else {}
    if any("\\" in cell for row in rows for cell in row):
        escaping = {}  # a backslash of its own is not told from one that escapes
    writer = csv.writer(out, delimiter=separator, lineterminator=end, quoting=quoting, **escaping)  # type: ignore[arg-type]
    if "sep" in odd:
        out.write(f"sep={separator}{end}")
    if "before" in odd:
        out.write(f"Export of a shop{end}{end}")
    pad = ("", "") if "trailing" in odd else ()
    writer.writerow(["posting_id ", " title"] if "blanks" in odd else ["posting_id", "title"])
    if "template" in odd:
        writer.writerow(["Mandatory", "Optional"])
    for row in rows:
        writer.writerow([*row, *pad])
        out.write(end if "blank lines" in odd else "")
    if "empty" in odd:
        writer.writerow(["", "", *pad])
    if "total" in odd:
        writer.writerow(["Total", "", *pad])
    return out.getvalue()


def as_file(rows: list[tuple[str, str]], encoding: str, data: st.DataObject) -> tuple[str, bytes]:
    kind = data.draw(st.sampled_from(["csv", "csv", "csv", "jsonl", "json", "xml"]))
    records = [{"posting_id": name, "title": title} for name, title in rows]
    if kind == "csv":
        content = encoded(as_csv(rows, data), encoding)
    elif kind == "xml":
        items = "".join(f"<item><posting_id>{escape(a)}</posting_id><title>{escape(b)}</title></item>" for a, b in rows)
        content = f"<rss>{items}</rss>".encode()
    else:
        lines = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
        content = encoded(json.dumps(records, ensure_ascii=False) if kind == "json" else lines, encoding)
    packing = data.draw(st.sampled_from(["", ".gz", ".zip"]))
    name = f"posts.{kind}"
    if packing == ".zip":
        content = zipped(**{name: content})
    return name + packing, gzip.compress(content) if packing == ".gz" else content


UNICODE = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]
SPECIAL = ["a, b", 'say "hi"', "two\nlines", "semi; colon | bar", "12\" x 3'", "back\\slash", '"x"y', "tab\there", "="]


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[tuple[str, str]], str]:
    language = draw(st.sampled_from(sorted(TITLES)))
    encodings, titles = TITLES[language]
    chosen = draw(st.lists(st.sampled_from([*titles, *titles, *SPECIAL]), min_size=1, max_size=8))
    ids = draw(
        st.lists(
            st.from_regex(r"[A-Z]{1,3}[ -]?[0-9]{1,6}", fullmatch=True),
            min_size=len(chosen),
            max_size=len(chosen),
            unique=True,
        )
    )
    return list(zip(ids, chosen, strict=True)), draw(st.sampled_from([*UNICODE, *encodings]))


@given(table=tables(), data=st.data())
@examples(150)
def test_any_table_is_read_as_it_was_or_refused(
    tmp_path_factory: pytest.TempPathFactory, table: tuple[list[tuple[str, str]], str], data: st.DataObject
) -> None:
    rows, encoding = table
    name, content = as_file(rows, encoding, data)
    path = tmp_path_factory.mktemp("any") / name
    path.write_bytes(content)
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("kembar.posts.encodings")
    logger.addHandler(handler)
    try:
        catalog = Catalog.read(path)
    except CatalogError:
        return
    finally:
        logger.removeHandler(handler)
    found = [(a, unicodedata.normalize("NFC", b)) for a, b in zip(catalog.ids, catalog.titles, strict=True)]
    expected = [(a, unicodedata.normalize("NFC", b if b != "=" else "")) for a, b in rows]
    assert found == expected or any("--encoding" in line for line in heard), (found, content)


@given(table=tables(), data=st.data())
@examples(60)
def test_any_table_in_unicode_is_read(
    tmp_path_factory: pytest.TempPathFactory, table: tuple[list[tuple[str, str]], str], data: st.DataObject
) -> None:
    rows = [(name, title.replace("\\", "/")) for name, title in table[0]]
    name, content = as_file(rows, "utf-8", data)
    path = tmp_path_factory.mktemp("unicode") / name
    path.write_bytes(content)
    assert Catalog.read(path).ids.to_list() == [name for name, _ in rows]
