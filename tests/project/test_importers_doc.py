"""The examples of docs/importers.md work as they stand: script, Django view, plugin and JSON."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
from daemon import PATIENCE, Daemon, start
from handed_off import SCHEMA, handoff
from processes import free_port
from trade import ExchangeFailed, Trade, packed

from onec_twisted.daemon.options import Options
from onec_twisted.model.description import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

DOC = (Path(__file__).parents[2] / "docs" / "importers.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the examples in a language."""
    return re.findall(rf"```{language}\n(.*?)```", DOC, re.DOTALL)


def module(path: str) -> str:
    """Return the Python example that belongs into a file."""
    (found,) = [block for block in blocks("python") if block.startswith(f"# {path}\n")]
    return found


def test_the_description_is_as_the_schema_has_it() -> None:
    """What a reader copies is what comes."""
    example = json.loads(blocks("json")[0])

    jsonschema.validate(example, SCHEMA)
    assert list(example) == SCHEMA["required"]


def test_every_example_of_json_is_json() -> None:
    """With the fields that are sent."""
    _, shared, manifest, confirmation = (json.loads(block) for block in blocks("json"))

    jsonschema.validate(shared, SCHEMA)
    assert list(shared) == [*SCHEMA["required"], "manifest"]
    assert sorted(manifest) == ["files", "handoffs", "sessid", "shop", "type", "user", "version"]
    assert list(confirmation) == ["version", "event", "type", "user", "sessid"]


def test_options_that_it_names_exist() -> None:
    """Nobody copies one that does not."""
    known = {name for name, *_ in Options().optParameters} | {"help-importers"}

    assert set(re.findall(r"--([a-z]+(?:-[a-z]+)*)", DOC)) <= known


@pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")
class TestScript:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A session's folder, and a shop to import into."""
        folder = tmp_path / "the session"
        folder.mkdir()
        (tmp_path / "shop").mkdir()
        (tmp_path / "import.sh").write_text(next(one for one in blocks("sh") if one.startswith("#!/bin/sh")))
        return folder

    def run(self, folder: Path, name: str, **changes: object) -> subprocess.CompletedProcess[str]:
        """Start the script as the daemon does."""
        description = describe(handoff(filename=name, **changes), str(folder))
        return subprocess.run(
            ["sh", str(folder.parent / "import.sh"), str(folder), name],
            input=description.as_json().decode(),
            env={"PATH": "/usr/bin:/bin", "IMPORT_SHOP": str(folder.parent / "shop")},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    def test_a_document_by_itself(self, folder: Path) -> None:
        """Is imported from where it lies."""
        (folder / "import0_1.xml").write_bytes(b"<?xml?>")
        done = self.run(folder, "import0_1.xml", archive="")

        assert (done.returncode, done.stdout, done.stderr) == (0, "Reading import0_1.xml\n", "")
        assert (folder.parent / "shop" / "import0_1.xml").read_bytes() == b"<?xml?>"

    def test_a_document_that_is_none(self, folder: Path) -> None:
        """Is a failure in the script's words."""
        (folder / "import0_1.xml").write_bytes(b"PK")
        done = self.run(folder, "import0_1.xml", archive="")

        assert (done.returncode, done.stderr) == (1, "import0_1.xml is not an XML document\n")

    def test_other_events(self, folder: Path) -> None:
        """Are told apart."""
        files = (("a.xml", 1), ("x/b.jpg", 2))
        assert self.run(folder, "", event="settled", archive="", files=files).returncode == 0
        assert self.run(folder, "", event="deactivate", archive="", files=(), timestamp="17").returncode == 0
        assert self.run(folder, "", event="complete", archive="", files=()).returncode == 0

        assert (folder.parent / "shop" / "settled").read_text() == "a.xml\nx/b.jpg\n"
        assert (folder.parent / "shop" / "deactivate").read_text() == "17\n"


CATALOG = """
class CatalogError(Exception):
    pass

def import_catalog(document):
    if not document.startswith(b"<?xml"):
        raise CatalogError("The document is no XML")
    with open("imported", "a") as file:
        file.write(document.decode() + "\\n")
"""

SERVE = """
import sys
from wsgiref.simple_server import make_server
import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, INSTALLED_APPS=["shop"], ONEC_SECRET=b"s3cret", SECRET_KEY="x",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}},
)
django.setup()
from django.db import connection
from shop.models import OnecImport
from shop.views import onec_import
with connection.schema_editor() as editor:
    editor.create_model(OnecImport)
urlpatterns = [path("1c-import", onec_import)]
server = make_server("127.0.0.1", int(sys.argv[1]), get_wsgi_application())
print("listening", flush=True)
server.serve_forever()
"""


class TestDjango:
    @pytest.fixture
    def daemon(self, tmp_path: Path) -> Iterator[Daemon]:
        """The daemon, and the view behind it."""
        package = tmp_path / "site" / "shop"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "models.py").write_text(module("shop/models.py"))
        (package / "views.py").write_text(module("shop/views.py"))
        (package / "catalog.py").write_text(CATALOG)
        (tmp_path / "site" / "serve.py").write_text(SERVE)
        (tmp_path / "secret").write_text("s3cret\n")
        port = free_port()
        site = subprocess.Popen(
            [sys.executable, "serve.py", str(port)],
            cwd=tmp_path / "site",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert site.stdout is not None
        with site.stdout:
            assert site.stdout.readline() == b"listening\n"
            daemon = start(
                tmp_path / "run",
                f"--importer=http://127.0.0.1:{port}/1c-import",
                f"--import-secret={tmp_path / 'secret'}",
            )
            yield daemon
            daemon.kill()
            site.kill()
            site.wait(PATIENCE)

    def test_the_view_imports(self, daemon: Daemon, tmp_path: Path) -> None:
        """Documents by themselves and in archives; what it refuses is heard at the 1C screen; events are taken."""
        node = Trade("127.0.0.1", daemon.port)
        node.checkauth()
        node.send_file("v8_1.zip", packed({"import0_1.xml": b"<?xml?>"}))
        node.send_file("offers0_1.xml", b"<?xml 2?>")
        node.send_file("prices0_1.xml", b"PK")
        node.import_file("import0_1.xml")
        node.import_file("offers0_1.xml")
        with pytest.raises(ExchangeFailed, match=r"^failure\nThe document is no XML$"):
            node.import_file("prices0_1.xml")
        node._ask(f"type=catalog&mode=complete&sessid={node.sessid}")
        daemon.wait_for("complete delivered")
        node.close()

        assert (tmp_path / "site" / "imported").read_text() == "<?xml?>\n<?xml 2?>\n"


@pytest.mark.executed("plugins")
def test_the_plugin_is_found_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the Python path, beside ours."""
    plugins = tmp_path / "path" / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "shop_importer.py").write_text(module("twisted/plugins/shop_importer.py"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    daemon = start(tmp_path / "run", f"--importer=count:{tmp_path / 'sizes'}")
    try:
        node = Trade("127.0.0.1", daemon.port)
        node.checkauth()
        node.send_file("import0_1.xml", b"<?xml?>")
        node.import_file("import0_1.xml")
        node._ask(f"type=sale&mode=file&filename=orders.xml&sessid={node.sessid}", b"x")
        refused = node._ask(f"type=sale&mode=import&filename=orders.xml&sessid={node.sessid}")
        node.close()
    finally:
        daemon.kill()

    assert (tmp_path / "sizes").read_text() == "import0_1.xml 7\n"
    assert refused == "failure\nOrders are not counted"
