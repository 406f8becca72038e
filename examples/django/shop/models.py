"""Three small models: products, what is offered of them, and what arrived from 1C."""

from django.db import models


class Product(models.Model):
    """A product (Товар), by the id that 1C gave it."""

    id = models.CharField(primary_key=True, max_length=73)
    name = models.CharField(max_length=500)
    article = models.CharField(max_length=100, blank=True)
    active = models.BooleanField(default=True)
    updated = models.DateTimeField()
    """When 1C last sent it: ``deactivate`` concerns the others."""


class Offer(models.Model):
    """An offer (Предложение): a product, or one of its variants, whose id is ``product#variant``."""

    id = models.CharField(primary_key=True, max_length=73)
    product = models.CharField(max_length=73, db_index=True)
    price = models.DecimalField(max_digits=15, decimal_places=2, null=True)
    rest = models.DecimalField(max_digits=15, decimal_places=3, null=True)


class Handoff(models.Model):
    """What the daemon has delivered: it is imported once, however often it is delivered."""

    WAITING, DONE, FAILED = "waiting", "done", "failed"

    id = models.CharField(primary_key=True, max_length=32)
    description = models.JSONField()
    state = models.CharField(max_length=7, default=WAITING)
    words = models.CharField(max_length=255, blank=True)
    received = models.DateTimeField(auto_now_add=True)
