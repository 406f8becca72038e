"""Each of ``examples/`` imports what stock 1C sends, and its words reach the 1C user."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError

import pytest
from daemon import PATIENCE, Daemon
from front import wait_until
from processes import free_port
from trade import ExchangeFailed, Trade, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.once

EXAMPLES = Path(__file__).parents[2] / "examples"
SECRET = "shared with the site"
PHP = shutil.which("php")
HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<КоммерческаяИнформация xmlns="urn:1C.ru:commerceml_2" ВерсияСхемы="2.08">"""
EXPORT = {
    "import0_1.xml": f"""{HEAD}<Каталог><Товары>
<Товар><Ид>bolt</Ид><Артикул>M8</Артикул><Наименование>Болт</Наименование><Картинка>import_files/b.jpg</Картинка></Товар>
<Товар><Ид>nut</Ид><Наименование>Гайка</Наименование></Товар></Товары></Каталог></КоммерческаяИнформация>""",
    "offers0_1.xml": f"""{HEAD}<ПакетПредложений><Предложения>
<Предложение><Ид>bolt</Ид><Наименование>Болт</Наименование></Предложение>
<Предложение><Ид>nut#red</Ид></Предложение></Предложения></ПакетПредложений></КоммерческаяИнформация>""",
    "prices0_1.xml": f"""{HEAD}<ПакетПредложений><Предложения><Предложение><Ид>bolt</Ид><Цены><Цена>
<ЦенаЗаЕдиницу>12.50</ЦенаЗаЕдиницу></Цена></Цены></Предложение></Предложения></ПакетПредложений></КоммерческаяИнформация>""",
    "rests0_1.xml": f"""{HEAD}<ПакетПредложений><Предложения><Предложение><Ид>bolt</Ид><Остатки><Остаток><Склад>
<Количество>7</Количество></Склад></Остаток></Остатки></Предложение></Предложения></ПакетПредложений></КоммерческаяИнформация>""",
}
"""An export as 1C:Trade 11.5 makes one: goods, offers, prices and rests in documents of their own."""

PICTURE = b"\xff\xd8 not much of a picture"


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    """Yield what ends the processes that a test has started."""
    with ExitStack() as stack:
        yield stack


def run(processes: ExitStack, *command: str, **environment: str) -> None:
    """Start a process of a site, which ends with the test."""
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    processes.callback(process.wait, PATIENCE)
    processes.callback(process.kill)


def send(daemon: Daemon, documents: dict[str, str]) -> None:
    """Send an export in one archive and have each document imported, as stock 1C does."""
    node = Trade("127.0.0.1", daemon.port)
    with closing(node):
        node.checkauth()
        node.init()
        assert node.zipped
        files = {name: text.encode() for name, text in documents.items()}
        node.send_file("v8_1A76_155ae.zip", packed({**files, "import_files/b.jpg": PICTURE}))
        for name in documents:
            node.import_file(name)


def secret_in(folder: Path) -> str:
    """Return the option that names the file of the secret."""
    path = folder / "secret"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    return f"--import-secret={path}"


def ask(url: str, body: bytes | None, secret: str = SECRET) -> tuple[int, str]:
    """Send a request to a site, signed as the daemon signs; return its status and text."""
    signed = body if body is not None else "/" + url.split("/", 3)[3]
    signature = hmac.new(secret.encode(), signed if isinstance(signed, bytes) else signed.encode(), hashlib.sha256)
    request = urllib.request.Request(url, body, {"X-Onec-Signature": f"sha256={signature.hexdigest()}"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def answers(url: str) -> bool:
    """Return whether a site listens."""
    try:
        ask(url, None, "not the secret")
    except OSError:
        return False
    return True


def test_the_shell_script(daemons: Callable[..., Daemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents and pictures are in the shop's folder, under their names."""
    monkeypatch.setenv("IMPORT_SHOP", str(tmp_path / "shop"))
    daemon = daemons(f"--importer=exec:{EXAMPLES / 'import.sh'}", "--check-documents=yes")
    send(daemon, EXPORT)

    shop = tmp_path / "shop"
    assert {path.name: path.read_text(encoding="utf-8") for path in shop.glob("*.xml")} == EXPORT
    assert (shop / "import_files" / "b.jpg").read_bytes() == PICTURE


def test_the_program_with_lxml(
    daemons: Callable[..., Daemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Goods, prices and rests are in its database, once, though the export is sent twice."""
    pytest.importorskip("lxml")
    program = tmp_path / "importer"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {EXAMPLES / "import_lxml.py"} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("IMPORT_SHOP", str(tmp_path / "shop.sqlite3"))
    daemon = daemons(f"--importer=exec:{program}", "--check-documents=yes")
    send(daemon, EXPORT)
    send(daemon, EXPORT)

    with closing(sqlite3.connect(tmp_path / "shop.sqlite3")) as shop:
        assert shop.execute("SELECT * FROM goods ORDER BY id").fetchall() == [("bolt", "Болт"), ("nut", "Гайка")]
        offers = shop.execute("SELECT * FROM offers ORDER BY id").fetchall()
    assert offers == [("bolt", "12.50", "7"), ("nut#red", None, None)]


def test_the_program_with_lxml_needs_little_memory(tmp_path: Path) -> None:
    """A document of 40 MB takes less memory than half of it, and the interpreter."""
    pytest.importorskip("lxml")
    goods = "".join(f"<Товар><Ид>{n}</Ид><Наименование>{'б' * 100}</Наименование></Товар>" for n in range(1000))
    with (tmp_path / "import0_1.xml").open("w", encoding="utf-8") as file:
        file.write(f"{HEAD}<Каталог><Товары>{goods * 150}</Товары></Каталог></КоммерческаяИнформация>")
    told = {"event": "import", "type": "catalog", "filename": "import0_1.xml", "folder": str(tmp_path)}
    measured = (
        "import re, runpy, sys\n"
        f"sys.argv = [{str(EXAMPLES / 'import_lxml.py')!r}]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", measured],
        input=json.dumps(told).encode(),
        env={**os.environ, "IMPORT_SHOP": str(tmp_path / "shop.sqlite3")},
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )

    assert int(done.stdout.split()[-1]) < 50_000, "kilobytes"


def django(folder: Path, processes: ExitStack) -> tuple[str, Callable[..., list[tuple[object, ...]]]]:
    """Install the app and start its site and its worker; return its address, and what reads its database."""
    place = shutil.copytree(EXAMPLES / "django", folder / "django", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {"ONEC_SECRET": SECRET, "DJANGO_DATABASE": str(folder / "shop.sqlite3")}
    manage = (sys.executable, "-W", "ignore", str(place / "manage.py"))
    subprocess.run(
        [*manage, "migrate", "--verbosity=0"], env={**os.environ, **environment}, timeout=PATIENCE, check=True
    )
    port = free_port()
    run(processes, *manage, "runserver", "--noreload", str(port), **environment)
    run(processes, *manage, "import_1c", "--loop", **environment)
    url = f"http://127.0.0.1:{port}/1c-import/"
    wait_until(lambda: answers(url))

    def rows(query: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(folder / "shop.sqlite3")) as shop:
            return shop.execute(query).fetchall()

    return url, rows


def test_the_django_app(daemons: Callable[..., Daemon], tmp_path: Path, processes: ExitStack) -> None:
    """Products, offers, prices and rests are in its models; what fails, fails in its words, and as a whole."""
    url, rows = django(tmp_path, processes)
    daemon = daemons(f"--importer={url}", secret_in(tmp_path), "--check-documents=yes")
    send(daemon, EXPORT)

    assert rows("SELECT id, name, article, active FROM shop_product ORDER BY id") == [
        ("bolt", "Болт", "M8", 1),
        ("nut", "Гайка", "", 1),
    ]
    assert rows("SELECT id, product, price, rest FROM shop_offer ORDER BY id") == [
        ("bolt", "bolt", 12.5, 7),
        ("nut#red", "nut", None, None),
    ]

    wrong = EXPORT["prices0_1.xml"].replace("<Предложения>", "<Предложения><Предложение><Ид>nut</Ид></Предложение>")
    with pytest.raises(ExchangeFailed, match=r"\Afailure\ncheap is not a number"):
        send(daemon, {"prices0_1.xml": wrong.replace("12.50", "cheap")})
    assert rows("SELECT count(*) FROM shop_offer") == [(2,)]


def test_the_django_app_hides_what_1c_has_not_sent(tmp_path: Path, processes: ExitStack) -> None:
    """At the event ``deactivate``, once for each id; and nobody else can tell it to."""
    url, rows = django(tmp_path, processes)
    (tmp_path / "import0_1.xml").write_text(EXPORT["import0_1.xml"], encoding="utf-8")
    told = {"event": "import", "type": "catalog", "filename": "import0_1.xml", "folder": str(tmp_path)}

    def hand_off(number: str, **changes: object) -> None:
        body = json.dumps({**told, **changes, "id": number * 32}).encode()
        wait_until(lambda: ask(url, body)[0] == 200)

    hand_off("1")
    hand_off("2", event="deactivate", timestamp=str(int(time.time()) - 3600))
    assert rows("SELECT DISTINCT active FROM shop_product") == [(1,)]
    body = json.dumps({**told, "event": "deactivate", "timestamp": "9999999999", "id": "3" * 32}).encode()
    assert ask(url, body, "not the secret")[0] == 403
    assert ask(f"{url}{'1' * 32}/", None, "not the secret")[0] == 403
    assert ask(f"{url}{'3' * 32}/", None)[0] == 404
    hand_off("2", event="deactivate", timestamp="9999999999")
    assert rows("SELECT DISTINCT active FROM shop_product") == [(1,)]
    hand_off("4", event="deactivate", timestamp="9999999999")
    assert rows("SELECT DISTINCT active FROM shop_product") == [(0,)]


@pytest.mark.skipif(PHP is None, reason="PHP is not installed")
def test_the_php_file(daemons: Callable[..., Daemon], tmp_path: Path, processes: ExitStack) -> None:
    """It queues, answers 202, and reports what its worker says; an id is imported once."""
    assert PHP is not None
    queue, port = tmp_path / "queue", free_port()
    queue.mkdir()
    environment = {"ONEC_SECRET": SECRET, "ONEC_QUEUE": str(queue)}
    run(processes, PHP, "-S", f"127.0.0.1:{port}", str(EXAMPLES / "import.php"), **environment)
    worker = f"while sleep 0.1; do {PHP} {EXAMPLES / 'import.php'}; done"
    run(processes, "sh", "-c", worker, **environment)
    url = f"http://127.0.0.1:{port}/import.php"
    wait_until(lambda: answers(url))
    daemon = daemons(f"--importer={url}", secret_in(tmp_path), "--check-documents=no")
    send(daemon, EXPORT)

    def goods() -> list[list[str]]:
        with (queue / "goods.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.reader(file))

    assert goods() == [["bolt", "Болт"], ["nut", "Гайка"]]
    done = next(path.stem for path in queue.glob("*.done"))
    assert ask(f"{url}?id={done}", None) == (200, "")
    assert ask(f"{url}?id={done}", None, "not the secret")[0] == 403
    assert ask(f"{url}?id=../secret", None)[0] == 400
    assert ask(url, json.dumps({"id": done}).encode())[0] == 200
    assert len(goods()) == 2

    with pytest.raises(ExchangeFailed, match=r"\Afailure\nimport0_1\.xml: .* in line 4"):
        send(daemon, {"import0_1.xml": EXPORT["import0_1.xml"].replace("</Товары>", "")})
    assert len(goods()) == 2


def test_the_page_names_each_of_them() -> None:
    """And nothing else: what is not on the page has no test either."""
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| \[[^\]]+\]\(([^)]+?)/?\)", page, re.MULTILINE))

    assert named == {path.name for path in EXAMPLES.iterdir()} - {"README.md", "__pycache__"}
