"""The commands that ask a running daemon."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from administrator import Administrator
from shops import NORTH, SOUTH, traded

from onec_twisted.admin.api import API_VERSION
from onec_twisted.daemon import command
from onec_twisted.daemon.remote import Remote, RemoteFailed
from onec_twisted.model.records import FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from in_memory import InMemory

    Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def administrator(exchange: InMemory) -> Administrator:
    """The site that is asked, of an exchange in memory."""
    return Administrator(exchange)


@pytest.fixture
def told(
    administrator: Administrator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Run the command against an exchange in memory; return its exit code, and what it writes."""

    def ask(self: Remote, method: str, path: str, body: str | None) -> Any:
        headers = {"Content_Type": "application/json"} if body is not None else {}
        reply = administrator.ask(f"/api/{API_VERSION}/{path}", method, body or "", **headers)
        return self._read(reply.status, reply.body)

    monkeypatch.setattr(Remote, "_ask", ask)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["onec-exchange", *arguments])
        with pytest.raises(SystemExit) as ended:
            command.main()
        output, errors = capsys.readouterr()
        return int(ended.value.code or 0), output, errors

    return run


def sent(exchange: InMemory, name: str) -> None:
    """Let a node send a file, and ask for its import."""
    cookie, sessid = exchange.checkauth()
    exchange.request("POST", f"type=catalog&mode=file&filename={name}&sessid={sessid}", b"<x/>", Cookie=cookie)
    exchange.request("GET", f"type=catalog&mode=import&filename={name}&sessid={sessid}", b"", Cookie=cookie)


def test_what_is_there(exchange: InMemory, told: Told) -> None:
    """Sessions, hand-offs and exchanges, for people and as JSON."""
    sent(exchange, "import0_1.xml")
    assert "shop" in told("sessions")[1]
    assert "import import0_1.xml" in told("handoffs", "list")[1]
    code, output, _ = told("journal", "--user=shop", "--json")
    (line,) = json.loads(output)
    assert (code, line["files"]) == (0, 1)
    assert "import0_1.xml" in told("journal", str(line["number"]))[1]
    assert told("journal", "--user=nobody")[1].count("\n") == 1
    assert json.loads(told("journal", "--file=OFFERS", "--json")[1]) == []


def test_shops(exchange: InMemory, administrator: Administrator, told: Told) -> None:
    """All of them, or what is of one; nothing of others is retried or dropped."""
    assert told("shops")[1].count("\n") == 1
    administrator.shops += [NORTH, SOUTH]
    traded(exchange, "north:alice", "1" * 32, state=FAILED)
    traded(exchange, "alice", "2" * 32, state=FAILED)
    exchange.clock.advance(1)

    assert [line.split()[0] for line in told("shops")[1].splitlines()] == ["SHOP", "north", "south", "default"]
    assert [one["name"] for one in json.loads(told("shops", "--json")[1])] == ["north", "south", "default"]
    for arguments in (("journal",), ("handoffs", "list"), ("users", "seen")):
        assert "SHOP" in told(*arguments)[1]
        (line,) = json.loads(told(*arguments, "--shop=north", "--json")[1])
        assert (line["shop"], line["user"]) == ("north", "alice")
    assert "south" not in told("handoffs", "drop", "all", "--shop=south")[1]
    assert told("handoffs", "drop", "all", "--shop=north")[:2] == (0, "dropped_all\n")
    assert [one["username"] for one in json.loads(told("handoffs", "list", "--json")[1])] == ["alice"]


def test_status_tells_by_its_exit_code(exchange: InMemory, told: Told) -> None:
    """0 if all is well, 4 if something needs attention."""
    assert told("status")[0] == 0
    exchange.store.free_bytes = 0
    exchange.clock.advance(5)
    code, output, _ = told("status")

    assert code == command.ATTENTION
    assert output.startswith("needs attention:")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("handoffs", "retry", "nothing"), 1, "gone"),
        (("handoffs", "drop", "all"), 1, "gone"),
        (("journal", "77"), 1, "gone"),
        (("journal", "--day=yesterday"), 1, "no such value"),
        (("journal", "--state=odd"), 2, "odd"),
    ],
)
def test_what_cannot_be_done(told: Told, arguments: tuple[str, ...], code: int, words: str) -> None:
    """It is one line, and an exit code."""
    ended, output, errors = told(*arguments)

    assert ended == code
    assert words in output + errors
    assert "Traceback" not in errors


def test_where_it_asks(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The option, else the variable; the password comes from a variable of its own."""
    asked: list[Remote] = []

    def get(self: Remote, _: str, **__: Mapping[str, str]) -> Any:
        asked.append(self)
        raise RemoteFailed("no answer")

    monkeypatch.setattr(Remote, "get", get)
    monkeypatch.setenv("ONEC_ADMIN", "unix:/run/a")
    monkeypatch.setenv("ONEC_ADMIN_AUTH", "root:toor")
    for arguments in (["status"], ["status", "--admin=http://127.0.0.1:1"]):
        monkeypatch.setattr("sys.argv", ["onec-exchange", *arguments])
        with pytest.raises(SystemExit):
            command.main()

    assert asked == [Remote("unix:/run/a", "root:toor"), Remote("http://127.0.0.1:1", "root:toor")]
    assert "toor" not in "".join(capsys.readouterr())
