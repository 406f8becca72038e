"""What ``onec-exchange`` starts: ``main``, and nothing else, because importing the command takes a while."""

from __future__ import annotations

import signal

__all__ = ["main"]


def main() -> None:
    """Import the command and run it; until then, Ctrl-C ends the process by its signal, without a traceback."""
    by_keyboard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else the caller ignores it
    if by_keyboard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from onec_twisted.daemon.command import main as command

    if by_keyboard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command()
