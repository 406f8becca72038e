"""Documents are read as a stream: what is broken is named with its line, and what is in them is counted."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.model.document import Document
from onec_twisted.storage import document
from onec_twisted.storage.document import DocumentBroken, picture_path, read_document

GOODS = """<?xml version="1.0" encoding="{encoding}"?>
<КоммерческаяИнформация xmlns="urn:1C.ru:commerceml_2" ВерсияСхемы="2.08">
 <Классификатор><Группы><Группа><Группы><Группа/></Группы></Группа></Группы></Классификатор>
 <Каталог СодержитТолькоИзменения="{changes}"><Товары>
  <Товар><Группы><Ид>1</Ид></Группы><Картинка>import_files/ab/x.jpg</Картинка><Картинка>import_files/ab/y.jpg</Картинка></Товар>
  <Товар><Картинка/></Товар>
 </Товары></Каталог>
</КоммерческаяИнформация>"""

OFFERS = """<КоммерческаяИнформация ВерсияСхемы="2.08"><ПакетПредложений><Предложения>
 <Предложение><Цены><Цена><ЦенаЗаЕдиницу>1</ЦенаЗаЕдиницу></Цена><Цена/></Цены><Остатки><Остаток/></Остатки></Предложение>
</Предложения></ПакетПредложений></КоммерческаяИнформация>"""

ORDERS = """<КоммерческаяИнформация><Контейнер>
 <Документ><Товары><Товар><Картинка>a.jpg</Картинка></Товар></Товары></Документ><Документ/>
</Контейнер></КоммерческаяИнформация>"""


def read(content: bytes, *pictures: str, size: int | None = None) -> Document:
    """Return what is found in a document of a session that has these pictures."""
    fd = os.memfd_create("document")
    try:
        os.write(fd, content)
        return read_document("a.xml", fd, len(content) if size is None else size, pictures.__contains__)
    finally:
        os.close(fd)


def goods(encoding: str = "utf-8", changes: str = "true") -> bytes:
    """Return a document with goods."""
    return GOODS.format(encoding=encoding, changes=changes).encode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "windows-1251", "koi8-r", "cp866", "iso-8859-5"])
def test_what_is_in_it_is_counted(encoding: str) -> None:
    """Whatever its encoding is; goods in groups are not groups."""
    assert read(goods(encoding), "import_files/ab/x.jpg") == Document(
        name="a.xml",
        root="КоммерческаяИнформация",
        version="2.08",
        changes_only=True,
        products=2,
        offers=0,
        prices=0,
        rests=0,
        orders=0,
        groups=2,
        pictures=3,
        missing=1,
        missing_names=("import_files/ab/y.jpg",),
    )


def test_offers_have_prices_and_rests() -> None:
    """A price's parts are no prices."""
    found = read(OFFERS.encode())

    assert (found.offers, found.prices, found.rests, found.changes_only) == (1, 2, 1, None)


def test_goods_in_orders_are_lines_of_them() -> None:
    """Neither they nor their pictures count."""
    found = read(ORDERS.encode())

    assert (found.orders, found.products, found.pictures, found.missing) == (2, 0, 0, 0)


@pytest.mark.parametrize(
    ("inside", "changes"),
    [
        ("<Каталог/>", None),
        ("<Каталог СодержитТолькоИзменения='false'/>", False),
        ("<Каталог СодержитТолькоИзменения='1'/><ПакетПредложений СодержитТолькоИзменения='false'/>", True),
        ("<ПакетПредложений СодержитТолькоИзменения='false'/><ИзмененияПакетаПредложений/>", True),
        ("<Товар СодержитТолькоИзменения='true'/>", None),
    ],
)
def test_changes_are_told_from_a_full_export(inside: str, changes: bool | None) -> None:
    """If one part has only changes, nothing may be deleted; what is not said is not guessed."""
    assert read(f"<КоммерческаяИнформация>{inside}</КоммерческаяИнформация>".encode()).changes_only is changes


def test_another_root_is_no_error() -> None:
    """Other systems send other XML."""
    found = read(b'<yml_catalog date="2026-11-23"><shop/></yml_catalog>\n<!-- end -->\n')

    assert (found.root, found.version, found.products) == ("yml_catalog", "", 0)


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1251", "utf-16"])
def test_a_document_cut_anywhere_breaks_off(encoding: str) -> None:
    """At every byte, whatever is cut: a name, a character, a declaration."""
    whole = goods(encoding)
    for cut in range(1, len(whole)):
        with pytest.raises(DocumentBroken, match=r"^breaks off at line \d+$"):
            read(whole[:cut])


@given(content=st.binary(max_size=200) | st.text("<>/!?[]&;#\"'= aЯ-x\n\0CDATDOYP", max_size=60).map(str.encode))
def test_no_bytes_do_harm(content: bytes) -> None:
    """They are a document, or broken."""
    with suppress(DocumentBroken):
        assert read(content).root


@given(st.binary(min_size=1, max_size=20).filter(lambda end: end.strip(b" \t\r\n")))
def test_nothing_may_follow_the_root(end: bytes) -> None:
    """But for white space, comments and instructions."""
    try:
        read(goods() + end)
    except DocumentBroken:
        return
    assert end.strip().startswith((b"<!--", b"<?"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n ", "breaks off at line 2"),
        (goods() + b"\0\0", "is not well-formed at line 8: invalid token"),
        (b"<a>\n</b>", "is not well-formed at line 2: mismatched tag"),
        (b"<a/>\n<b/>", "is not well-formed at line 2: junk after document element"),
        (b"PK\x03\x04", "is not well-formed at line 1: invalid token"),
        ("<a>я</a>".encode("cp1251"), "is not well-formed at line 1: invalid token"),
        (b"\n" * 12_344 + b"<a>", "breaks off at line 12,345"),
        (b'<?xml version="1.0" encoding="nope"?><a/>', "has an encoding that is not known"),
        (b'<?xml version="1.0" encoding="gbk"?><a/>', "has an encoding that is not known"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "declares entities, which are not read"),
        (
            b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
            "declares entities, which are not read",
        ),
        (b"<a>" * 1001, "has more than 1,000 elements inside one another"),
        (b'<a b="' + b"c" * 9_000_000, "has a tag that is too long at line 1"),
    ],
)
def test_what_is_wrong_is_said(content: bytes, words: str) -> None:
    """In words that follow the document's name."""
    with pytest.raises(DocumentBroken) as broken:
        read(content)
    assert str(broken.value) == words


def test_an_external_description_is_not_fetched() -> None:
    """The document is read without it."""
    assert read(b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><a>&b;</a>').root == "a"


def test_bytes_that_were_not_acknowledged_are_not_read() -> None:
    """They are those of a piece on its way."""
    whole = goods()

    assert read(whole + b"<", size=len(whole)).products == 2
    with pytest.raises(DocumentBroken, match=f"^has {len(whole):,} of its {len(whole) + 1:,} bytes$"):
        read(whole, size=len(whole) + 1)


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("import_files/ab/x.jpg", "import_files/ab/x.jpg"),
        (r" .\import_files\ab\x.jpg ", "import_files/ab/x.jpg"),
        ("/import_files//x.jpg", "import_files/x.jpg"),
        ("../../etc/passwd", ""),
        ("import_files/.hidden", ""),
        ("", ""),
    ],
)
def test_pictures_are_named_as_uploads_are(written: str, path: str) -> None:
    """None can lie outside of the document's folder."""
    assert picture_path(written) == path


def test_pictures_elsewhere_are_missing_and_those_at_an_address_are_not() -> None:
    """Only so many names are kept, each once; all are counted."""
    names = [
        "../x.jpg",
        "https://shop.example/x.jpg",
        "a" * 5000,
        *(f"{number}.jpg" for number in range(30)),
        "0.jpg",
    ]
    inside = "".join(f"<Картинка>{name}</Картинка>" for name in names)
    found = read(f"<a>{inside}</a>".encode())

    assert (found.pictures, found.missing) == (34, 33)
    assert found.missing_names == ("../x.jpg", "a" * 1024, *(f"{number}.jpg" for number in range(18)))


def test_its_memory_does_not_grow_with_it() -> None:
    """Neither with its text nor with its elements."""
    body = "<Товар><Картинка>import_files/x.jpg</Картинка><Описание>слово </Описание></Товар>" * 100_000
    content = (
        f"<КоммерческаяИнформация>{body}<Картинка>{'x' * 3_000_000}</Картинка></КоммерческаяИнформация>".encode()
    )
    tracemalloc.start()
    found = read(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found.products == 100_000
    assert peak < 2_000_000


@pytest.mark.executed("without site-packages")
def test_it_needs_nothing_that_is_installed() -> None:
    """A program that starts without site-packages imports it."""
    root = str(Path(document.__file__).parents[2])
    script = f"import sys; sys.path.append({root!r}); import onec_twisted.storage.document; print(len(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)

    assert int(done.stdout) < 120
