"""The real daemon tells a program and a site what needs attention, each once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from shop import ShopProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from daemon import Daemon


def test_a_disk_without_room_is_told_of(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """To all that are named, in the language that is wanted; after a restart again, because it still stands."""
    program = tmp_path / "notify"
    program.write_text(f'#!/bin/sh\ncat >> "{tmp_path}/told"\n', encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "shop").mkdir()
    shop = ShopProcess(tmp_path / "shop")
    shop.answer({"status": 200})
    shop.start()
    try:
        arguments = (
            f"--notify=exec:{program}",
            f"--notify={shop.url}/notices",
            "--language=ru",
            "--min-free=100000G",
        )
        for _ in range(2):
            daemon = daemons(*arguments)
            daemon.wait_for("was notified", 2)
            daemon.stop()
        seen = [json.loads(one.body) for one in shop.seen]
    finally:
        shop.stop()

    told = [json.loads(line) for line in (tmp_path / "told").read_text(encoding="utf-8").splitlines()]
    for notices in (told, seen):
        assert [(one["event"], one["state"]) for one in notices] == [("unhealthy", "raised")] * 2
        assert notices[0]["words"].startswith("Отправки не принимаются: ")
