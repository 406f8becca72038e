"""Whether the last daemon with a folder ended by itself: a file in it says so while one runs. Blocks; no Twisted."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import define, field

from onec_twisted.storage.file import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["RUNNING", "Ending"]

RUNNING = ".running"
"""The file that is there while a daemon runs, and after one that did not end by itself."""


@define(eq=False)
class Ending:
    """How the daemon ends that has locked ``folder``, and how the one before it has ended."""

    folder: Path
    _has_begun: bool = field(default=False, init=False)

    def begin(self) -> bool:
        """Note that this daemon runs, for the next one; return whether the one before it did not end by itself.

        It was killed, it crashed, or the power failed. Raises ``OSError``.
        """
        self._has_begun = True
        try:
            os.close(os.open(self.folder / RUNNING, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            return True
        sync_folder(self.folder)
        return False

    def end(self) -> None:
        """Note that this daemon ends by itself, unless it has never begun: then another one may be running."""
        if self._has_begun:
            with suppress(OSError):  # the media root was removed, or the disk has failed
                (self.folder / RUNNING).unlink()
                sync_folder(self.folder)
