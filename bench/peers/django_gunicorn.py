"""Django under gunicorn: a view that reads 64 KB at a time, and appends to the file under a lock file."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from bench.peer import Launch, package_version
from bench.targets import Plain

if TYPE_CHECKING:
    from bench.client import Address
    from bench.targets import Target

__all__ = ["DjangoGunicorn", "make_application"]

WORKERS = 4
"""As many as there are connections at most: a sync worker serves one at a time."""

READ = 64 * 1024
FOLDER = "BENCH_FILES"
"""The variable of the environment that names the folder of the files."""


@frozen
class DjangoGunicorn:
    """Django with no middleware, in gunicorn's sync workers, which keep no connection."""

    name: str = "Django, gunicorn"

    def version(self) -> str:
        """Return the versions."""
        return f"{package_version('Django', 'gunicorn')}, {WORKERS} sync workers, 64 KB reads under flock"

    def launch(self, folder: Path, port: int) -> Launch:
        """Return how to start it."""
        command = (
            *(sys.executable, "-m", "gunicorn", "--log-level=warning", "--no-control-socket"),
            *(f"--workers={WORKERS}", f"--bind=127.0.0.1:{port}", f"--worker-tmp-dir={folder}"),
            f"{__name__}:make_application()",
        )
        return Launch(command, environment={FOLDER: str(folder / "files")})

    def target(self, address: Address) -> Target:
        """Return how it takes uploads."""
        return Plain(address)


def make_application() -> Any:
    """Return the WSGI application that gunicorn serves."""
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpRequest, HttpResponse
    from django.urls import path

    folder = Path(os.environ[FOLDER])

    def put(request: HttpRequest, name: str) -> HttpResponse:
        with (folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with (folder / name).open("ab") as file:
                while block := request.read(READ):
                    file.write(block)
        return HttpResponse(status=201, headers={"Content-Length": "0"})

    settings.configure(ALLOWED_HOSTS=["127.0.0.1"], MIDDLEWARE=[], ROOT_URLCONF=(path("<str:name>", put),))
    return get_wsgi_application()
