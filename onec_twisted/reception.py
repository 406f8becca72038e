"""A body is brought to the disk and on record: all of it or nothing, or as far as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onec_twisted.errors import FileTooLarge, InsufficientStorage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from onec_twisted.intake import BufferedIntake
    from onec_twisted.interfaces import IBody, IPieceFile
    from onec_twisted.milestones import Keep

__all__ = ["receive", "receive_what_comes"]


async def receive(
    body: IBody,
    intake: BufferedIntake,
    limit: int,
    too_large: BaseException,
    keep: Keep,
    is_repeat: Callable[[IPieceFile], Awaitable[bool]] | None = None,
) -> int | None:
    """Bring a whole body to the disk, or nothing of it; return its bytes.

    ``keep`` is given a function that brings the last bytes to the disk and returns their number; it runs it in a
    worker, and records what is there then in the same hop. ``is_repeat``, when given, is asked once all bytes are
    written, and before they are synced; None is returned, and nothing is kept, if it says so. It may raise a refusal
    as well.

    Raises what ``IBody.deliver`` fails with, ``InsufficientStorage`` on a full disk, ``FileDamaged``, or ``OSError``,
    and what ``keep`` raises. The file is what it was before then, unless it was brought to the disk.
    """
    try:
        await body.deliver(intake, limit, too_large)
        if is_repeat is not None and await is_repeat(await intake.written()):
            await intake.roll_back()
            return None
        await intake.finish(keep)
    except BaseException:
        await intake.roll_back()
        raise
    return body.received


async def receive_what_comes(
    body: IBody, intake: BufferedIntake, limit: int, too_large: BaseException, keep: Keep
) -> None:
    """Bring a body to the disk as far as it comes: what has come when it breaks off is kept, and so are milestones.

    ``keep`` is as for ``receive``. Raises what ``IBody.deliver`` fails with, and what ``keep`` raises. When that is
    ``FileTooLarge``, no more than the last milestone is left: nobody knows what such a body was meant to be.
    """
    try:
        try:
            await body.deliver(intake, limit, too_large)
        except FileTooLarge:
            raise
        except BaseException:
            left = body.left()
            if body.received <= limit:
                for data in left:
                    intake.write(data)
            await intake.keep_what_came(keep)
            raise
        try:
            await intake.finish(keep)
        except InsufficientStorage:
            if intake.is_disk_full:
                await intake.keep_what_came(keep)
            raise
    except BaseException:
        await intake.roll_back()
        raise
