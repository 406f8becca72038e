"""A node that behaves as 1C:Trade 11.5 does, with that client's own checks, and an export as it makes one.

What it sends and checks is in docs/protocol.md, N1 to N7; its words are those that the 1C user would read.
"""

from __future__ import annotations

import hashlib
import io
import random
import zipfile
from base64 import b64encode
from http.client import HTTPConnection
from typing import TYPE_CHECKING, BinaryIO
from xml.etree import ElementTree as ET

from attrs import define, field

if TYPE_CHECKING:
    from pathlib import Path

PATH = "/1c_exchange.php"
TIMEOUT = 180
"""Seconds that 1C:Trade waits for an answer."""


class ExchangeFailed(Exception):
    """What the 1C user would read."""


def string_count(text: str) -> int:
    """Count lines as the platform does, in its stricter reading: a trailing LF begins one more."""
    return text.count("\n") + 1


@define(eq=False)
class Trade:
    """1C:Trade 11.5 and its exchange with one site."""

    host: str
    port: int
    user: str = "shop"
    password: str = "secret"
    connection: HTTPConnection = field(init=False)
    cookie: str = field(default="", init=False)
    sessid: str = field(default="", init=False)
    zipped: bool = field(default=False, init=False)
    file_limit: int = field(default=-1, init=False)
    pieces: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        """Connect as the platform does: one connection for the whole exchange."""
        self.connection = HTTPConnection(self.host, self.port, timeout=TIMEOUT)

    def close(self) -> None:
        """End the exchange."""
        self.connection.close()

    def go_on_at(self, port: int) -> None:
        """Connect anew, with the cookie that it has."""
        self.connection.close()
        self.connection = HTTPConnection(self.host, port, timeout=TIMEOUT)

    def _ask(self, query: str, body: bytes | memoryview | None = None) -> str:
        """Send one request with the headers of the platform, and return the text of the answer."""
        headers = {
            "User-Agent": "1C+Enterprise/8.3",
            "Accept": "*/*",
            "Authorization": "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode(),
        }
        if self.cookie:
            headers["Cookie"] = self.cookie
        method = "GET" if body is None else "POST"
        self.connection.request(method, f"{PATH}?{query}", body=body, headers=headers)
        response = self.connection.getresponse()
        text = response.read().decode("utf-8")
        if response.status != 200:
            raise ExchangeFailed(f"HTTP {response.status}: {text}")
        return text

    def checkauth(self) -> None:
        """Log in, and remember the cookie and the sessid."""
        lines = self._ask("type=catalog&mode=checkauth").split("\n")
        if lines[0].strip().lower() != "success":
            raise ExchangeFailed("Check the user name and password")
        self.cookie = f"{lines[1]}={lines[2]}"
        self.sessid = lines[3].replace("sessid=", "") if len(lines) > 3 else ""

    def init(self) -> None:
        """Learn whether to pack, and how large a piece may be; exactly two lines are understood."""
        text = self._ask(f"type=catalog&mode=init&sessid={self.sessid}")
        if string_count(text) != 2:
            raise ExchangeFailed("The parameters of the exchange were not received")
        first, second = text.split("\n")
        self.zipped = first.strip().lower() == "zip=yes"
        try:
            limit = int(second.replace("file_limit=", ""))
        except ValueError:
            limit = 0
        self.file_limit = limit if limit > 0 else -1

    def send_file(self, name: str, content: bytes | memoryview) -> None:
        """Send one piece; the name goes into the URL as it is."""
        text = self._ask(f"type=catalog&mode=file&filename={name}&sessid={self.sessid}", content)
        self.pieces += 1
        if not text:
            raise ExchangeFailed("An empty answer was received")
        lines = text.split("\n")
        if lines[0].strip().lower() == "failure":
            raise ExchangeFailed(text)
        if lines[0].strip().lower() != "success":
            raise ExchangeFailed("The state of the operation was not received; the file was not sent")
        if string_count(text) > 1:
            raise ExchangeFailed("An extended state of success was received")

    def send_split(self, name: str, file: BinaryIO, size: int) -> None:
        """Send a file, cut into pieces of exactly the limit when it is larger."""
        limit = self.file_limit if 0 < self.file_limit < size else size
        for _ in range(0, max(size, 1), max(limit, 1)):
            self.send_file(name, memoryview(file.read(limit)))

    def import_file(self, name: str) -> None:
        """Ask for the import, again and again while there is progress."""
        while True:
            text = self._ask(f"type=catalog&mode=import&filename={name}&sessid={self.sessid}")
            state = text.split("\n")[0].strip().lower()
            if state == "success":
                return
            if state != "progress":
                raise ExchangeFailed(text)

    def export(self, folder: Path, archive: Path | None = None) -> None:
        """Run a whole cycle over an exchange directory: checkauth, init, every file, every import.

        ``archive`` is the zip that 1C would pack now from the directory, when the site wants one.
        """
        self.checkauth()
        self.init()
        documents = sorted(path for path in folder.glob("*.xml"))
        if self.zipped:
            assert archive is not None
            files = [archive]
        else:
            files = documents + sorted(path for path in folder.rglob("*") if path.is_file() and path.parent != folder)
        for path in files:
            name = path.name if path == archive else path.relative_to(folder).as_posix()
            with path.open("rb") as file:
                self.send_split(name, file, path.stat().st_size)
        for document in documents:
            self.import_file(document.name)
        self.close()


def packed(contents: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an archive with these files."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", packing) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return whole.getvalue()


GOODS = 8000
PICTURES = 300
ARCHIVE_SIZE = 250 * 1024 * 1024


@define
class Export:
    """What a node exports: a directory, and an archive of it."""

    folder: Path
    archive: Path


def _guid(chance: random.Random) -> str:
    digits = f"{chance.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _document(path: Path, root: ET.Element) -> None:
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def make_export(folder: Path) -> Export:
    """Make an export: CommerceML of some MB with Cyrillic, pictures, and a large archive. Always the same."""
    chance = random.Random(1)
    directory = folder / "webdata"
    directory.mkdir(parents=True)
    catalog = ET.Element("КоммерческаяИнформация", ВерсияСхемы="2.10", ДатаФормирования="2026-11-22T21:49:00")
    goods = ET.SubElement(ET.SubElement(catalog, "Каталог", СодержитТолькоИзменения="false"), "Товары")
    package = ET.Element("КоммерческаяИнформация", ВерсияСхемы="2.10", ДатаФормирования="2026-11-22T21:49:00")
    offers = ET.SubElement(ET.SubElement(package, "ПакетПредложений"), "Предложения")
    pictures = []
    for number in range(GOODS):
        guid = _guid(chance)
        product = ET.SubElement(goods, "Товар")
        ET.SubElement(product, "Ид").text = guid
        ET.SubElement(product, "Артикул").text = f"Ж-{number:05}"
        ET.SubElement(
            product, "Наименование"
        ).text = f"Болт оцинкованный «Шестигранник» № {number}, М{number % 24}×80"
        ET.SubElement(product, "Описание").text = "Крепёж для строительства, ГОСТ 7798-70. " * 4
        if number < PICTURES:
            picture = f"import_files/{guid[:2]}/{guid.replace('-', '')}_{_guid(chance).replace('-', '')}.jpg"
            ET.SubElement(product, "Картинка").text = picture
            pictures.append(picture)
        offer = ET.SubElement(offers, "Предложение")
        ET.SubElement(offer, "Ид").text = guid
        ET.SubElement(offer, "ЦенаЗаЕдиницу").text = f"{chance.randrange(100, 99999) / 100:.2f}"
        ET.SubElement(offer, "Количество").text = str(chance.randrange(500))
    _document(directory / "import0_1.xml", catalog)
    _document(directory / "offers0_1.xml", package)
    for picture in pictures:
        path = directory / picture
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff\xd8\xff\xe0" + chance.randbytes(chance.randrange(0, 90_000)))
    archive = folder / "v8_1A76_155ae.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(path for path in directory.rglob("*") if path.is_file()):
            packed.write(path, path.relative_to(directory).as_posix())
        with packed.open("import_files/ff/video.mp4", "w", force_zip64=True) as large:
            while archive.stat().st_size < ARCHIVE_SIZE:
                large.write(chance.randbytes(2**20))
    return Export(directory, archive)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by its path."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(2**20):
                digest.update(block)
        found[path.relative_to(folder).as_posix()] = digest.hexdigest()
    return found
