"""Where an option may come from besides a file: the command line and the environment."""

from __future__ import annotations

import pytest

from onec_twisted.daemon.given import foreign_variables, given_in_environment, given_on_line, variable_of
from onec_twisted.daemon.values import Wrong


def test_a_command_line() -> None:
    """Long options may be shortened as everywhere in Twisted; a repeated one has all its texts."""
    found = given_on_line(["--path=/a", "--path", "/b", "--set=5", "-h"], "h", ["path=", "settle=", "help"])

    assert {name: one.texts for name, one in found.items()} == {"path": ("/a", "/b"), "settle": ("5",), "h": ("",)}
    assert found["path"].origin() == "command line"
    assert given_on_line(["--nonsense"], "h", ["path="]) == {}, "its parser says what is wrong"


def test_the_environment() -> None:
    """A variable for each option; an empty one is as good as none."""
    variables = {"ONEC_EXCHANGE_FILE_LIMIT": "1M", "ONEC_EXCHANGE_SETTLE": "", "FILE_LIMIT": "2M"}
    found = given_in_environment(["file-limit", "settle"], variables)

    assert {name: one.texts for name, one in found.items()} == {"file-limit": ("1M",)}
    assert found["file-limit"].origin() == "ONEC_EXCHANGE_FILE_LIMIT" == variable_of("file-limit")
    assert found["file-limit"].explain(Wrong("file-limit", "1M", "no")) == "ONEC_EXCHANGE_FILE_LIMIT=1M: no"
    assert "1M" not in repr(found), "it may be a password"


def test_several_in_one_variable() -> None:
    """One text, or a list."""
    for text, texts in (("/a", ("/a",)), ('["/a", "/b"]', ("/a", "/b")), ("[]", ())):
        assert given_in_environment(["path"], {"ONEC_EXCHANGE_PATH": text})["path"].texts == texts
    for slip in ("[/a]", "[1]", '["/a"'):
        with pytest.raises(Wrong, match="ONEC_EXCHANGE_PATH is no list of texts"):
            given_in_environment(["path"], {"ONEC_EXCHANGE_PATH": slip})


def test_variables_that_name_no_option() -> None:
    """As Kubernetes sets them for a service of this name."""
    variables = {"ONEC_EXCHANGE_PORT": "tcp://10.0.0.1:80", "ONEC_EXCHANGE_CONFIG": "x", "HOME": "/"}
    assert foreign_variables(variables) == ("ONEC_EXCHANGE_PORT",)
