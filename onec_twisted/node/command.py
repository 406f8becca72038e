"""The command ``onec-node``. Exit codes: see ``EXIT_CODES``; a password is never an argument."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import field, frozen
from twisted.internet.defer import CancelledError, Deferred

from onec_twisted import __version__
from onec_twisted.model.shown import harmless_writer
from onec_twisted.node.answers import NodeError, Refusal, Unreachable, Untrusted
from onec_twisted.node.check import CONNECTION, table
from onec_twisted.node.check import check as run_check
from onec_twisted.node.connection import Route, http_client
from onec_twisted.node.dialogue import Node
from onec_twisted.node.load import load as run_load
from onec_twisted.node.push import Bar, Display, Json, Lines, Quiet
from onec_twisted.node.push import push as run_push
from onec_twisted.node.typed import Duration, Size, password_from, url_from

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["EXIT_CODES", "main"]

REFUSED, UNREACHABLE, STRANGE, UNREADABLE, INTERRUPTED = 1, 3, 4, 5, 130
EXIT_CODES = {
    0: "success",
    REFUSED: "the site answered failure, check found a problem, or load had failures",
    2: "the command line is wrong",
    UNREACHABLE: "the site cannot be reached, its certificate is rejected, or the connection broke too often",
    STRANGE: "the site's answer violates the protocol",
    UNREADABLE: "a file cannot be read or written",
    INTERRUPTED: "Ctrl-C, SIGTERM or SIGHUP",
}

PASSWORD = "ONEC_PASSWORD"  # noqa: S105 - the name of a variable


@frozen
class Site:
    """A site's address and how to reach it; ``password`` does not appear in the repr."""

    url: str
    user: str
    password: str = field(repr=False)
    route: Route
    timeout: float
    retries: int

    def node(self, reactor: Any, report: Callable[[str], None], stranger: str | None = None) -> Node:
        """Return a node with its own connection; a stranger has another name, and a wrong password."""
        client = http_client(reactor, self.url, self.route)
        return Node(
            reactor,
            client,
            self.url,
            stranger or self.user,
            self.password if stranger is None else "unknown",
            timeout=self.timeout,
            retries=self.retries,
            report=report,
        )


def _site(
    url: str | None,
    user: str,
    password_file: str | None,
    ca: str | None,
    proxy: str | None,
    unix_socket: str | None,
    timeout: float,
    retries: int,
) -> Site:
    """Return the site that the common options describe. Raises ``click.UsageError``."""
    if url is None:
        raise click.UsageError("Missing option '--url'.")
    url = url_from(url)
    try:
        route = Route(Path(ca).read_bytes() if ca else None, proxy, unix_socket)
        http_client(None, url, route)
    except OSError as error:
        raise click.UsageError(f"--ca={ca}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    known = os.environ.get(PASSWORD)
    password = known if known is not None and password_file is None else password_from(password_file)
    if not password:
        raise click.UsageError("the password is empty")
    return Site(url, user, password, route, timeout, retries)


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that describe the site to a command."""
    for option in reversed(
        (
            click.option("--url", help="Address of the exchange, as a 1C user types it."),
            click.option("--user", required=True, help="Name to log in with."),
            click.option(
                "--password-file",
                metavar="FILE",
                help=f"File with the password; without it, ${PASSWORD} or a prompt.",
            ),
            click.option("--ca", metavar="FILE", help="Certificates (PEM) to trust instead of the system's."),
            click.option("--proxy", metavar="URL", help="HTTP proxy, as in http://proxy.example:3128."),
            click.option("--unix-socket", metavar="PATH", help="Connect to this socket, regardless of the address."),
            click.option(
                "--timeout",
                default=180.0,
                type=Duration(),
                show_default=True,
                help="Seconds to wait for an answer, or as in 3m.",
            ),
            click.option(
                "--retries",
                default=5,
                type=click.IntRange(0, 1000),
                show_default=True,
                help="Retries when there is no answer.",
            ),
        )
    ):
        command = option(command)
    return command


def _run(main: Callable[[Any], Awaitable[int]], hint: str = "") -> None:
    """Run the reactor until ``main`` is done, and exit; errors are one line."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    code: list[int] = []
    numbers = [
        one for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) != signal.SIG_IGN
    ]
    received: list[int] = []

    def begin() -> None:
        def stop(number: int, _: object) -> None:
            received.append(number)
            if len(received) > 1:  # the second reports what stays at the site; the third kills
                for one in numbers:
                    signal.signal(one, signal.SIG_DFL)
            reactor.callFromThread(cancel)

        def cancel() -> None:
            running.cancel()

        for one in numbers:
            signal.signal(one, stop)
        running = Deferred.fromCoroutine(_reported(main(reactor), hint))
        running.addCallback(code.append).addErrback(lambda failure: failure.printBriefTraceback(sys.stderr))
        running.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    if code:  # the outcome is reported: later signals must not change it
        for one in numbers:
            signal.signal(one, signal.SIG_IGN)
    sys.exit(code[0] if code else STRANGE)


async def _reported(doing: Awaitable[int], hint: str) -> int:
    """Return the exit code; report an error in one line on standard error."""
    try:
        return await doing
    except CancelledError:
        _complain(f"Stopped. {hint}".strip())
        return INTERRUPTED
    except Refusal as error:
        _complain(f"The site refused: {error.words}")
        return REFUSED
    except (Unreachable, Untrusted) as error:
        _complain(error.words)
        return UNREACHABLE
    except NodeError as error:
        _complain(error.words)
        return STRANGE
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.filename:
            _complain(f"{error.filename}: {error.strerror}")
        else:
            _complain(str(error))
        return UNREADABLE


def _complain(words: str) -> None:
    """Write to standard error, if it is still open: the terminal may be gone."""
    with suppress(OSError):
        click.echo(words, err=True)


@click.group(epilog="Exit codes: " + "; ".join(f"{code}: {words}" for code, words in EXIT_CODES.items()) + ".")
@click.version_option(__version__)
def main() -> None:
    """Act as a 1C node: upload to a site's exchange, check it, or load-test it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names outside the locale's charset must not fail


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--type", "exchange_type", default="catalog", type=click.Choice(["catalog", "sale"]), show_default=True)
@click.option("--no-import", is_flag=True, help="Upload only.")
@click.option("--complete", is_flag=True, help="Tell the site at the end that the export is complete.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line to standard output.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
@_common
def push(
    files: tuple[Path, ...],
    exchange_type: str,
    no_import: bool,
    complete: bool,
    as_json: bool,
    quiet: bool,
    **common: Any,
) -> None:
    """Upload FILES as 1C does, and let the site import the documents among them.

    A folder is sent as an export directory: as one archive or file by file, as the site requests.
    """
    site = _site(**common)
    display: Display = Quiet() if quiet else Json() if as_json else Bar() if sys.stderr.isatty() else Lines()

    async def run(reactor: Any) -> int:
        node = site.node(reactor, display.line)
        remarks = await run_push(node, list(files), exchange_type, display, imports=not no_import, completes=complete)
        for remark in remarks:
            display.line(f"Note: {remark.words} [{', '.join(remark.clients)}]: {remark.cure}")
        return 0

    _run(run, "Run the same command to start over.")


@main.command()
@click.argument("address", metavar="[URL]", required=False)
@_common
def check(address: str | None, **common: Any) -> None:
    """Report the problems that a real 1C would have with the site at URL, which --url may name instead.

    The check runs an exchange with a document that contains no goods. Some sites use one folder for all nodes, and
    empty it when an exchange begins: do not check such a site during another exchange.
    """
    if address is not None and common["url"] is not None:
        raise click.UsageError("give the address once: as URL or with --url")
    site = _site(**{**common, "url": address or common["url"]})

    async def run(reactor: Any) -> int:
        findings = await run_check(lambda stranger: site.node(reactor, lambda _: None, stranger))
        click.echo("\n".join(table(findings)))
        if any(finding.step == CONNECTION for finding in findings):
            return UNREACHABLE
        return REFUSED if any(finding.remark is not None for finding in findings) else 0

    _run(run)


@main.command()
@click.option("--output", default="-", help="File to write to; - is standard output.", show_default=True)
@click.option("--confirm", is_flag=True, help="Tell the site that the orders were taken.")
@_common
def orders(output: str, confirm: bool, **common: Any) -> None:
    """Fetch the site's orders."""
    if output != "-" and Path(output).is_dir():
        raise click.UsageError(f"--output={output}: is a folder; name a file")
    site = _site(**common)

    async def run(reactor: Any) -> int:
        node = site.node(reactor, partial(click.echo, err=True))
        await node.checkauth("sale")
        if output == "-":
            out = sys.stdout
            terminal = harmless_writer(lambda text: out.buffer.write(text.encode(out.encoding, "replace")))
            await node.query_orders(terminal if out.isatty() else out.buffer.write)
            out.buffer.flush()
        else:
            await _query_into(node, Path(output))
        if confirm:
            try:
                await node.confirm_orders()
            except CancelledError:
                click.echo("The orders are here; whether the site knows so is not known.", err=True)
                raise
        return 0

    _run(run)


async def _query_into(node: Node, path: Path) -> None:
    """Write the orders to a temporary file, and rename it when they are complete."""
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            await node.query_orders(file.write)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()


@main.command()
@click.option("--nodes", default=10, show_default=True, type=click.IntRange(1, 10_000), help="Concurrent nodes.")
@click.option(
    "--size", default=1_000_000, show_default=True, type=Size(), help="Size of a piece in bytes, or as in 100K or 2M."
)
@click.option("--pieces", default=10, show_default=True, type=click.IntRange(1), help="Pieces per node.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@_common
def load(nodes: int, size: int, pieces: int, as_json: bool, **common: Any) -> None:
    """Load-test your own site, and report pieces per second and latencies."""
    site = _site(**common)

    async def run(reactor: Any) -> int:
        report = await run_load(
            lambda: site.node(reactor, lambda _: None), reactor, nodes, size, pieces, report=_complain
        )
        figures = report.as_dict()
        click.echo(
            json.dumps(figures) if as_json else "\n".join(f"{name:<14}{value}" for name, value in figures.items())
        )
        for words in sorted(set(report.failures)):
            click.echo(f"failed: {words}", err=True)
        return REFUSED if report.failures else 0

    _run(run)
