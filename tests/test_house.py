"""The rules of the house, each in a few lines."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import onec_twisted

pytestmark = pytest.mark.once

HOUSE = Path(onec_twisted.__file__).parent
TESTS = Path(__file__).parent

ORDER = [
    # values and decisions
    "errors",
    "wire",
    "written",
    "names",
    "shown",
    "commerceml",
    "interfaces",
    "records",
    "description",
    "archive",
    "directory",
    # what they stand on
    "workers",
    "descriptors",
    "singleflight",
    "metrics",
    "schema",
    "database",
    "statements",
    "outbox",
    "overview",
    "recorder",
    "catalog",
    "piecefile",
    "folders",
    "store",
    "presence",
    "fairness",
    "turns",
    "space",
    "milestones",
    "pipes",
    "intake",
    "reception",
    "connections",
    "guesses",
    "htpasswd",
    "access",
    "allowance",
    "chunked",
    "body",
    "delivery",
    "sockets",
    "newcomers",
    "uploads",
    "proofs",
    "growth",
    "pieces",
    # to the site
    "heads",
    "trust",
    "client",
    "keep",
    "program",
    "webhook",
    "importers",
    "relay",
    "examination",
    "archives",
    "handoff",
    "orders",
    # where they meet
    "channel",
    "request",
    "refusing",
    "exchange",
    "sweep",
    "revocation",
    "site",
    "logs",
    "listening",
    "options",
    "service",
    "tap",
]
"""A module imports only from its left; ``testing``, and ``launch`` and ``examine``, programs both, stand beside."""

WITHOUT_TWISTED = [
    "errors",
    "wire",
    "written",
    "names",
    "shown",
    "commerceml",
    "interfaces",
    "records",
    "description",
    "archive",
    "directory",
    "chunked",
    "descriptors",
    "piecefile",
    "folders",
    "store",
    "milestones",
    "pipes",
]

NODE = ["answers", "requests", "connection", "dialogue", "export", "push", "check", "load", "typed", "command"]
"""The node's side, a package of its own: a module imports only from its left, and of the daemon little."""

ADMIN = ["words", "status", "health", "gauges", "actions", "page", "door", "site"]
"""What the administrator sees, a package of its own: a module imports only from its left, and of the daemon all but
where it is put together."""

TUS = [
    "errors",
    "checksums",
    "fields",
    "origins",
    "records",
    "claims",
    "statements",
    "registry",
    "chunks",
    "resource",
]
"""The resumable front door, a package of its own: a module imports only from its left, and of the daemon what stands
to the left of ``sweep``."""

BESIDE = {"__init__", "examine", "launch", "testing"}
MODULES = [*ORDER, *BESIDE]


def parsed(module: str) -> ast.Module:
    """Return a module's syntax tree, without what is imported for types alone."""

    class WithoutTypes(ast.NodeTransformer):
        """Cuts ``if TYPE_CHECKING:`` out."""

        def visit_If(self, node: ast.If) -> ast.AST | None:
            """Cut it out."""
            return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    tree = WithoutTypes().visit(ast.parse((HOUSE / f"{module}.py").read_text(encoding="utf-8")))
    assert isinstance(tree, ast.Module)
    return tree


def imported(module: str) -> set[str]:
    """Return the dotted names that a module imports when it is used."""
    found = set()
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_module_has_its_place() -> None:
    """A new one is put into the order."""
    assert sorted(path.stem for path in HOUSE.glob("*.py")) == sorted(MODULES)


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_from_its_left(module: str) -> None:
    """So there are no circles, and the left can be read first."""
    ours = {name.split(".")[1] for name in imported(module) if name.startswith("onec_twisted.")}

    if module == "tap":
        ours -= {"admin", "__version__"}
    ours.discard("tus")
    assert ours <= set(ORDER[: ORDER.index(module)])


@pytest.mark.parametrize("module", WITHOUT_TWISTED)
def test_values_and_the_store_know_nothing_of_twisted(module: str) -> None:
    """They can be tested, and read, without it."""
    assert not any(name.startswith("twisted") for name in imported(module))


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"store"}))
def test_paths_are_built_only_in_the_store(module: str) -> None:
    """What is given as a path may be opened elsewhere; nothing is ever put together."""
    source = ast.unparse(parsed(module))

    assert "joinpath" not in source
    assert "os.path" not in source
    assert "/ '1c_temp'" not in source


def test_the_reactor_is_imported_only_in_make_service() -> None:
    """Everything else is given it."""
    places = [module for module in MODULES if "twisted.internet.reactor" in imported(module)]
    top_level = {ast.unparse(node) for node in parsed("tap").body}

    assert places == ["tap"]
    assert "from twisted.internet import reactor" not in top_level


@pytest.mark.parametrize("module", MODULES)
def test_time_is_an_argument(module: str) -> None:
    """The clock is read in ``tap`` alone."""
    source = ast.unparse(parsed(module))

    assert module == "tap" or ("time.time" not in source and "time.monotonic" not in source)
    assert "datetime.now" not in source


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"channel", "request", "sockets"}))
def test_private_names_of_others_are_left_alone(module: str) -> None:
    """Only ``channel``, ``request`` and ``sockets`` may owe Twisted something."""
    private = [
        ast.unparse(node)
        for node in ast.walk(parsed(module))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    ]

    assert private == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_read_in_one_sitting(module: str) -> None:
    """And its name says what is in it."""
    assert len((HOUSE / f"{module}.py").read_text(encoding="utf-8").splitlines()) <= 350
    assert not {"util", "utils", "helper", "helpers", "manager", "handler", "processor", "data", "info"} & {module}
    assert ast.get_docstring(parsed(module))


def test_the_nodes_side_has_its_order() -> None:
    """And its tests; of the daemon it knows what has no state: a client with what it stands on, an empty document."""
    found = {path.stem for path in (HOUSE / "node").glob("*.py")}
    assert found == {*NODE, "__init__"}
    for module in NODE:
        path = HOUSE / "node" / f"{module}.py"
        source = path.read_text(encoding="utf-8")
        ours = set(re.findall(r"from onec_twisted\.(\S+) import", source))
        assert {name.removeprefix("node.") for name in ours if name.startswith("node.")} <= set(
            NODE[: NODE.index(module)]
        )
        assert {name for name in ours if not name.startswith("node.")} <= {
            "archive",
            "client",
            "heads",
            "shown",
            "trust",
            "written",
        }, module
        assert len(source.splitlines()) <= 350
        assert ast.get_docstring(ast.parse(source))
        assert (TESTS / f"test_node_{module}.py").exists() or module in {"requests", "connection"}


def test_tus_has_its_order() -> None:
    """And its tests; of the daemon only ``tap`` and ``options`` know of it."""
    found = {path.stem for path in (HOUSE / "tus").glob("*.py")}
    assert found == {*TUS, "__init__"}
    for module in TUS:
        path = HOUSE / "tus" / f"{module}.py"
        source = path.read_text(encoding="utf-8")
        used = source.replace("\n    from", "")
        ours = set(re.findall(r"from onec_twisted\.tus\.(\S+) import", used))
        ours |= {name for place, name in enumerate(TUS) if f"from onec_twisted.tus import {name}" in used}
        assert ours <= set(TUS[: TUS.index(module)]), module
        daemons = set(re.findall(r"from onec_twisted\.(\w+) import", used)) - {"tus"}
        assert daemons <= set(ORDER[: ORDER.index("sweep")]), module
        assert ("twisted." not in used.replace("onec_twisted.", "")) or module in {"chunks", "resource"}
        assert not re.search(r"time\.time|time\.monotonic|import reactor|os\.path|joinpath", source)
        assert len(source.splitlines()) <= 350
        assert ast.get_docstring(ast.parse(source))
        assert (TESTS / f"test_tus_{module}.py").exists() or module == "errors"
    for module in ORDER:
        assert module in {"tap", "options"} or "onec_twisted.tus" not in ast.unparse(parsed(module))


def test_the_administrators_side_has_its_order() -> None:
    """And its tests; nothing but ``tap`` knows of it."""
    found = {path.stem for path in (HOUSE / "admin").glob("*.py")}
    assert found == {*ADMIN, "__init__"}
    for module in ADMIN:
        path = HOUSE / "admin" / f"{module}.py"
        source = path.read_text(encoding="utf-8")
        ours = set(re.findall(r"from onec_twisted\.admin\.(\S+) import", source.replace("\n    from", "")))
        assert ours <= set(ADMIN[: ADMIN.index(module)]), module
        assert not re.search(r"onec_twisted\.(tap|service|options|node)", source)
        assert not re.search(r"time\.time|time\.monotonic|import reactor", source)
        assert len(source.splitlines()) <= 350
        assert ast.get_docstring(ast.parse(source))
        assert (TESTS / f"test_admin_{module}.py").exists()


def test_tests_mirror_the_modules() -> None:
    """A newcomer finds them by name; values without logic are tested where they are used."""
    without = {"errors", "interfaces", "piecefile"}

    assert [module for module in ORDER if not (TESTS / f"test_{module}.py").exists() and module not in without] == []


@pytest.mark.parametrize("path", sorted(TESTS.glob("test_*.py")), ids=lambda path: str(path.stem))
def test_every_test_has_a_sentence(path: Path) -> None:
    """That says what holds."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tests = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]

    assert tests or "RuleBasedStateMachine" in path.read_text(encoding="utf-8")
    assert [node.name for node in tests if not ast.get_docstring(node)] == []


def test_nothing_lies_about_in_the_house() -> None:
    """No leavings of editors and patches: all of it goes into the wheel."""
    found = {path.suffix for path in HOUSE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}

    assert found == {".py", ".typed", ".css", ".js", ".svg"}
