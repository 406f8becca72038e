"""The command ``onec-exchange``: what a daemon does, its users, backups, a move. Exit codes: see ``EXIT_CODES``."""

from __future__ import annotations

import json
import os
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onec_twisted import __version__
from onec_twisted.auth.htpasswd import HtpasswdUnreadable
from onec_twisted.auth.userfile import (
    UserFileError,
    check_password,
    check_user,
    users_in,
    with_user,
    without_user,
)
from onec_twisted.catalog.sqlite import CatalogUnusable
from onec_twisted.cluster.refusals import CannotUseCluster
from onec_twisted.daemon.backup import BackupFailed, back_up, restore
from onec_twisted.daemon.places import place_given
from onec_twisted.daemon.remote import RemoteFailed
from onec_twisted.daemon.reports import size
from onec_twisted.daemon.watching import AS_JSON, handoffs, journal, reload, seen_users, sessions, shops, status
from onec_twisted.model.shown import harmless

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.daemon.backup import Copied

__all__ = ["EXIT_CODES", "main"]

FAILED, WRONG_USAGE, ATTENTION, INTERRUPTED = 1, 2, 4, 130
EXIT_CODES = {
    0: "success",
    FAILED: "it could not be done; the message says why",
    WRONG_USAGE: "the command line is wrong",
    ATTENTION: "status: something needs attention",
    INTERRUPTED: "Ctrl-C",
}

FAILURES = (BackupFailed, CannotUseCluster, CatalogUnusable, HtpasswdUnreadable, RemoteFailed, UserFileError)
"""What may go wrong; each says it in one line."""

FILE_MODE = 0o640
"""Permissions of a new file of users: its group may be the daemon's."""

FILE = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
MEDIA_ROOT = click.option(
    "--media-root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("media"),
    show_default=True,
    help="The daemon's --media-root.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="onec-exchange")
def command() -> None:
    """Look after a daemon that runs as ``twistd onec-exchange``."""


for one in (status, shops, sessions, handoffs, journal, reload):
    command.add_command(one)


@command.group()
def users() -> None:
    """Change the file of --auth=htpasswd:FILE; the daemon notices by itself. Or show who has exchanged."""


users.add_command(seen_users)


@users.command("add")
@FILE
@click.argument("user")
@click.option("--stdin", is_flag=True, help="Read the password from standard input instead of asking for it.")
def add_user(file: Path, user: str, *, stdin: bool) -> None:
    """Add USER to FILE, or give the user another password."""
    check_user(user)
    text = _content(file, may_lack=True)
    users_in(text, str(file))  # a file of another kind is left alone
    password = sys.stdin.readline().rstrip("\r\n") if stdin else _asked()
    check_password(password)
    import bcrypt

    _replace(file, with_user(text, user, bcrypt.hashpw(password.encode("utf-8"), bcrypt.gensalt(10))))
    click.echo(f"{harmless(user)} may log in")


@users.command("remove")
@FILE
@click.argument("user")
def remove_user(file: Path, user: str) -> None:
    """Remove USER from FILE; the user's sessions end within half a minute."""
    text = _content(file)
    users_in(text, str(file))
    _replace(file, without_user(text, user))
    click.echo(f"{harmless(user)} may not log in any more")


@users.command("list")
@FILE
@AS_JSON
def list_users(file: Path, *, as_json: bool) -> None:
    """Show the users of FILE."""
    found = users_in(_content(file), str(file))
    if as_json:
        click.echo(json.dumps({"users": found}, ensure_ascii=False))
    else:
        for user in found:
            click.echo(harmless(user))


@command.command("backup")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@MEDIA_ROOT
@AS_JSON
def make_backup(folder: Path, media_root: Path, *, as_json: bool) -> None:
    """Copy records and files to a new FOLDER, also while the daemon runs."""
    _tell(back_up(media_root.absolute(), folder.absolute(), _note), as_json=as_json)


@command.command("restore")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@MEDIA_ROOT
@AS_JSON
def restore_backup(folder: Path, media_root: Path, *, as_json: bool) -> None:
    """Make a new media root from the backup in FOLDER; no daemon may use it yet."""
    _tell(restore(folder.absolute(), media_root.absolute(), _note), as_json=as_json)


@command.command("migrate")
@MEDIA_ROOT
@click.option(
    "--catalog", required=True, metavar="URL", help="The --catalog of the daemons, postgresql://USER@HOST/DB."
)
@click.option("--store", required=True, metavar="URL", help="Their --store, s3://BUCKET/PREFIX?endpoint=URL.")
@click.option(
    "--store-credentials", metavar="FILE", help="The file with the key to it, else that in the environment."
)
def move(media_root: Path, catalog: str, store: str, store_credentials: str | None) -> int:
    """Move what a stopped daemon has into PostgreSQL and an object store, for daemons on several machines."""
    try:
        from onec_twisted.daemon import migration
    except ImportError as error:
        words = f"migrate needs libraries ({error.name} is missing): pip install 'onec-twisted[cluster]'"
        raise BackupFailed(words) from None
    place = place_given(catalog, store, credentials=store_credentials, environment=os.environ)
    moved = migration.migrate(media_root.absolute(), place, _note)
    click.echo(
        f"Moved {moved.sessions} sessions, {moved.files} files ({size(moved.size)}), {moved.handoffs} hand-offs; "
        f"compared: {'they differ' if moved.differences else 'everything is the same'}."
    )
    if moved.damaged:
        click.echo(f"{moved.damaged} of the files had lost bytes before: they are refused until init, as they were.")
    if moved.kept:
        click.echo(f"{moved.kept} folders of earlier imports stay in {harmless(str(media_root))} only.")
    if moved.differences:
        for words in moved.differences:
            click.echo(harmless(words), err=True)
        return FAILED
    click.echo(
        f"Nothing was removed from {harmless(str(media_root))}: keep it until the daemons have run for a while."
    )
    return 0


def _asked() -> str:
    """Ask for a password, twice."""
    answer: str = click.prompt("Password", hide_input=True, confirmation_prompt="The same again", err=True)
    return answer


def _note(words: str) -> None:
    click.echo(words, err=True)


def _tell(copied: Copied, *, as_json: bool) -> None:
    """Report what was copied."""
    if as_json:
        figures: dict[str, Any] = {"sessions": copied.sessions, "files": copied.files}
        click.echo(json.dumps(figures | {"bytes": copied.size, "damaged": copied.damaged}))
        return
    lost = f"; {copied.damaged} of them had lost bytes before" if copied.damaged else ""
    click.echo(f"{copied.sessions} sessions with {copied.files} files, {copied.size} bytes{lost}")


def _content(file: Path, *, may_lack: bool = False) -> bytes:
    """Return a file's content; empty if it may be missing."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        if may_lack:
            return b""
        raise


def _replace(file: Path, content: bytes) -> None:
    """Replace a file at once and for good, with the permissions and the owner that it had."""
    file = file.resolve()
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        before = file.stat()
    except FileNotFoundError:
        before = None
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(fd, "wb") as written:
            written.write(content)
            os.fchmod(fd, stat.S_IMODE(before.st_mode) if before is not None else FILE_MODE)
            if before is not None and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(fd, before.st_uid, before.st_gid)
            written.flush()
            os.fsync(fd)
        fresh.replace(file)
    except BaseException:
        with suppress(OSError):
            fresh.unlink()
        raise


def _run(run: Callable[[], Any]) -> int:
    """Run the command; return its exit code, after one line about what went wrong."""
    try:
        return int(run() or 0)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except FAILURES as error:
        click.echo(f"onec-exchange: {harmless(str(error))}", err=True)
        return FAILED
    except OSError as error:
        where = f"{harmless(os.fsdecode(error.filename))}: " if error.filename else ""
        click.echo(f"onec-exchange: {where}{error.strerror or error}", err=True)
        return FAILED


def main() -> None:
    """Run the command, and exit with its code."""
    sys.exit(_run(lambda: command.main(standalone_mode=False)))
