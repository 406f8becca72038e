"""Read CommerceML into the models, one element at a time: a document may have any size."""

from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from xml.etree import ElementTree

from shop.models import Offer, Product


class DocumentError(Exception):
    """A document cannot be imported; the message is for the 1C user."""


def elements(path, *names):
    """Yield elements of these names, whatever their namespace; what was read before does not stay in memory."""
    open_elements = []
    for event, element in ElementTree.iterparse(path, events=("start", "end")):
        if event == "start":
            open_elements.append(element)
            continue
        open_elements.pop()
        name = element.tag.rpartition("}")[2]
        if name in names:
            yield name, element
            if open_elements:
                open_elements[-1].remove(element)


def number(text):
    """Return a number as 1C writes it, None if there is none."""
    if not text:
        return None
    try:
        return Decimal(text.strip().replace("\u00a0", "").replace(",", "."))
    except InvalidOperation:
        raise DocumentError(f"{text} is not a number") from None


def import_document(path, now):
    """Import products, offers, prices and rests; what a document does not mention stays as it is."""
    for name, element in elements(path, "Товар", "Предложение"):
        ident = element.findtext("{*}Ид")
        if not ident:
            raise DocumentError(f"{name} has no Ид")
        if name == "Товар":
            values = {
                "name": element.findtext("{*}Наименование") or "",
                "article": element.findtext("{*}Артикул") or "",
                "active": element.get("Статус") != "Удален",
                "updated": now,
            }
            Product.objects.update_or_create(id=ident, defaults=values)
            continue
        # prices and rests may come in documents of their own, which do not mention the other
        found = {
            "price": number(element.findtext("{*}Цены/{*}Цена/{*}ЦенаЗаЕдиницу")),
            "rest": number(element.findtext("{*}Количество") or element.findtext("{*}Остатки//{*}Количество")),
        }
        values = {name: value for name, value in found.items() if value is not None}
        Offer.objects.update_or_create(id=ident, defaults={"product": ident.partition("#")[0], **values})


def deactivate(timestamp):
    """Hide the products that 1C has not sent since; ``timestamp`` is in seconds since 1970."""
    if not timestamp or not timestamp.isdecimal():
        raise DocumentError(f"{timestamp} is not a time")
    since = datetime.fromtimestamp(int(timestamp), timezone.utc)
    Product.objects.filter(updated__lt=since).update(active=False)
