"""Dashboard, alerts and docs/operations.md: what they name is there in a daemon, and nothing of it is left out."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from administrator import observed
from attrs import define
from daemon import AUTH, PATIENCE
from documents import anchors, is_refusal
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred
from twisted.python import usage

from onec_twisted.admin.gauges import Gauges
from onec_twisted.admin.health import HealthCheck
from onec_twisted.daemon.options import Options
from onec_twisted.http.head import fields_of_target
from onec_twisted.model import errors
from onec_twisted.rufh import errors as rufh_errors
from onec_twisted.runtime.metrics import reason_of
from onec_twisted.tus import errors as tus_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from in_memory import InMemory

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy" / "alerts.yml"
ALERT_TESTS = ROOT / "tests" / "alerts_test.yml"
OPERATIONS = ROOT / "docs" / "operations.md"
DOCUMENT = OPERATIONS.read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text(encoding="utf-8"))

deploy = pytest.mark.skipif("ONEC_TEST_DEPLOY" not in os.environ, reason="tox -e deploy runs it")

SCRAPED = {"job", "instance"}
"""Labels that Prometheus adds to whatever it scrapes."""

JOB = "onec-exchange"
WORDS = re.compile(r'"[^"]*"|\b(?:by|on|without|ignoring)\s*\([^)]*\)|\[[^\]]*\]')
"""What in an expression is no name of a metric."""

REASONS = {
    reason_of(refused)
    for kinds in (errors, tus_errors, rufh_errors)
    for refused in vars(kinds).values()
    if is_refusal(refused)
}

LEVELS = {
    "debug": "debug",
    "info": "info",
    "warn": "warn",
    "error": "error",
    "critical": "critical",
    "failure": "critical",
}


@define
class Metric:
    """A metric as it is exposed: its type, and the values of each label that were seen."""

    kind: str
    labels: dict[str, set[str]]


@define
class Rule:
    """A rule of ``alerts.yml``; ``text`` is all of it."""

    kind: str
    name: str
    expr: str
    text: str

    def annotation(self, name: str) -> str:
        """Return what it says; words that go on in the next lines are joined."""
        found = re.search(rf"^          {name}: (?:>-\n((?:            .*\n?)+)|(.*))", self.text, re.MULTILINE)
        assert found is not None, f"{self.name}: {name}"
        return " ".join((found[1] or found[2]).split())


def rules() -> list[Rule]:
    """Return the rules, read as they are written: there is no YAML among what tests need."""
    found = []
    for text in re.split(r"^      - (?=alert:|record:)", ALERTS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        kind, name = re.match(r"(alert|record): (\S+)\n", text).groups()  # type: ignore[union-attr]
        match = re.search(r"^        expr: (?:[|>]-?\n((?:          .*\n|\n)+)|(.*)\n)", text, re.MULTILINE)
        assert match is not None, name
        found.append(Rule(kind, name, match[1] or match[2], text))
    return found


RULES = rules()
NAMES = [rule.name for rule in RULES if rule.kind == "alert"]


def panels(kinds: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Return the dashboard's panels, rows left out unless they are asked for."""
    return [
        panel for panel in DASHBOARD["panels"] if panel["type"] in kinds or (not kinds and panel["type"] != "row")
    ]


def without_variables(expression: str) -> str:
    """Return a dashboard's expression as Prometheus gets it."""
    filled = expression.replace("$__rate_interval", "5m").replace("$instance", ".*")
    assert "$" not in filled, expression
    return filled


def expressions() -> list[str]:
    """Return every expression of the dashboard and of the alerts."""
    shown = [without_variables(target["expr"]) for panel in panels() for target in panel["targets"]]
    return shown + [rule.expr for rule in RULES]


@pytest.fixture
def exposition(exchange: InMemory) -> str:
    """What a daemon with a TLS endpoint tells Prometheus, when each refusal has come once."""
    exchange.means.metrics.report_build(version="1", twisted="2", python="3")
    for refused in vars(errors).values():
        if isinstance(refused, type) and issubclass(refused, errors.Refused) and refused is not errors.Refused:
            exchange.means.metrics.refused(refused.__new__(refused))
    looked_at = observed(exchange)
    health = HealthCheck(looked_at, exchange.parts.locks)
    gauges = Gauges(looked_at, health, lambda: {"ssl:443": 1.9e9})
    told: list[tuple[bytes, str]] = []
    Deferred.fromCoroutine(gauges.exposition("")).addCallback(told.append)
    return told[0][0].decode()


@pytest.fixture
def exposed(exposition: str) -> dict[str, Metric]:
    """The same, by the names of samples, and of families where those have a type of their own."""
    metrics: dict[str, Metric] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            metric = metrics.setdefault(sample.name, Metric(family.type, {}))
            for label, value in sample.labels.items():
                metric.labels.setdefault(label, set()).add(value)
    return metrics


def selectors(expression: str) -> Iterator[tuple[str, str]]:
    """Yield each metric that an expression names, with its matchers."""
    bare = WORDS.sub(lambda found: found[0] if found[0].startswith('"') else " ", expression)
    yield from re.findall(r"\b((?:onec|process)[\w:]*|up)\b\s*(?:\{([^}]*)\})?", bare)


def check(name: str, matchers: str, exposed: dict[str, Metric]) -> None:
    """See that a metric, its labels and their values exist."""
    recorded = {rule.name: rule.expr for rule in RULES if rule.kind == "record"}
    if name == "up":
        assert matchers == f'job="{JOB}"'
        return
    if name in recorded:
        (name, _), *_ = selectors(recorded[name])
    known = exposed[name]
    for label, sign, values in re.findall(r'(\w+)\s*(=~|=|!=|!~)\s*"([^"]*)"', matchers):
        if label in SCRAPED:
            assert (label, sign, values) in {("job", "=", JOB), ("instance", "=~", ".*")}
            continue
        assert label in known.labels, f"{name}{{{label}}}"
        for value in values.split("|"):
            assert value in known.labels[label], f"{name}{{{label}={value}}}"


def test_what_is_asked_for_exists(exposed: dict[str, Metric]) -> None:
    """Metrics, their labels and the labels' values, in every expression of the dashboard and of the alerts."""
    labels = {label for name in exposed for label in exposed[name].labels} | SCRAPED
    for expression in expressions():
        asked = list(selectors(expression))
        assert asked, expression
        for name, matchers in asked:
            check(name, matchers, exposed)
        for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
            assert {label.strip() for label in group.split(",")} <= labels, expression


def test_metrics_of_the_process_are_ours() -> None:
    """Others are scraped by the same Prometheus: the alerts name the job."""
    for rule in RULES:
        for name, matchers in selectors(rule.expr):
            assert not name.startswith("process_") or f'job="{JOB}"' in matchers, rule.name


def test_labels_in_words_exist(exposed: dict[str, Metric]) -> None:
    """Legends and annotations name labels that there are."""
    labels = {label for metric in exposed.values() for label in metric.labels} | SCRAPED
    legends = [target["legendFormat"] for panel in panels() for target in panel["targets"]]
    named = {name for legend in legends for name in re.findall(r"\{\{(\w+)\}\}", legend)}
    named |= {name for rule in RULES for name in re.findall(r"\$labels\.(\w+)", rule.text)}

    assert named <= labels


def test_every_metric_is_on_the_dashboard(exposed: dict[str, Metric]) -> None:
    """Of ours, each."""
    shown = {name for expression in expressions() for name, _ in selectors(expression)}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exposed if name.startswith("onec_")}

    assert families - {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown} == set()


class TestDashboard:
    def test_ids_are_unique(self) -> None:
        """Of panels, and the letters of the queries within each."""
        ids = [panel["id"] for panel in DASHBOARD["panels"]]

        assert len(set(ids)) == len(ids)
        for panel in panels():
            letters = [target["refId"] for target in panel["targets"]]
            assert len(set(letters)) == len(letters)

    def test_panels_do_not_overlap(self) -> None:
        """Each is on the grid of 24 columns, and has its cells for itself."""
        taken: dict[tuple[int, int], int] = {}
        for panel in DASHBOARD["panels"]:
            place = panel["gridPos"]
            assert 0 <= place["x"] < place["x"] + place["w"] <= 24
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    assert taken.setdefault((x, y), panel["id"]) == panel["id"], panel["title"]

    def test_titles_are_unique_in_their_rows(self) -> None:
        """And each panel says what it shows, in which unit, and asks the data source that was chosen."""
        titles: list[str] = []
        for panel in DASHBOARD["panels"]:
            titles = [panel["title"]] if panel["type"] == "row" else [*titles, panel["title"]]
            assert len(set(titles)) == len(titles)
        for panel in panels():
            assert panel["description"].endswith(".")
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["datasource"]["uid"] == "${datasource}"
            assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])

    def test_units_fit_the_metrics(self) -> None:
        """Seconds are seconds, bytes are bytes, and their rates are rates."""
        for panel in panels():
            unit = panel["fieldConfig"]["defaults"]["unit"]
            for target in panel["targets"]:
                expression = target["expr"]
                wanted = {"s"} if "_seconds_bucket" in expression else None
                if re.search(r"_bytes\b|_bytes_total", expression):
                    wanted = {"Bps"} if "rate(" in expression else {"bytes"}
                if " / " in expression:
                    wanted = {"percentunit"}
                assert wanted is None or unit in wanted, panel["title"]

    def test_it_can_be_imported(self) -> None:
        """It brings no id of the Grafana that it was made in, and its two variables."""
        data_source, instance = DASHBOARD["templating"]["list"]

        assert DASHBOARD["id"] is None
        assert DASHBOARD["schemaVersion"] >= 39
        assert (data_source["type"], data_source["query"]) == ("datasource", "prometheus")
        assert instance["query"]["query"] == instance["definition"] == "label_values(onec_build_info, instance)"
        assert all('instance=~"$instance"' in target["expr"] for panel in panels() for target in panel["targets"])


class TestAlerts:
    def test_each_has_its_section(self) -> None:
        """And each section its alert, in the same words that the alert links to."""
        section = DOCUMENT.partition("\n## What each alert means\n")[2].partition("\n## ")[0]
        titles = re.findall(r"^### (.+)$", section, re.MULTILINE)

        assert sorted(titles) == sorted(NAMES)
        assert len(set(NAMES)) == len(NAMES)
        for rule in RULES:
            if rule.kind == "alert":
                place, _, anchor = rule.annotation("runbook").partition("#")
                assert (ROOT / place, anchor) == (OPERATIONS, rule.name.lower())
                assert anchor in anchors(OPERATIONS)

    def test_each_says_how_bad_it_is_and_what_to_do(self) -> None:
        """In words, with the daemon that it is about."""
        for rule in RULES:
            if rule.kind == "alert":
                assert re.search(r"^          severity: (critical|warning)$", rule.text, re.MULTILINE), rule.name
                assert "{{ $labels." in rule.annotation("summary")
                assert rule.annotation("description").endswith(".")

    def test_each_has_a_test(self) -> None:
        """That makes it fire."""
        tested = re.findall(r'alertname="(\w+)"', ALERT_TESTS.read_text(encoding="utf-8"))

        assert set(tested) == set(NAMES)


@deploy
class TestPromtool:
    def run(self, *arguments: object, said: str = "") -> str:
        """Run promtool, which must be content, and return what it prints."""
        done = subprocess.run(
            ["promtool", *(str(argument) for argument in arguments)],
            input=said,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def test_rules(self) -> None:
        """They are understood, and are as many as we have read."""
        said = self.run("check", "rules", "--lint=all", "--lint-fatal", ALERTS)

        assert f"SUCCESS: {len(RULES)} rules found" in said

    def test_alerts_fire_and_are_silent(self) -> None:
        """As ``alerts_test.yml`` has it."""
        assert "SUCCESS" in self.run("test", "rules", ALERT_TESTS)

    def test_expressions_of_the_dashboard(self, tmp_path: Path) -> None:
        """Each is understood, once its variables are filled in."""
        asked = [without_variables(target["expr"]) for panel in panels() for target in panel["targets"]]
        records = [{"record": f"panel:number{number}", "expr": expr} for number, expr in enumerate(asked)]
        path = tmp_path / "rules.yml"
        path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": records}]}), encoding="utf-8")

        assert f"SUCCESS: {len(asked)} rules found" in self.run("check", "rules", path)

    def test_metrics_follow_the_conventions(self, exposition: str) -> None:
        """Promtool finds nothing to say about names, units and help."""
        assert self.run("check", "metrics", said=exposition) == ""

    def test_the_example_of_a_scrape(self, tmp_path: Path) -> None:
        """Prometheus takes it."""
        (example,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
        path = tmp_path / "prometheus.yml"
        path.write_text(example, encoding="utf-8")

        assert "SUCCESS" in self.run("check", "config", "--syntax-only", path)
        assert f"job_name: {JOB} " in example


def rows(section: str) -> list[list[str]]:
    """Return the rows of the first table in a section of the document, its cells without blanks."""
    content = DOCUMENT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    table = re.findall(r"^\|.*\|$", content, re.MULTILINE)[2:]
    return [[cell.strip() for cell in row[1:-1].split("|")] for row in table]


def codes(cell: str) -> list[str]:
    """Return what is written as code in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def test_every_metric_has_its_row(exposed: dict[str, Metric]) -> None:
    """With its type and its labels; and no row is of a metric that there is not."""
    told = {codes(name)[0]: (kind, set(codes(labels))) for name, kind, labels, _ in rows("Metrics")}
    real = {}
    for name, metric in exposed.items():
        if name.startswith("onec_"):
            family = re.sub(r"_(bucket|count|sum)$", "", name)
            labels = set(metric.labels) - {"le"}
            real[family] = (metric.kind, labels)

    assert told == real


def test_every_value_of_a_label_is_told(exposed: dict[str, Metric]) -> None:
    """Outcomes, states and targets in the row of their metric, reasons below the table."""
    told = {codes(name)[0]: set(codes(words)) for name, _, _, words in rows("Metrics")}
    for name in ("onec_pieces_total", "onec_handoff_tries_total", "onec_handoffs"):
        (values,) = exposed[name].labels.values()
        assert values <= told[name], name
    assert exposed["onec_sync_duration_seconds_count"].labels["target"] <= told["onec_sync_duration_seconds"]

    listed = [
        reason
        for line in re.findall(r"^\* (?:who|what) [^:]*:((?:.|\n  )*)", DOCUMENT, re.MULTILINE)
        for reason in codes(line)
    ]
    assert sorted(listed) == sorted(REASONS)


def fields_of(call: ast.Call) -> frozenset[str]:
    """Return the fields that an event is given, those of a request's target included."""
    named = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
    rest = [ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg is None]
    assert all(value.startswith("fields_of_target(") for value in rest)
    return frozenset(named | (set(fields_of_target(b"GET", b"/")) if rest else set()))


def events() -> Iterator[tuple[str, str, frozenset[str]]]:
    """Yield every event that the daemon's modules write: its words, its level, and its fields."""
    for path in sorted((ROOT / "onec_twisted").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                source = ast.unparse(node.func.value)
                if source in {"_log", "self._log", "self.log"} or source.startswith("Logger("):
                    words = ast.literal_eval(node.args[0])
                    yield words, LEVELS[node.func.attr], fields_of(node)
            if isinstance(node, ast.FunctionDef) and node.name == "_log_outcome":
                yield from events_of_tries(node)


def events_of_tries(function: ast.FunctionDef) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Yield the events of ``Relay._log_outcome``, which takes words and level from tables by what came of a try."""
    tables = [node for node in ast.walk(function) if isinstance(node, ast.Dict)]
    words, levels = (
        {ast.unparse(key): value for key, value in zip(table.keys, table.values, strict=True) if key is not None}
        for table in tables
    )
    (call,) = (
        node for node in ast.walk(function) if isinstance(node, ast.Call) and ast.unparse(node.func) == "write"
    )
    fields = frozenset(keyword.arg or "" for keyword in call.keywords)
    for state, said in words.items():
        level = levels[state]
        assert isinstance(level, ast.Attribute)
        yield ast.literal_eval(said), LEVELS[level.attr], fields


def test_every_event_has_its_row() -> None:
    """With its level and its fields; and no row is of an event that there is not."""
    told = [(codes(words)[0], level, frozenset(codes(fields))) for words, level, fields, _ in rows("Logs")]

    assert set(told) == set(events())
    assert len(set(told)) == len(told)


def test_alerts_and_advice_quote_what_the_log_says() -> None:
    """Words that a reader is to look for in the log are there."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "onec_twisted").rglob("*.py"))
    for words in (
        "not delivered on attempt",
        "failed permanently",
        "quiet sessions could not be handed off",
        "session opened by",
        "some metrics could not be read",
        "renewed certificate loaded",
        "Given up after",
        "The site cannot be asked",
        *re.findall(r"`([A-Z][\w' ]+(?: - retry later)?)`", DOCUMENT),
    ):
        assert words in DOCUMENT
        assert re.sub(r"\d.*", "", words) in sources, words


def test_options_that_it_names_exist() -> None:
    """Ours, but for those of other programs; and those that take values take the ones that stand there."""
    others = {
        "pidfile",
        "logfile",
        "upgrade",
        "help",
        "delete",
        "deploy-hook",
        "stop-timeout",
        "pid",
        "property",
        "value",
    }
    known = {option.rstrip("=") for option in Options().longOpt}
    named = set(re.findall(r"(?<![-\w])--([a-z]+(?:-[a-z]+)*)", DOCUMENT))
    assert named - others <= known
    assert {name for name in known if name.startswith(("admin", "log-", "max-", "min-"))} <= named

    for option, value in re.findall(r"`--([a-z-]+)=([\w.]+)`", DOCUMENT):
        options = Options()
        try:
            options.parseOptions([AUTH, f"--{option}={value}"])
        except (usage.UsageError, SystemExit) as error:
            pytest.fail(f"--{option}={value}: {error}")
