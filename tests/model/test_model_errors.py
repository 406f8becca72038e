"""All refusals are found in one place."""

from __future__ import annotations

from importlib import import_module

import pytest
from house import PACKAGES

from onec_twisted.model import errors
from onec_twisted.model.refusals.base import Refused, RetryLater


@pytest.mark.parametrize("name", [name for name in PACKAGES["model"] if name.startswith("refusals.")])
def test_it_has_every_refusal(name: str) -> None:
    """Also one that was just added to its module."""
    refusals = {
        one
        for one in vars(import_module(f"onec_twisted.model.{name}")).values()
        if isinstance(one, type) and issubclass(one, Refused) and one is not RetryLater
    }

    assert refusals
    assert refusals <= {getattr(errors, one) for one in errors.__all__}
