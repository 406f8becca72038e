"""What sites do with passwords and certificates, and what nodes meet there."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

from certificates import Authority, make_certificate, name_of
from daemon import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daemon import Daemon


def test_the_chain_is_sent_to_a_node_that_trusts_the_root_alone(
    daemons: Callable[..., Daemon], tmp_path: Path
) -> None:
    """By ``--listen`` and by ``--admin``, and after a renewal as well: 1C, as most clients, looks for no link."""
    root = Authority.make("Root")

    def renew(name: str) -> None:
        make_certificate(tmp_path, name, by=Authority.make(f"Between root and {name}", root))

    def names() -> list[str]:
        seen = []
        for port in (daemon.port, daemon.admin_port):
            plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
            with root.trusted().wrap_socket(plain, server_hostname="127.0.0.1") as line:
                seen.append(name_of(line))
        return seen

    renew("one.example")
    endpoint = f"ssl:0:interface=127.0.0.1:privateKey={tmp_path}/privkey.pem:certKey={tmp_path}/fullchain.pem"
    daemon = daemons(f"--admin={endpoint}", "--admin-auth=memory:root:toor", listen=(endpoint,))
    assert names() == ["one.example"] * 2
    renew("two.example")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for("a renewed certificate is in use", times=2)

    assert names() == ["two.example"] * 2
