"""``--importer=NAME:ARGUMENTS``: found as plugins, made with what they need, or refused with words."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.plugin import IPlugin
from zope.interface.verify import verifyObject

from onec_twisted.delivery import importers
from onec_twisted.delivery.importers import OURS, ImporterFactory, factory_of, importers_help, make_importer
from onec_twisted.delivery.interfaces import IImporter, IImporterFactory, Surroundings
from onec_twisted.delivery.keep import Keep
from onec_twisted.delivery.program import Program
from onec_twisted.delivery.webhook import Webhook
from onec_twisted.testing import FakeImporter, inline


@pytest.fixture
def surroundings() -> Surroundings:
    """What importers may work with."""
    from twisted.internet import reactor

    return Surroundings(reactor, inline, 60.0, b"key")


def test_ours_are_plugins() -> None:
    """Found by Twisted, as anybody's would be."""
    for factory in OURS:
        assert verifyObject(IImporterFactory, factory)
        assert verifyObject(IPlugin, factory)
        assert factory_of(f"{factory.importerType}:x") is factory


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("keep", Keep),
        ("exec:/bin/true", Program),
        ("http://127.0.0.1/x", Webhook),
        ("http:http://127.0.0.1/x", Webhook),
        ("https://shop.example/x", Webhook),
    ],
)
def test_each_is_made(spec: str, kind: type[Any], surroundings: Surroundings) -> None:
    """From what is written on the command line."""
    made: Any = make_importer(spec, surroundings)

    assert isinstance(made, kind)
    assert verifyObject(IImporter, made)
    assert getattr(made, "timeout", 60.0) == 60.0


@pytest.mark.parametrize("spec", ["keep:x", "exec:", "exec:/nowhere", "http:", "http:x", "https://"])
def test_what_cannot_be_made(spec: str, surroundings: Surroundings) -> None:
    """Is told in words."""
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        make_importer(spec, surroundings)


def test_an_importer_that_nobody_has(surroundings: Surroundings) -> None:
    """Whatever follows its name."""
    with pytest.raises(LookupError):
        make_importer("bitrix:x", surroundings)


def test_help_lists_all() -> None:
    """With their arguments, as strcred does."""
    text = importers_help()

    for factory in OURS:
        assert f"  {factory.importerType}\n    Arguments: {factory.argStringFormat}" in text
        assert factory.importerHelp.strip().splitlines()[0] in text


def test_somebody_elses(monkeypatch: pytest.MonkeyPatch, surroundings: Surroundings) -> None:
    """A plugin of yours is chosen and listed as ours are."""
    fake = FakeImporter()
    yours = ImporterFactory("yours", "Does it.", "any", lambda argument, _: fake)
    monkeypatch.setattr(importers, "getPlugins", lambda _: [*OURS, yours])

    assert make_importer("yours:x", surroundings) is fake
    assert "  yours\n    Arguments: any\n    Does it." in importers_help()
