"""What ``onec-node`` starts: ``main``, and nothing else, because importing the command takes half a second."""

from __future__ import annotations

import signal

__all__ = ["main"]


def main() -> None:
    """Import the command and run it; until then, Ctrl-C ends the process by its signal, without a traceback."""
    is_stopped_by_keyboard = (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )  # else the caller ignores it
    if is_stopped_by_keyboard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from onec_twisted.node.command import main as command

    if is_stopped_by_keyboard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command()
