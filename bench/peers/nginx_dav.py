"""nginx with its DAV module: a body goes to a temporary file, which is renamed at its end."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from attrs import frozen

from bench.peer import Launch, Missing
from bench.targets import Plain

if TYPE_CHECKING:
    from pathlib import Path

    from bench.targets import Target

__all__ = ["NginxDav", "configuration"]

WORKERS = 2
PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin")
"""Where nginx may be when it is not on the path of a user."""

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@frozen
class NginxDav:
    """nginx as installed, with its default buffers."""

    name: str = "nginx DAV"

    def version(self) -> str:
        """Return the version."""
        printed = subprocess.run([_program(), "-V"], capture_output=True, text=True, check=True).stderr
        if "http_dav_module" not in printed:
            raise Missing("nginx was built without its DAV module")
        found = re.search(r"nginx/(\S+)", printed)
        return f"nginx {found[1] if found else 'of unknown version'}, PUT, {WORKERS} workers, default buffers"

    def launch(self, folder: Path, port: int) -> Launch:
        """Return how to start it, with a configuration in its folder."""
        (folder / "nginx.conf").write_text(configuration(folder, port, as_root=os.geteuid() == 0))
        command = (_program(), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "errors"))
        return Launch(command, cwd=folder)

    def target(self, port: int) -> Target:
        """Return how it takes uploads."""
        return Plain(port)


def _program() -> str:
    found = shutil.which("nginx") or shutil.which("nginx", path=os.pathsep.join(PLACES))
    if found is None:
        raise Missing("nginx is not installed")
    return found


def configuration(folder: Path, port: int, *, as_root: bool) -> str:
    """Return the configuration: everything lies in ``folder``, so that a body's temporary file is only renamed."""
    temporary = "\n".join(f"    {name}_temp_path {folder}/{name};" for name in TEMPORARY)
    return f"""\
{"user root;" if as_root else ""}
daemon off;
worker_processes {WORKERS};
pid {folder}/pid;
error_log {folder}/errors;
events {{}}
http {{
    access_log off;
    client_max_body_size 0;
{temporary}
    server {{
        listen 127.0.0.1:{port};
        root {folder}/files;
        location / {{
            dav_methods PUT;
        }}
    }}
}}
"""
