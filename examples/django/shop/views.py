"""Receive hand-offs: a request only queues what arrived, and ``manage.py import_1c`` imports it."""

import hashlib
import hmac
import json

from django.conf import settings
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from shop.models import Handoff


def plain(status, text=""):
    """Answer in plain text: the 1C user sees it."""
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8")


def is_signed(request):
    """Return whether the daemon has sent a request: its body is signed, or without one its path."""
    signed = request.body or request.get_full_path().encode()
    signature = hmac.new(settings.ONEC_SECRET, signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(f"sha256={signature}", request.headers.get("X-Onec-Signature", ""))


def state_of(handoff):
    """Answer how far a hand-off is: 202 makes the daemon ask again, 422 is a failure."""
    if handoff.state == Handoff.DONE:
        return plain(200)
    if handoff.state == Handoff.FAILED:
        return plain(422, handoff.words)
    answer = plain(202, handoff.words or "Waits for the shop")
    answer["Location"] = reverse("onec-report", args=[handoff.id])
    answer["Retry-After"] = "1"
    return answer


@csrf_exempt
@require_POST
def receive(request):
    """Queue a hand-off; one that is known already is not queued again."""
    if not is_signed(request):
        return plain(403, "The signature is wrong")
    description = json.loads(request.body)
    handoff, _ = Handoff.objects.get_or_create(id=description["id"], defaults={"description": description})
    return state_of(handoff)


@require_GET
def report(request, ident):
    """Tell how far a hand-off is."""
    if not is_signed(request):
        return plain(403, "The signature is wrong")
    handoff = Handoff.objects.filter(id=ident).first()
    return plain(404, "There is no such import") if handoff is None else state_of(handoff)
