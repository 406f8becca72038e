"""Nodes that behave as 1C:UNF and the Bitrix module do, with their own checks (docs/protocol.md, N1 to N12)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from attrs import define, field
from trade import ExchangeFailed, Trade

if TYPE_CHECKING:
    from collections.abc import Mapping

HTML = re.compile("<html|<body", re.IGNORECASE)


@define(eq=False)
class Unf(Trade):
    """1C:UNF, set to Bitrix: the fourth line of ``checkauth`` goes into each URL, right behind the type."""

    token: str = field(default="", init=False)

    def checkauth(self, kind: str = "catalog") -> None:
        """Log in; a failure is shown when it is short, and no HTML."""
        self.cookie = ""
        text = self._ask(f"type={kind}&mode=checkauth")
        lines = text.split("\n")
        if lines[0].strip().lower() != "success":
            raise ExchangeFailed(text if len(text) < 255 and not HTML.search(text) else "Unknown error")
        self.cookie = f"{lines[1]}={lines[2]}"
        self.token = f"&{lines[3]}" if len(lines) > 3 and lines[3] else ""
        self.sessid = self.token.replace("&sessid=", "")

    def init(self, kind: str = "catalog") -> None:
        """Learn the parameters; two lines at least."""
        version = "&version=2.09&cmlVersion=2.10" if kind == "sale" else ""
        lines = self._ask(f"type={kind}{self.token}{version}&mode=init").split("\n")
        if len(lines) < 2:
            raise ExchangeFailed("The parameters of the exchange were not received")
        self.zipped = lines[0].strip().lower() == "zip=yes"
        self.file_limit = int(lines[1].replace("file_limit=", ""))

    def send(self, name: str, content: bytes, kind: str = "catalog") -> None:
        """Send one piece."""
        version = "&version=2.09&cmlVersion=2.10" if kind == "sale" else ""
        text = self._ask(f"type={kind}{self.token}{version}&mode=file&filename={name}", content)
        if text.split("\n")[0].strip().lower() != "success":
            raise ExchangeFailed(text)
        if "\n" in text:
            raise ExchangeFailed("An extended state of success was received")

    def import_(self, name: str) -> str:
        """Ask for an import until it ends; return the last state."""
        while True:
            text = self._ask(f"type=catalog{self.token}&mode=import&filename={name}")
            state = text.split("\n")[0].strip().lower()
            if state != "progress":
                return text

    def catalog(self, packed: Mapping[str, bytes], pictures: Mapping[str, bytes], documents: list[str]) -> None:
        """Run "optimised pictures": archives with the documents, pictures one by one, then the imports."""
        self.checkauth()
        self.init()
        for name, content in sorted({**packed, **pictures}.items()):
            self.send(name, content)
        for name in sorted(documents, key=lambda one: "import" not in one):
            text = self.import_(name)
            if not text.startswith("success"):
                raise ExchangeFailed(text)

    def orders(self, ours: bytes) -> list[str]:
        """Send orders without asking for their import, fetch the site's, and confirm; return their numbers."""
        self.checkauth("sale")
        self.init("sale")
        self.send("orders.xml", ours, "sale")
        text = self._ask(f"type=sale{self.token}&mode=query")
        if not text.startswith(("PK", "<?xml", "<КоммерческаяИнформация")):
            raise ExchangeFailed(text)
        if self._ask(f"type=sale{self.token}&mode=success").startswith("failure"):
            raise ExchangeFailed("The site did not take the confirmation")
        return [number.text or "" for number in ET.fromstring(text).iter("Номер")]

    def info(self) -> list[str]:
        """Fetch the directories; return the names of the statuses."""
        root = ET.fromstring(self._ask(f"type=sale&mode=info{self.token}&"))
        if root.tag != "Справочник" or root.find("\u0043татусы") is None:
            raise ExchangeFailed("No directory")
        return [one.findtext("Название") or "" for one in root.findall("\u0043татусы/Элемент")]


@define(eq=False)
class Bitrix(Trade):
    """The Bitrix module: every package is a session of its own; the token stands last."""

    token: str = field(default="", init=False)
    timestamp: str = field(default="", init=False)

    def checkauth(self, kind: str = "catalog") -> None:
        """Log in; the first timestamp of a full upload is kept for its end."""
        self.cookie = ""
        lines = self._ask(f"type={kind}&mode=checkauth").split("\n")
        if lines[0].strip().lower() != "success":
            raise ExchangeFailed("Check the user name and password")
        self.cookie = f"{lines[1]}={lines[2]}"
        self.token = f"&{lines[3]}"
        self.sessid = lines[3].replace("sessid=", "")
        self.timestamp = self.timestamp or f"&{lines[4]}"

    def init(self, kind: str = "catalog") -> None:
        """Learn the parameters: two lines of a catalog, four of orders."""
        lines = self._ask(f"type={kind}&mode=init{self.token}&version=3.1").split("\n")
        if len(lines) < (4 if kind == "sale" else 2):
            raise ExchangeFailed("The parameters of the exchange were not received")
        if kind == "sale" and float(lines[3][-4:]) < 2.08:
            raise ExchangeFailed("The site's version is too old")
        self.file_limit = int(lines[1].replace("file_limit=", ""))

    def _post(self, name: str, content: bytes) -> None:
        text = self._ask(f"type=catalog&mode=file&filename={name}{self.token}", content)
        if text.strip().lower() != "success":
            raise ExchangeFailed(text)

    def package(self, document: str, files: Mapping[str, bytes]) -> None:
        """Send one package, and have its one document imported."""
        self.checkauth()
        self.init()
        for name, content in files.items():
            for start in range(0, len(content), self.file_limit):
                self._post(name, content[start : start + self.file_limit])
        while True:
            state, _, words = self._ask(f"type=catalog&mode=import&filename={document}{self.token}").partition("\n")
            if state.strip().lower() == "success":
                return
            if state.strip().lower() != "progress":
                raise ExchangeFailed(words)

    def end(self) -> None:
        """End a full upload: deactivate and complete, each in a session of its own, without ``init``."""
        for query in (f"mode=deactivate{self.timestamp}", "mode=complete"):
            self.checkauth()
            if self._ask(f"type=catalog&{query}{self.token}").strip().lower() not in ("success", "progress"):
                raise ExchangeFailed(query)

    def log(self, name: str, content: bytes) -> None:
        """Send the log of the exchange: whole, without ``init``, by a name of its own kind."""
        self.checkauth()
        self._post(name, content)

    def orders(self) -> list[str]:
        """Ask for orders until there are none; return their numbers."""
        self.checkauth("sale")
        self.init("sale")
        numbers: list[str] = []
        while True:
            root = ET.fromstring(self._ask(f"type=sale&mode=query{self.token}"))
            if root.find("Контейнер") is None:
                return numbers
            numbers += [number.text or "" for number in root.iter("Номер")]
            if self._ask(f"type=sale&mode=success{self.token}").strip().lower() != "success":
                raise ExchangeFailed("The site did not take the confirmation")
