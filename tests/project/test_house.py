"""The rules of the house, each in a few lines."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from house import FOR_NODES, HOUSE, NODE, PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

TESTS = Path(__file__).parents[1]

NODE_CLOCKS = {"node.check", "node.command"}
"""Where the node's side reads the clock: nobody gives it one."""

FRONT_DOORS = {"exchange", "rufh", "tus"}
ORDER = [f"{package}.{module}" for package, modules in PACKAGES.items() for module in modules]
PROGRAMS = [
    "delivery.launch",
    "delivery.confinement",
    "delivery.examine",
    "delivery.peek",
    "delivery.prepare",
    "delivery.check",
]
BESIDE = ["testing", *PROGRAMS, *(f"node.{module}" for module in NODE)]
MODULES = [*ORDER, *BESIDE, "tap", "onec_node", "onec_exchange"]
PACKAGE_FILES = {"", "model.refusals", "catalog.sql", "admin.words", "admin.pages", "node", *PACKAGES}

ONE_WORD = re.compile(r"_?[A-Z]+")
LONGEST_MODULE, LONGEST_FUNCTION, MOST_METHODS = 350, 60, 20
WITHOUT_TESTS = {
    *(f"model.{module}" for module in PACKAGES["model"] if module.startswith("refusals.")),
    "model.journal",
    "model.notice",
    "daemon.parameters",
    "admin.words.english",
    "admin.words.russian",
    "catalog.interfaces",
    "auth.interfaces",
    "storage.interfaces",
    "storage.file",
    "http.interfaces",
    "delivery.interfaces",
    "delivery.relaying",
    "tus.errors",
    "rufh.errors",
    "node.requests",
    "node.connection",
}
"""Values and interfaces are tested where they are used; so is what only the network can try."""


def path_of(module: str) -> Path:
    """Return a module's file."""
    return HOUSE / f"{module.replace('.', '/')}.py"


def parsed(module: str) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(path_of(module).read_text(encoding="utf-8"))


def imported(module: str) -> set[str]:
    """Return the dotted names that a module imports, for types alone or not."""
    found = set()
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(module: str) -> set[str]:
    """Return the modules of the house that a module imports."""
    known = set(MODULES)
    found = set()
    for name in imported(module):
        if name.startswith("onec_twisted.") and name != "onec_twisted.__version__":
            inside = name.removeprefix("onec_twisted.")
            found.add(inside if inside in known else inside.rpartition(".")[0])
    return found


def functions(module: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions and methods of a module."""
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_every_module_has_its_place() -> None:
    """A new one is put into the order."""
    found = {str(path.relative_to(HOUSE).with_suffix("")).replace("/", ".") for path in HOUSE.rglob("*.py")}
    packages = {f"{name}.__init__".removeprefix(".") for name in PACKAGE_FILES}

    assert sorted(found - packages) == sorted(MODULES)
    assert packages <= found


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_what_stands_before_it(module: str) -> None:
    """Names that are used for types alone count: so there are no circles, and reading can begin at the top."""
    assert sorted(ours(module) - set(ORDER[: ORDER.index(module)])) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_lists_its_modules(package: str) -> None:
    """In the order of the house, so that whoever opens it knows where to begin."""
    told = ast.get_docstring(ast.parse((HOUSE / package / "__init__.py").read_text(encoding="utf-8"))) or ""
    beside = [name.removeprefix(f"{package}.") for name in BESIDE if name.startswith(f"{package}.")]

    assert re.findall(r"^\* ``([\w.]+)``", told, re.MULTILINE) == [*PACKAGES[package], *beside]


@pytest.mark.parametrize("module", [name for name in ORDER if not name.startswith("daemon.")])
def test_front_doors_know_nothing_of_one_another(module: str) -> None:
    """Nor does anybody but the daemon know of one."""
    assert (
        sorted({name.split(".")[0] for name in ours(module)} & FRONT_DOORS - {module.split(".", maxsplit=1)[0]}) == []
    )


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("model.")])
def test_refusals_are_imported_from_one_place(module: str) -> None:
    """It has all of them, so that each is counted from the start."""
    assert not any(name.startswith("onec_twisted.model.refusals") for name in imported(module))


@pytest.mark.parametrize("module", NODE)
def test_the_nodes_side_has_its_order(module: str) -> None:
    """Of the daemon it knows what has no state."""
    left = {f"node.{name}" for name in NODE[: NODE.index(module)]}

    assert ours(f"node.{module}") <= left | FOR_NODES


@pytest.mark.parametrize("module", [name for name in ORDER if name.startswith(("model.", "storage."))])
def test_values_and_the_store_know_nothing_of_twisted(module: str) -> None:
    """They can be tested, and read, without it."""
    assert not any(name.startswith("twisted") for name in imported(module))


@pytest.mark.parametrize("module", MODULES)
def test_sql_stands_in_one_place(module: str) -> None:
    """And only one module speaks with the database engine."""
    source = path_of(module).read_text(encoding="utf-8")

    engine = {name for name in imported(module) if name.split(".")[0] == "sqlite3" and name != "sqlite3.Cursor"}
    statements = re.findall(r"\b(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE)\b", source)

    assert [
        *(engine if module != "catalog.sqlite" else ()),
        *(statements if not module.startswith(("catalog.sql.", "cluster.")) else ()),
    ] == []


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"storage.local"}))
def test_paths_are_built_only_in_the_store(module: str) -> None:
    """What is given as a path may be opened elsewhere; nothing is ever put together."""
    source = ast.unparse(parsed(module))

    assert "joinpath" not in source or module == "admin.site"
    assert "os.path" not in source
    assert "/ '1c_temp'" not in source


def test_the_reactor_is_imported_only_in_make_service() -> None:
    """Everything else is given it."""
    places = [module for module in MODULES if "twisted.internet.reactor" in imported(module)]
    top_level = {ast.unparse(node) for node in parsed("tap").body}

    assert places == ["node.command", "tap"]
    assert "from twisted.internet import reactor" not in top_level


@pytest.mark.parametrize("module", MODULES)
def test_time_is_an_argument(module: str) -> None:
    """The clock is read where all parts are put together."""
    source = ast.unparse(parsed(module))

    clocks = re.findall(r"time\.(?:time|monotonic)\b|datetime\.now", source)

    assert clocks == [] or module in {"daemon.assembly", *NODE_CLOCKS}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"http.sockets", "http.sources"}))
def test_private_names_of_others_are_left_alone(module: str) -> None:
    """Only two modules may owe Twisted something."""
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
    lines = len(path_of(module).read_text(encoding="utf-8").splitlines())

    assert lines <= LONGEST_MODULE
    assert not {"util", "utils", "helper", "helpers", "manager", "handler", "processor", "data", "info"} & set(
        module.split(".")
    )
    assert ast.get_docstring(parsed(module))


@pytest.mark.parametrize("module", MODULES)
def test_functions_and_classes_are_short(module: str) -> None:
    """A function fits on a screen, a class is one thing."""
    long = [node.name for node in functions(module) if (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION]
    wide = [
        node.name
        for node in ast.walk(parsed(module))
        if isinstance(node, ast.ClassDef)
        and sum(isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) for one in node.body) > MOST_METHODS
    ]

    assert [*long, *wide] == []


@pytest.mark.parametrize("module", MODULES)
def test_nobody_reaches_through_others(module: str) -> None:
    """Ask for the part that you use: no call through three dots."""
    reaches = [
        ast.unparse(node.func)
        for node in ast.walk(parsed(module))
        if isinstance(node, ast.Call)
        and re.fullmatch(r"\w+(?:\.\w+){3,}", ast.unparse(node.func))
        and not ast.unparse(node.func).startswith("defer.")
    ]

    assert reaches == []


@pytest.mark.parametrize("module", MODULES)
def test_no_part_is_made_by_default(module: str) -> None:
    """A forgotten argument fails, and does not count into nowhere."""
    source = path_of(module).read_text(encoding="utf-8")
    parts = "Metrics|Uploads|Transfers|Recorder|Connections|Limits"

    assert re.findall(rf"\bor (?:{parts})\(|factory=(?:{parts}|lambda: (?:{parts}))\b", source) == []


@pytest.mark.parametrize("module", MODULES)
def test_times_and_sizes_are_named_in_full(module: str) -> None:
    """A constant of one word says neither what it bounds nor for whom."""
    short = [
        target.id
        for node in parsed(module).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant | ast.BinOp)
        for target in node.targets
        if isinstance(target, ast.Name)
        and ONE_WORD.fullmatch(target.id)
        and not isinstance(getattr(node.value, "value", None), str | bytes)
    ]

    assert short == []


@pytest.mark.parametrize("module", MODULES)
def test_a_docstring_says_something(module: str) -> None:
    """A method that provides an interface has that interface's docstring, and needs none that points there."""
    empty = [
        node.name for node in functions(module) if re.fullmatch(r"See ``\w+``\.?", ast.get_docstring(node) or "")
    ]

    assert empty == []


@pytest.mark.parametrize("module", MODULES)
def test_public_methods_say_what_they_are_for(module: str) -> None:
    """Those alone need not that an interface, or a class above, has described."""
    silent = [
        f"{made.name}.{node.name}"
        for made in ast.walk(parsed(module))
        if isinstance(made, ast.ClassDef)
        and not made.name.startswith("_")
        and not made.bases
        and not any(ast.unparse(one).startswith("implementer(") for one in made.decorator_list)
        for node in made.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]

    assert silent == []


@pytest.mark.parametrize("module", [*ORDER, *(f"node.{name}" for name in NODE)])
def test_tests_mirror_the_modules(module: str) -> None:
    """A newcomer finds them by name."""
    name = f"{module.split('.', maxsplit=1)[0]}/test_{module.replace('.', '_')}.py"

    assert module in WITHOUT_TESTS or (TESTS / name).exists(), name


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: str(path.stem))
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
