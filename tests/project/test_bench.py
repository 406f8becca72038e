"""The benchmark: its arithmetic, its senders and servers; docs/speed.md, in both languages, has its results."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import socket
import ssl
import sys
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results"
LISTENER = """
import socket, sys
place = sys.argv[1]
server = socket.socket(socket.AF_UNIX if "/" in place else socket.AF_INET)
server.bind(place if "/" in place else ("127.0.0.1", int(place)))
server.listen()
while True:
    server.accept()
"""


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    """The package, by its place: the checkout itself is not on the path."""
    spec = importlib.util.spec_from_file_location("bench", ROOT / "bench" / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    module.__path__ = [str(ROOT / "bench")]
    sys.modules["bench"] = module
    spec.loader.exec_module(module)
    yield lambda name: importlib.import_module(f"bench.{name}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "bench"]:
        del sys.modules[name]


def samples_of(bench: Any, figure: str, measure: str, values: dict[str, list[float]]) -> list[Any]:
    """Return samples of one measure of several peers, a round each."""
    samples = bench("samples")
    return [
        samples.Sample(samples.Series(figure, peer, measure), number, value)
        for peer, measured in values.items()
        for number, value in enumerate(measured)
    ]


def test_medians_and_percentiles(bench: Any) -> None:
    """The middle one, and the one that so many do not exceed."""
    samples = bench("samples")
    assert samples.spread([3, 1, 2]) == samples.Spread(2, 1, 3, 3)
    assert samples.spread([]) is None
    assert samples.percentile(list(range(1, 101)), 0.99) == 99
    assert samples.percentile([5], 0.5) == 5
    with pytest.raises(ValueError, match="no numbers"):
        samples.percentile([], 0.5)


def test_rounds_are_compared(bench: Any) -> None:
    """Each round with itself; one that lacks a peer is left out."""
    samples = bench("samples")
    measured = samples_of(bench, "f", "cpu s/GB", {"ours": [1.0, 4.0, 9.0], "theirs": [2.0, 4.0]})
    ours, theirs = (samples.Series("f", peer, "cpu s/GB") for peer in ("ours", "theirs"))

    assert samples.ratios(measured, ours, theirs) == [0.5, 1.0]


@pytest.mark.parametrize(("theirs", "met"), [([4.0, 4.0, 1.0], True), ([1.0, 1.0, 4.0], False), ([], None)])
def test_a_goal_is_met_by_the_median(bench: Any, theirs: list[float], met: bool | None) -> None:
    """And not measured where a peer is missing."""
    goals = bench("goals")
    (goal,) = [one for one in goals.GOALS if one.against and one.against.peer == "nginx DAV" and one.limit == 0.5][:1]
    measured = samples_of(bench, goal.of.figure, goal.of.measure, {goals.OURS: [1.0] * 3, "nginx DAV": theirs})
    (verdict,) = goals.judge(measured, [goal])

    assert verdict.met is met


def test_a_goal_is_not_decided_by_noise(bench: Any) -> None:
    """Of many shops: what the median may be as well, by 95 %, lies on one side of a goal, or it is not judged."""
    shops = bench("shops")
    low, high = shops.sure([float(number) for number in range(100)])
    assert (low, high) == (40.0, 59.0)
    assert [shops.verdict(low, high, limit) for limit in (59, 50, 39)] == ["met", "not decided", "**missed**"]
    assert shops.sure([1.0]) == (1.0, 1.0)


def test_every_goal_is_about_a_figure(bench: Any) -> None:
    """What is compared is in one of the tables."""
    report = bench("report")
    figures = {series.figure for goal in bench("goals").GOALS for series in (goal.of, goal.against) if series}

    assert figures <= {*report.TITLES, *report.LARGE, *report.TLS}


def test_pieces_over_tls_have_a_table(bench: Any) -> None:
    """Beside the one for plain connections; the one that takes the least processor time is on top."""
    samples = (
        *samples_of(bench, "tls", "cpu s/GB", {"a": [2.0], "b": [1.0]}),
        *samples_of(bench, "tls", "throughput MB/s", {"a": [300.0], "b": [400.0]}),
        *samples_of(bench, "large-1", "cpu s/GB", {"c": [0.5]}),
    )
    nothing: dict[str, Any] = {"versions": {}, "missing": {}, "failures": (), "verdicts": ()}
    result = bench("report").Result({"date": "2026-01-01"}, rounds=1, quick=False, samples=samples, **nothing)
    _, plain, tls = re.split("^## Large.*\n", bench("report").as_markdown(result), flags=re.MULTILINE)

    assert [row for row in plain.splitlines() if row.startswith("| c |")] == ["| c | 0.50 | – | – | – |"]
    assert [row for row in tls.splitlines() if row.startswith(("| a |", "| b |"))] == [
        "| b | 1.00 | 400 |",
        "| a | 2.00 | 300 |",
    ]


@pytest.fixture(scope="module")
def content(bench: Any) -> Iterator[Any]:
    """The bytes of all pieces."""
    made = bench("content").Content.make()
    yield made
    os.close(made.descriptor)


@pytest.fixture
def serve(bench: Any, tmp_path: Path) -> Iterator[Callable[[ssl.TLSVersion], Any]]:
    """Take one connection over a version of TLS; return the port, and what will have been received."""
    identity = bench("tls").make_identity(tmp_path)

    def receive(context: ssl.SSLContext) -> bytes:
        plain, _ = server.accept()
        with context.wrap_socket(plain, server_side=True) as line:
            came = b"".join(iter(lambda: line.recv(1 << 20), b""))
            line.unwrap()
        return came

    def begin(version: ssl.TLSVersion) -> Any:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = version
        context.load_cert_chain(*identity.files)
        return server.getsockname()[1], threads.submit(receive, context)

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as threads:
        yield begin


@pytest.mark.parametrize("size", [0, 100, 50_000, 300_000])
def test_a_sender_over_tls_sends_the_head_and_the_piece(bench: Any, content: Any, serve: Any, size: int) -> None:
    """In this order and nothing else, also where the content begins anew."""
    piece = (bench("content").BLOCK - 100_000) // bench("content").STRIDE
    port, received = serve(ssl.TLSVersion.TLSv1_3)
    line = bench("client").Connection(bench("client").Address(port, tls=True), content).open()
    content.send(line, piece, size, head=b"head")
    line.unwrap().close()
    expected = b"".join(content.block[offset : offset + length] for offset, length in content.runs(piece, size))

    assert received.result() == b"head" + expected


def test_a_sender_accepts_no_other_version_of_tls(bench: Any, serve: Any) -> None:
    """A peer that speaks an older one would not be comparable: it fails."""
    port, received = serve(ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ConnectionError, match=r"^the peer wants TLSv1\.2 with "):
        bench("client").Connection(bench("client").Address(port, tls=True), None).open()

    assert isinstance(received.exception(), OSError)


def test_the_recommended_site_is_measured(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nginx in front of a peer has ``https.conf``, with other addresses and files."""
    monkeypatch.setattr(bench("peers.nginx"), "_program", lambda: "nginx")
    command = bench("peers.nginx").in_front(tmp_path, 8443, "unix:/x/http.sock")
    used = Path(command[command.index("-c") + 1]).read_text(encoding="utf-8")
    site = (ROOT / "deploy" / "nginx" / "https.conf").read_text(encoding="utf-8")
    location = site[site.index("    location ~ ") : site.index("    location ~ ", site.index("listen 80;"))]

    assert location.partition("\nserver {")[0] in used
    assert "server unix:/x/http.sock;" in used
    assert re.findall(r"listen .*;|letsencrypt|8080", used) == ["listen 127.0.0.1:8443 ssl;"]


def test_a_server_may_be_several_processes(bench: Any, tmp_path: Path) -> None:
    """It is used when all of them listen; all are measured, and end with it."""
    processes = bench("processes")
    port, path = processes.free_port(), str(tmp_path / "socket")
    commands = [[sys.executable, "-c", LISTENER, str(place)] for place in (port, path)]
    with processes.started(commands, tmp_path, [("127.0.0.1", port), path], tmp_path, {}) as running:
        running.wait_until_it_listens()
        begun = list(running.processes)
        assert set(processes.tree(running.pids)) == {process.pid for process in begun}
        assert processes.cpu_seconds(running.pids) > processes.cpu_seconds(running.pids[:1]) > 0
        assert processes.memory(running.pids) > processes.memory(running.pids[:1]) > 0

    assert [process.poll() for process in begun] == [-signal.SIGTERM] * 2


def test_a_server_that_ended_is_not_waited_for(bench: Any, tmp_path: Path) -> None:
    """The end of one of its processes suffices; its last words are kept."""
    processes = bench("processes")
    place = str(tmp_path / "socket")
    commands = [[sys.executable, "-c", LISTENER, place], [sys.executable, "-c", "raise SystemExit('no room')"]]
    with (
        processes.started(commands, tmp_path, [place, str(tmp_path / "never")], tmp_path, {}) as running,
        pytest.raises(processes.CannotRun, match="it ended with status 1: no room"),
    ):
        running.wait_until_it_listens()


def test_connections_are_divided_among_shards(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evenly; each daemon has an address and a folder of its own."""
    places = lambda target, _: (target.address.host, target.media)  # noqa: E731
    monkeypatch.setattr(bench("targets").Exchange, "enter", places)
    target = bench("peers.onec").OnecShards().target(bench("client").Address(80))

    assert [target.enter(None) for _ in range(4)] == [("127.0.0.1", "a/media"), ("127.0.0.2", "b/media")] * 2


def test_the_plot_is_a_picture(bench: Any) -> None:
    """With a bar for each measured figure, and words for those who cannot see it."""
    plot = bench("plot")
    measured = samples_of(bench, "large-1", "cpu s/GB", {"a <b>": [1.0, 2.0], "c": [3.0]})
    svg = ET.fromstring(plot.as_svg(plot.groups(measured), "a machine"))
    names = {"svg": "http://www.w3.org/2000/svg"}
    description = svg.find("svg:desc", names)

    assert description is not None
    assert "a <b>: 1.50 with 1 connection" in (description.text or "")
    assert len(svg.findall("svg:rect[@class='b0']", names)) == 3  # one in the legend


def test_the_page_has_what_was_measured() -> None:
    """Its tables are those of the last full run; each goal that was missed is named, with its figures."""
    page = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    results = (RESULTS / "results.md").read_text(encoding="utf-8")
    large = re.findall(r"^## Large pieces[^\n]*\n\n(.*?)\n\n", results, re.DOTALL | re.MULTILINE)
    missed = [row for row in results.splitlines() if row.endswith("| **missed** |")]

    assert large
    assert [table for table in large if table not in page] == []
    assert [row for row in missed if row.removesuffix("| **missed** |") not in page] == []
    assert "quick run" not in results
    assert json.loads((RESULTS / "results.json").read_text(encoding="utf-8"))["rounds"] >= 5
    assert ET.parse(RESULTS / "results.svg").getroot().tag.endswith("svg")


def test_the_russian_page_has_the_goals_that_were_missed() -> None:
    """Each of them, and no other; what was measured is in the results, to which it leads."""
    results = (RESULTS / "results.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "ru" / "speed.md").read_text(encoding="utf-8")
    missed = re.findall(r"^\| [^|]+ \| ([^|]+) \| [^|]+ \| \*\*missed\*\* \|$", results, re.MULTILINE)
    told = re.findall(r"^\| [^|]+ \| ([≤≥] [^|]+) \| [^|]+ \|$", page, re.MULTILINE)

    units = str.maketrans("мсМКБ", "msMKB")

    assert {re.sub(r"(?<=\d),", ".", goal).translate(units) for goal in told} == set(missed)
    assert "](../../bench/results/results.md)" in page
