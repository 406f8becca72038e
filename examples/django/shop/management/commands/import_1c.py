"""``manage.py import_1c``: import what is queued, in the order in which it arrived."""

import time
from pathlib import Path
from xml.etree.ElementTree import ParseError

from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone

from shop.commerceml import DocumentError, deactivate, import_document
from shop.models import Handoff


def documents(description):
    """Return the names of the documents of a hand-off: the one that 1C asks for, or those that it left behind."""
    if description["event"] == "import":
        return [description["filename"]]
    return [file["name"] for file in description["files"] if file["name"].endswith(".xml")]


def import_handoff(handoff):
    """Import one hand-off: all of it and the note that it is done, or nothing of it."""
    description = handoff.description
    try:
        with transaction.atomic():
            if description["event"] == "deactivate":
                deactivate(description["timestamp"])
            elif description["type"] == "catalog":  # orders are left to you
                for name in documents(description):
                    import_document(Path(description["folder"], name), timezone.now())
            handoff.state, handoff.words = Handoff.DONE, ""
            handoff.save()
    except (DocumentError, ParseError, OSError) as error:
        handoff.state, handoff.words = Handoff.FAILED, str(error)[:255]
        handoff.save()


class Command(BaseCommand):
    """Imports what is queued; with ``--loop`` it waits for more. Run one of them."""

    help = "Import what 1C has sent"

    def add_arguments(self, parser):
        """Take an option."""
        parser.add_argument("--loop", action="store_true", help="wait for more, and look each second")

    def handle(self, *, loop, **options):
        """Import hand-offs, the oldest first."""
        while True:
            for handoff in Handoff.objects.filter(state=Handoff.WAITING).order_by("received"):
                import_handoff(handoff)
                self.stdout.write(f"{handoff.id} {handoff.description['event']}: {handoff.state} {handoff.words}")
            if not loop:
                return
            time.sleep(1)
