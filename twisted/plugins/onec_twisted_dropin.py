"""Tells twistd about the ``onec-exchange`` command."""

from twisted.application.service import ServiceMaker

onec_exchange = ServiceMaker(
    "onec-exchange",
    "onec_twisted.tap",
    "Receive what 1C:Enterprise nodes export to a web shop.",
    "onec-exchange",
)
