"""What ``tox.ini`` and ``.ci/run`` leave out of an environment, another one runs."""

from __future__ import annotations

import re
from configparser import ConfigParser
from itertools import product
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[2]
TOX = ConfigParser(interpolation=None)
TOX.read(ROOT / "tox.ini", encoding="utf-8")

ENVIRONMENTS = TOX["tox"]["env_list"].split(", ")
PYTHONS = {name for name in ENVIRONMENTS if re.fullmatch(r"py3\d+", name)}
MARKERS = ("executed", "once", "process")


def commands_of(environment: str) -> str:
    """Return the commands of an environment, one a line; a Python's are named by its factor."""
    if environment not in PYTHONS:
        return TOX[f"testenv:{environment}"]["commands"].replace("\\\n", "")
    lines = re.findall(r"^py3(?:\{([\d,]+)\}|(\d+)): (.+)$", TOX["testenv"]["commands"], re.MULTILINE)
    (command,) = (line for many, one, line in lines if environment[3:] in [*many.split(","), one])
    return str(command)


def running(**marked: bool) -> set[str]:
    """Return the environments that choose tests by markers, and run one with these."""
    chosen = {name: re.search(r'-m ("[^"]+"|\w+)\}', commands_of(name)) for name in ENVIRONMENTS}
    return {name for name, found in chosen.items() if found and eval(found[1].strip('"'), {}, marked)}


@pytest.mark.parametrize("marks", list(product([False, True], repeat=3)))
def test_nothing_is_run_nowhere(marks: tuple[bool, bool, bool]) -> None:
    """What is marked ``once`` in one environment, all else with the lowest versions and every way of intake."""
    marked = dict(zip(MARKERS, marks, strict=True))
    everywhere = {*PYTHONS, "oldest"}

    if marked["once"]:
        assert running(**marked) == {"once"}
    elif marked["process"] and not marked["executed"]:
        assert running(**marked) == everywhere - {"py310", "py311"}
    else:
        assert running(**marked) == everywhere


def test_markers_are_those_that_are_there() -> None:
    """A test cannot be left out by another one."""
    told = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("markers = [")[2].partition("]")[0]

    assert sorted(re.findall(r'^ +"(\w+)', told, re.MULTILINE)) == sorted(MARKERS)


def test_each_way_of_intake_has_an_environment() -> None:
    """And it runs what starts processes."""
    ways = re.findall(r"(py\d+): ONEC_TEST_INTAKE = (\S+)", TOX["testenv"]["set_env"])
    ways += [("oldest", way) for way in re.findall(r"ONEC_TEST_INTAKE = (\S+)", set_by("oldest"))]

    assert {way for _, way in ways} == {"buffered", "zero-copy"}
    assert running(process=True, executed=False, once=False) - {name for name, _ in ways}  # auto
    assert {name for name, _ in ways} <= running(process=True, executed=False, once=False)


def test_what_wants_a_variable_is_where_it_is_set() -> None:
    """A test that is skipped without ``ONEC_TEST_DEPLOY``, for one, is in a module that ``deploy`` names."""
    switches = {
        variable: {name for name in ENVIRONMENTS if f"testenv:{name}" in TOX and variable in set_by(name)}
        for variable in ("ONEC_TEST_BUILD", "ONEC_TEST_DEPLOY", "ONEC_TEST_OLDEST", "ONEC_TEST_WHEEL")
    }
    wanted = {
        path.name: set(re.findall(r'"(ONEC_TEST_[A-Z]+)"', path.read_text(encoding="utf-8")))
        for path in (ROOT / "tests").rglob("test_*.py")
        if path.name != Path(__file__).name
    }
    named = {name: set(re.findall(r"tests/\w+/(test_\w+\.py)", commands_of(name))) for name in ("deploy", "wheel")}

    assert set().union(*wanted.values()) - {"ONEC_TEST_INTAKE"} == set(switches)
    assert switches == {
        "ONEC_TEST_BUILD": {"wheel"},
        "ONEC_TEST_DEPLOY": {"deploy"},
        "ONEC_TEST_OLDEST": {"oldest"},
        "ONEC_TEST_WHEEL": {"wheel"},
    }
    for environment, variable in (("deploy", "ONEC_TEST_DEPLOY"), ("wheel", "ONEC_TEST_BUILD")):
        assert {module for module, variables in wanted.items() if variable in variables} <= named[environment]


def set_by(environment: str) -> str:
    """Return the variables that an environment of its own sets."""
    return TOX[f"testenv:{environment}"].get("set_env", "")


def test_ci_looks_for_every_python() -> None:
    """None of them is skipped in silence."""
    versions = re.findall(r"^for version in (.+); do$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)

    assert [f"py{version.replace('.', '')}" for version in versions[0].split()] == sorted(PYTHONS)
