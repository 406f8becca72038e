"""nginx, as it is installed: how it is started, and how it stands in front of another peer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from bench.client import HOST
from bench.peer import CHECKOUT, Missing
from bench.tls import make_identity

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["WORKERS", "in_front", "nginx", "nginx_version"]

WORKERS = 2
PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin")
"""Where nginx may be when it is not on the path of a user."""

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
SITE = CHECKOUT / "deploy" / "nginx" / "https.conf"
"""The site that we recommend; it is measured as it is."""


def nginx_version(*, tls: bool = True) -> str:
    """Return its version, with ``tls`` also that of OpenSSL. Raises ``Missing`` where it cannot be used."""
    printed = subprocess.run([_program(), "-V"], capture_output=True, text=True, check=True).stderr
    for module in ("http_dav_module", "http_ssl_module"):
        if module not in printed:
            raise Missing(f"nginx was built without its {module}")
    found = re.search(r"nginx/(\S+)", printed)
    # the last one is what it runs with, where that is not what it was built with
    openssl = f"OpenSSL {re.findall('OpenSSL ([0-9.]+)', printed)[-1]}, " if tls else ""
    return f"nginx {found[1] if found else 'of unknown version'}, {openssl}{WORKERS} workers"


def _program() -> str:
    found = shutil.which("nginx") or shutil.which("nginx", path=os.pathsep.join(PLACES))
    if found is None:
        raise Missing("nginx is not installed")
    return found


def nginx(folder: Path, site: str) -> tuple[str, ...]:
    """Return the command line of an nginx with a site; all that it writes lies in ``folder``."""
    (folder / "nginx.conf").write_text(_configuration(folder, site))
    return (_program(), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "errors"))


def _configuration(folder: Path, site: str) -> str:
    """Return the configuration: a body's temporary file is on the disk of the files, so that it is only renamed."""
    temporary = "\n".join(f"    {name}_temp_path {folder}/{name};" for name in TEMPORARY)
    return f"""\
{"user root;" if os.geteuid() == 0 else ""}
daemon off;
worker_processes {WORKERS};
pid {folder}/pid;
error_log {folder}/errors;
events {{}}
http {{
    access_log off;
    client_max_body_size 0;
{temporary}
{site}
}}
"""


def in_front(folder: Path, port: int, upstream: str) -> tuple[str, ...]:
    """Return the command line of an nginx that speaks TLS on ``port``, and passes all on to ``upstream``."""
    identity = make_identity(folder)
    site, _, _ = SITE.read_text(encoding="utf-8").partition("server {\n    listen 80;")
    changes = {
        "server 127.0.0.1:8080;": f"server {upstream};",
        "listen 443 ssl;": f"listen {HOST}:{port} ssl;",
        "listen [::]:443 ssl;": "",
        "/etc/letsencrypt/live/shop.example/fullchain.pem": str(identity.chain),
        "/etc/letsencrypt/live/shop.example/privkey.pem": str(identity.key),
    }
    for shown, used in changes.items():
        if site.count(shown) != 1:
            raise ValueError(f"{SITE} does not have {shown!r} once")
        site = site.replace(shown, used)
    return nginx(folder, site)
