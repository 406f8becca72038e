"""The commands of ``onec-exchange`` that ask a running daemon."""

from __future__ import annotations

import json
import os
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from onec_twisted.daemon.remote import Remote
from onec_twisted.daemon.reports import (
    exchange_report,
    exchanges_report,
    handoffs_report,
    reload_report,
    sessions_report,
    shops_report,
    status_report,
    users_report,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ADMIN_PASSWORD", "AS_JSON", "handoffs", "journal", "reload", "seen_users", "sessions", "shops", "status"]

ADMIN_PASSWORD = "ONEC_ADMIN_AUTH"  # noqa: S105 - the name of a variable
"""The variable with ``USER:PASSWORD`` for the daemon; a password is never an argument."""

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON, for programs.")


def _asking(run: Callable[..., None]) -> Callable[..., None]:
    """Give a command the daemon that it asks."""

    @click.option(
        "--admin",
        default="http://127.0.0.1:9090",
        envvar="ONEC_ADMIN",
        show_default=True,
        help="Where the daemon's --admin listens: unix:PATH, or a URL.",
    )
    @wraps(run)
    def asking(admin: str, **options: Any) -> None:
        run(Remote(admin, os.environ.get(ADMIN_PASSWORD, "")), **options)

    return asking


def _show(found: Any, report: Callable[[Any], str], *, as_json: bool) -> None:
    click.echo(json.dumps(found, ensure_ascii=False) if as_json else report(found))


USER = click.option("--user", default="", help="Only those of this user.")
SHOP = click.option("--shop", default="", help="Only those of this shop.")
MOST = click.option(
    "--most", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many to show."
)


@click.command("status")
@_asking
@AS_JSON
def status(remote: Remote, *, as_json: bool) -> None:
    """Show whether all is well; the exit code is 4 if something needs attention."""
    found = remote.get("status")
    _show(found, status_report, as_json=as_json)
    if not found["good"]:
        raise click.exceptions.Exit(4)


@click.command("sessions")
@_asking
@AS_JSON
def sessions(remote: Remote, *, as_json: bool) -> None:
    """Show the sessions that were used last."""
    _show(remote.get("sessions")["items"], sessions_report, as_json=as_json)


@click.command("shops")
@_asking
@AS_JSON
def shops(remote: Remote, *, as_json: bool) -> None:
    """Show the shops: what each holds, its hand-offs, and its last exchange."""
    _show(remote.get("shops")["items"], shops_report, as_json=as_json)


@click.command("seen")
@_asking
@SHOP
@AS_JSON
def seen_users(remote: Remote, *, shop: str, as_json: bool) -> None:
    """Show the users that have exchanged, each with the last exchange."""
    _show(remote.get("users", shop=shop)["items"], users_report, as_json=as_json)


@click.group()
def handoffs() -> None:
    """Show what is on its way to the site, retry or drop it."""


@handoffs.command("list")
@_asking
@USER
@SHOP
@MOST
@click.option(
    "--state", type=click.Choice(["waiting", "succeeded", "failed"]), default=None, help="Only in this state."
)
@AS_JSON
def list_handoffs(remote: Remote, *, user: str, shop: str, most: int, state: str | None, as_json: bool) -> None:
    """Show hand-offs, the newest first."""
    found = list(remote.pages("handoffs", most, user=user, shop=shop, state=state or ""))
    _show(found, handoffs_report, as_json=as_json)


@handoffs.command("retry")
@click.argument("handoff", metavar="ID|all")
@_asking
@USER
@SHOP
def retry_handoff(remote: Remote, *, handoff: str, user: str, shop: str) -> None:
    """Retry a hand-off that failed or waits for its next try, or all that failed."""
    click.echo(remote.post(f"handoffs/{handoff}/retry", {"user": user, "shop": shop})["outcome"])


@handoffs.command("drop")
@click.argument("handoff", metavar="ID|all")
@_asking
@USER
@SHOP
def drop_handoff(remote: Remote, *, handoff: str, user: str, shop: str) -> None:
    """Drop a hand-off that failed, give up one that waits, or drop all that failed."""
    click.echo(remote.post(f"handoffs/{handoff}/drop", {"user": user, "shop": shop})["outcome"])


@click.command("journal")
@click.argument("number", type=click.IntRange(1), required=False)
@_asking
@USER
@SHOP
@MOST
@click.option(
    "--state",
    type=click.Choice(["running", "importing", "succeeded", "failed", "broken", "empty"]),
    default=None,
    help="Only in this state.",
)
@click.option("--day", default="", help="Only those that began on this day, as in 2026-11-26.")
@click.option("--file", "name", default="", help="Only those with a file whose name contains this.")
@AS_JSON
def journal(
    remote: Remote,
    *,
    number: int | None,
    user: str,
    shop: str,
    most: int,
    state: str | None,
    day: str,
    name: str,
    as_json: bool,
) -> None:
    """Show exchanges, the newest first; or all of the exchange with this NUMBER."""
    if number is not None:
        _show(remote.get(f"exchanges/{number}"), exchange_report, as_json=as_json)
        return
    found = list(remote.pages("exchanges", most, user=user, shop=shop, state=state or "", day=day, file=name))
    _show(found, exchanges_report, as_json=as_json)


@click.command("reload")
@_asking
@AS_JSON
def reload(remote: Remote, *, as_json: bool) -> None:
    """Let the daemon read its settings, users and certificates again; what is wrong changes nothing."""
    _show(remote.post("reload", {}), reload_report, as_json=as_json)
