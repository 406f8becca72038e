"""``onec-node push``: runs a whole exchange as 1C does, and displays it to a person or a machine."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from attrs import define, field
from tqdm import tqdm
from twisted.internet.defer import CancelledError
from twisted.internet.threads import deferToThread

from onec_twisted.node.answers import Refusal
from onec_twisted.node.export import exported

if TYPE_CHECKING:
    from pathlib import Path

    from onec_twisted.node.answers import Remark
    from onec_twisted.node.dialogue import Node, Sent
    from onec_twisted.node.export import Export

__all__ = ["Bar", "Display", "Json", "Lines", "Quiet", "push"]


class Display(Protocol):
    """Shows the progress of an exchange."""

    def line(self, words: str) -> None:
        """Show a line for a person."""

    def file_begins(self, name: str, size: int) -> None:
        """Show that the transfer of a file of ``size`` bytes begins."""

    def file_at(self, place: int) -> None:
        """Show that ``place`` bytes of the file were sent."""

    def file_ends(self, name: str, sent: Sent) -> None:
        """Show that a file has arrived."""

    def broken(self) -> None:
        """Stop showing the current file, if there is one."""

    def warning(self, words: str) -> None:
        """Show a line that must not be missed."""

    def imported(self, name: str, words: str, *, done: bool) -> None:
        """Show the progress of an import."""


class Quiet(Display):
    """Shows nothing."""

    def broken(self) -> None:
        pass

    def line(self, words: str) -> None:
        pass

    def warning(self, words: str) -> None:
        sys.stderr.write(f"{words}\n")

    def file_begins(self, name: str, size: int) -> None:
        pass

    def file_at(self, place: int) -> None:
        pass

    def file_ends(self, name: str, sent: Sent) -> None:
        pass

    def imported(self, name: str, words: str, *, done: bool) -> None:
        pass


@define(eq=False)
class Lines(Quiet):
    """Plain lines, for files and pipes."""

    out: TextIO = field(factory=lambda: sys.stdout)

    def line(self, words: str) -> None:
        self.out.write(f"{words}\n")
        self.out.flush()

    def warning(self, words: str) -> None:
        self.line(words)

    def file_ends(self, name: str, sent: Sent) -> None:
        again = sent.bytes_sent - sent.size
        self.line(f"{name}: {sent.size:,} bytes" + (f", {again:,} sent again" if again > 0 else ""))

    def imported(self, name: str, words: str, *, done: bool) -> None:
        self.line(f"{name}: {'imported' if done else words or 'being imported'}")


@define(eq=False)
class Bar(Lines):
    """A bar with rate and time left, for terminals."""

    out: TextIO = field(factory=lambda: sys.stderr)
    _bar: Any = field(default=None, init=False)

    def line(self, words: str) -> None:
        """Write the line above the bar."""
        tqdm.write(words, file=self.out)

    def file_begins(self, name: str, size: int) -> None:
        tqdm.monitor_interval = 0  # start no thread
        self._bar = tqdm(
            total=size, desc=name, unit="B", unit_scale=True, unit_divisor=1024, file=self.out, leave=False
        )

    def file_at(self, place: int) -> None:
        self._bar.update(place - self._bar.n)

    def broken(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def file_ends(self, name: str, sent: Sent) -> None:
        self._bar.close()
        super().file_ends(name, sent)


@define(eq=False)
class Json(Quiet):
    """One JSON object a line, for machines."""

    out: TextIO = field(factory=lambda: sys.stdout)

    def _event(self, **values: Any) -> None:
        self.out.write(f"{json.dumps(values, ensure_ascii=False)}\n")
        self.out.flush()

    def line(self, words: str) -> None:
        self._event(event="note", words=words)

    def warning(self, words: str) -> None:
        self.line(words)

    def file_begins(self, name: str, size: int) -> None:
        self._event(event="begin", name=name, size=size)

    def file_ends(self, name: str, sent: Sent) -> None:
        self._event(event="sent", name=name, size=sent.size, bytes_sent=sent.bytes_sent, pieces=sent.pieces)

    def imported(self, name: str, words: str, *, done: bool) -> None:
        self._event(event="imported" if done else "progress", name=name, words=words)


async def _abandon(node: Node, exchange_type: str, display: Display) -> None:
    """Have an incomplete export discarded: otherwise the site may import what it has once transfers end."""
    is_removed = False
    with suppress(CancelledError):  # a second Ctrl-C stops waiting for the site
        is_removed = await node.abandon(exchange_type)
    with suppress(OSError):  # the terminal may be gone
        display.broken()
    if not is_removed:
        _warn(display)
        return
    with suppress(OSError):
        display.line("What was sent is removed from the site.")


def _warn(display: Display) -> None:
    """Warn that the site may import what it has: on standard error if the display is gone."""
    words = "What was sent stays on the site, which may import it later."
    try:
        display.warning(words)
    except OSError:
        with suppress(OSError):
            sys.stderr.write(f"{words}\n")


async def push(
    node: Node,
    paths: list[Path],
    exchange_type: str,
    display: Display,
    *,
    imports: bool = True,
    completes: bool = False,
) -> list[Remark]:
    """Send files and folders in a new session, and have the documents imported; return the remarks.

    With ``completes`` the node finally sends ``complete``. Raises ``NodeError``, ``OSError``, ``ValueError``.
    """
    login = await node.checkauth(exchange_type)
    parameters = await node.init(exchange_type)
    remarks = dict.fromkeys((*login.remarks, *parameters.remarks))
    stopped = threading.Event()
    packing = exported(paths, zipped=parameters.zipped, stopped=stopped.is_set)
    if parameters.zipped and any(path.is_dir() for path in paths):
        display.line("Packing")
    try:
        export: Export = await deferToThread(packing.__enter__)
    except CancelledError:
        stopped.set()  # the thread ends soon, and removes its archive
        raise
    try:
        try:
            for name, path in export.files:
                display.file_begins(name, path.stat().st_size)
                sent = await node.send_file(name, path, exchange_type, display.file_at)
                display.file_ends(name, sent)
                remarks.update(dict.fromkeys(sent.remarks))
        except BaseException:
            await _abandon(node, exchange_type, display)
            raise
        try:
            for name in export.documents if imports else ():

                def progress(words: str, name: str = name) -> None:
                    display.imported(name, words, done=False)

                state = await node.import_file(name, exchange_type, progress)
                display.imported(name, state.words, done=True)
                remarks.update(dict.fromkeys(state.remarks))
            if completes:
                await node.complete(exchange_type)
        except Refusal:
            raise
        except BaseException:
            _warn(display)  # everything has arrived and imports may run: this cannot be undone
            raise
    finally:
        packing.__exit__(None, None, None)
    return list(remarks)
