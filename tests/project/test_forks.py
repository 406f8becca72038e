"""Forked processes are like executed ones, and those are executed whose point is that."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from daemon import PATIENCE, start
from forks import SERVER, SERVING, Forked, ForkServer, finish, spawn

TESTS = Path(__file__).parents[1]

TELL = """
import json, os, signal, sys, threading
print(json.dumps({
    "argv": sys.argv, "cwd": os.getcwd(), "env": dict(os.environ), "path": sys.path[0],
    "pid": os.getpid(), "parent": os.getppid(), "session": os.getsid(0) == os.getpid(), "umask": os.umask(0),
    "descriptors": [int(number) for number in os.listdir("/proc/self/fd")],
    "signals": [repr(signal.getsignal(number)) for number in sorted(signal.valid_signals()) if number < 32],
    "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    "threads": threading.active_count(), "reactor": "twisted.internet.reactor" in sys.modules,
    "input": sys.stdin.read(), "buffered": [sys.stdout.line_buffering, sys.stderr.line_buffering],
}))
print("a complaint", file=sys.stderr)
sys.exit(3)
"""

WHY = {
    "first start",
    "Python reads the locale when it starts",
    "the limit of descriptors is inherited",
    "signals",
    "kill -9",
    "strace",
    "faketime",
    "privileges",
    "umask",
    "plugins",
    "daemonising",
    "memory",
    "terminal",
    "without site-packages",
}
"""What only a process shows that was executed; ``wheel`` and ``deploy`` execute all of theirs."""


@pytest.fixture
def tell(tmp_path: Path) -> list[str]:
    """Return the command line of a script that tells what it is like."""
    (tmp_path / "tell.py").write_text(TELL)
    return [sys.executable, str(tmp_path / "tell.py"), "--option=Ж", "two words"]


@pytest.mark.parametrize("start_new_session", [False, True])
def test_a_forked_process_is_like_an_executed_one(
    tell: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_new_session: bool
) -> None:
    """Arguments, environment, folder, streams, signals, descriptors, session: and it is a child of ours."""
    told: list[dict[str, Any]] = []
    for executes in (False, True):
        monkeypatch.setattr(SERVING, "executes", executes)
        with spawn(
            tell,
            env={**os.environ, "ONEC_PASSWORD": "a\nb"},
            cwd=tmp_path,
            start_new_session=start_new_session,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            out, complaints = process.communicate("typed", timeout=PATIENCE)
        told.append(json.loads(out))

        assert isinstance(process, Forked) is not executes
        assert (process.returncode, complaints) == (3, "a complaint\n")
        assert (told[-1].pop("pid"), told[-1]["parent"]) == (process.pid, os.getpid())
    forked, executed = told
    threads_and_reactor = forked["threads"], forked["reactor"]

    assert forked == executed
    assert (forked["session"], forked["input"]) == (start_new_session, "typed")
    assert threads_and_reactor == (1, False)


def test_kill_minus_9_hits_the_process_itself(tmp_path: Path) -> None:
    """Its parent hears so; those that were forked before and after live on."""
    first, second, third = (start(tmp_path / name) for name in "abc")
    second.kill()

    assert second.process.returncode == -signal.SIGKILL
    assert (first.process.poll(), third.process.poll()) == (None, None)
    assert first.peak_memory() > 2**20
    assert (first.stop(), third.stop()) == (-signal.SIGTERM, -signal.SIGTERM)
    assert "Server Shut Down" in first.log


def test_a_daemon_that_does_not_start_is_not_left_behind(tmp_path: Path) -> None:
    """Its test fails with the log, and no other one does."""
    with pytest.raises(AssertionError, match="the daemon ended: onec-exchange: --file-limit"):
        start(tmp_path / "run", "--file-limit=ten")


def test_usage_is_that_of_the_process(tell: list[str]) -> None:
    """Of this one alone, as ``wait4`` gives it."""
    process = spawn(tell, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)

    assert process.returncode == 3
    assert usage.ru_maxrss > 1024
    assert usage.ru_utime < 5


def test_another_environment_is_executed(tell: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the interpreter, a library or an import may have read cannot be had by forking."""
    monkeypatch.setenv("LD_BIND_NOW", "1")
    process = spawn(tell, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert not isinstance(process, Forked)
    assert process.wait(PATIENCE) == 3


def test_a_process_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """As ``subprocess.run`` ends it."""
    (tmp_path / "hang.py").write_text("import time\ntime.sleep(1000)\n")
    with pytest.raises(subprocess.TimeoutExpired):
        finish([sys.executable, str(tmp_path / "hang.py")], 0.2)


def test_a_server_that_cannot_serve_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And its traceback is in the failure of the test."""
    (tmp_path / "broken.py").write_text("raise ValueError('no such thing')\n")
    monkeypatch.setattr("forks.SERVER", tmp_path / "broken.py")
    server = ForkServer()
    with pytest.raises(RuntimeError, match="ValueError: no such thing"):
        server.fork([0, 1, 2])

    assert server.process is None


def test_the_server_ends_with_pytest(tmp_path: Path) -> None:
    """Whatever ends that; what it has forked goes on."""
    (tmp_path / "hang.py").write_text("import time\ntime.sleep(1000)\n")
    code = (
        "import forks, os, sys\n"
        f"child = forks.spawn([sys.executable, {str(tmp_path / 'hang.py')!r}], stdout=2)\n"
        "print(forks.SERVING.process.pid, child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TESTS, stdout=subprocess.PIPE, text=True, check=False, timeout=PATIENCE
    )
    server, child = map(int, done.stdout.split())
    deadline = time.monotonic() + PATIENCE
    while is_running(server):
        assert time.monotonic() < deadline
        time.sleep(0.02)

    assert is_running(child)
    os.kill(child, signal.SIGKILL)


def is_running(pid: int) -> bool:
    """Return whether a process is there, and none that has ended already."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_exec_is_kept_where_it_is_the_point(request: pytest.FixtureRequest) -> None:
    """Each reason has a test at least; what is released and deployed knows nothing of forks."""
    modules = {path.name: path.read_text(encoding="utf-8") for path in TESTS.rglob("*.py")}
    why = re.findall(r'^ *@pytest\.mark\.executed\("(.+)"\)$', "\n".join(modules.values()), re.MULTILINE)
    apart = ["front.py", "test_docker.py", "test_nginx.py", "test_packaging.py", "test_systemd.py", "test_wheel.py"]

    assert set(why) == WHY
    assert len(why) >= 16
    assert not [name for name in apart if re.search(r"import .*\b(forks|spawn|finish|start|run)\b", modules[name])]
    assert SERVER.exists()
