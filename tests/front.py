"""What stands in front of the daemon, or starts it: for the tests of ``deploy/``."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING

import bcrypt
from attrs import define
from daemon import LISTENING, PATIENCE, Daemon
from processes import free_port
from trade import TIMEOUT, Trade

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from certificates import Certificate

DEPLOY = Path(__file__).parent.parent / "deploy"
SERVERS = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
"""The folders of nginx for what it does not keep in memory."""

AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES=sys.argv[2])
os.execvp(sys.argv[3], sys.argv[3:])
"""
"""Hands a socket over as systemd does: descriptor, name, command."""


def wait_until(true: Callable[[], bool], words: Callable[[], str] = str, seconds: float = PATIENCE) -> None:
    """Wait until something holds; ``words`` are told when it does not come to hold."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, words()
        time.sleep(0.02)


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """Return a sample with some words changed, each of which stands there once."""
    for shown, used in changes.items():
        assert text.count(shown) == 1, shown
        text = text.replace(shown, used)
    return text


def htpasswd(path: Path, user: str = "shop", password: str = "secret") -> Path:
    """Write a file with one user, as cheap as bcrypt can be."""
    path.write_text(f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n", encoding="ascii")
    return path


def launch(folder: Path, command: list[str], handed: socket.socket | None = None, endpoints: int = 1) -> Daemon:
    """Run a whole command line of the daemon in a folder, and return when it listens for nodes.

    ``handed`` is a socket that listens already: the process gets it as from systemd, by the name ``http``.
    """
    folder.mkdir(exist_ok=True)
    if handed is not None:
        command = [sys.executable, "-c", AS_SYSTEMD, str(handed.fileno()), "http", *command]
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        pass_fds=() if handed is None else (handed.fileno(),),
    )
    daemon = Daemon(folder, process)

    def read() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                daemon.output.append(line)
                match = LISTENING.search(line)
                if match is not None:
                    daemon.endpoints.append(match[1].strip("'\""))

    threading.Thread(target=read, daemon=True).start()
    wait_until(lambda: len(daemon.endpoints) == endpoints or process.poll() is not None, lambda: daemon.log)
    assert process.poll() is None, f"the daemon ended: {daemon.log}"
    return daemon


def has_ipv6() -> bool:
    """Return whether this machine speaks IPv6 with itself."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def listening(site: str, ports: Mapping[str, int]) -> dict[str, str]:
    """Return what to change in a site for nginx so that it listens on other ports, of this machine alone."""
    changes = {}
    for words, port in ports.items():
        if f"listen {words};" in site:
            used = " ".join([str(port), *words.split()[1:]])
            changes[f"listen {words};"] = f"listen 127.0.0.1:{used};"
            changes[f"listen [::]:{words};"] = f"listen [::1]:{used};" if has_ipv6() else ""
    return changes


def start_nginx(folder: Path, site: str, port: int) -> subprocess.Popen[bytes]:
    """Start an nginx that has this site, and return when it listens."""
    (folder / "site.conf").write_text(site, encoding="utf-8")
    temporary = "".join(f"{kind}_temp_path {folder}/nginx-{kind};" for kind in TEMPORARY)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"daemon off; {user} pid {folder}/nginx.pid; error_log {folder}/error.log;"
        f"events {{}} http {{ access_log off; {temporary} include {folder}/site.conf; }}",
        encoding="utf-8",
    )
    return _start(folder, port, "nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log"))


def start_haproxy(folder: Path, site: str, port: int) -> subprocess.Popen[bytes]:
    """Start an HAProxy that has this site, and return when it listens."""
    (folder / "haproxy.cfg").write_text(site, encoding="utf-8")
    return _start(folder, port, "haproxy", "-db", "-f", str(folder / "haproxy.cfg"))


def put_nginx_before(
    folder: Path,
    name: str,
    target: str,
    port: int,
    paper: Certificate | None = None,
    change: Callable[[str], str] = str,
) -> subprocess.Popen[bytes]:
    """Start an nginx by a sample, in front of what listens at ``target``, ``127.0.0.1:1`` or ``unix:/path``.

    It listens on ``port``, by TLS if there is a certificate.
    """
    site = change((DEPLOY / "nginx" / f"{name}.conf").read_text(encoding="utf-8"))
    site = re.sub(r"127\.0\.0\.1:(8080|818\d);", f"{target};", site)
    site = site.replace("unix:/run/onec-exchange/http.sock;", f"{target};")
    if paper is not None:
        site = site.replace("/etc/letsencrypt/live/shop.example/fullchain.pem", str(paper.chain))
        site = site.replace("/etc/letsencrypt/live/shop.example/privkey.pem", str(paper.key))
    ports = {"80": port} if paper is None else {"80": free_port(), "443 ssl": port}
    return start_nginx(folder, replaced(site, listening(site, ports)), port)


def put_haproxy_before(folder: Path, name: str, target: int, port: int, health: int) -> subprocess.Popen[bytes]:
    """Start an HAProxy by a sample, each of whose servers is what listens at ``target``.

    It listens on ``port``, and looks at ``health`` whether the servers are healthy.
    """
    site = (DEPLOY / name).read_text(encoding="utf-8")
    site = re.sub(r"^(    server \d) \S+", rf"\1 127.0.0.1:{target}", site, flags=re.MULTILINE)
    site = re.sub(r" port 8\d+", f" port {health}", site)
    site = site.replace("/etc/haproxy/errors/onec-exchange-503.http", f"{DEPLOY}/cluster/errors/503.http")
    return start_haproxy(folder, replaced(site, {"    bind :80\n": f"    bind 127.0.0.1:{port}\n"}), port)


def _start(folder: Path, port: int, name: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a server, and return when it listens."""
    program = shutil.which(name, path=SERVERS)
    assert program is not None, f"{name} is not installed"
    with (folder / "output.log").open("wb") as output:
        process = subprocess.Popen([program, *arguments], stdout=output, stderr=output)

    def listens() -> bool:
        assert process.poll() is None, "".join(path.read_text("utf-8") for path in folder.glob("*.log"))
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens)
    return process


def setting(path: Path, name: str) -> list[str]:
    """Return the values of a unit's setting, comments left out, continued lines joined."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    unit = "\n".join(lines).replace("\\\n", " ")
    return re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)


@define(eq=False)
class Client(Trade):
    """1C:Trade, over TLS where there is a context, and from an address of its own where one is given."""

    context: ssl.SSLContext | None = None
    address: str = "127.0.0.1"

    def __attrs_post_init__(self) -> None:
        """Connect as the platform does: one connection for the whole exchange."""
        self.connection = self._to(self.port)

    def go_on_at(self, port: int) -> None:
        """Connect anew, with the cookie that it has."""
        self.connection.close()
        self.connection = self._to(port)

    def _to(self, port: int) -> HTTPConnection:
        whence = (self.address, 0)
        if self.context is None:
            return HTTPConnection(self.host, port, timeout=TIMEOUT, source_address=whence)
        return HTTPSConnection(self.host, port, timeout=TIMEOUT, source_address=whence, context=self.context)


def peak_memory(pid: int) -> int:
    """Return the most memory that a process ever had, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
