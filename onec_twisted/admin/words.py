"""The texts of the status page in English and Russian, and numbers formatted for people."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onec_twisted.model.records import Handoff

__all__ = ["ENGLISH", "LANGUAGES", "RUSSIAN", "Words", "duration", "found", "size", "words_for"]


@frozen
class Words:
    """The texts of one language; ``units`` are those of sizes, from bytes up, ``times`` from seconds to days."""

    language: str
    title: str
    updating: str
    no_answer: str
    version: str
    up_for: str
    disk_free: str
    disk_reserved: str
    connections: str
    received: str
    accepted: str
    discarded: str
    repeats: str
    on_record: str
    owing: str
    damaged_files: str
    transfers: str
    no_transfers: str
    user: str
    file: str
    session: str
    piece: str
    rate: str
    age: str
    waits: str
    of: str
    after: str
    handoffs: str
    no_handoffs: str
    what: str
    state: str
    tries: str
    last_words: str
    states: dict[str, str]
    events: dict[str, str]
    found: dict[str, str]
    actions: str
    retry: str
    drop: str
    give_up: str
    give_up_question: str
    drop_question: str
    drop_loses: str
    sessions: str
    no_sessions: str
    files: str
    held: str
    touched: str
    damaged: str
    owed: str
    waiting: str
    failed: str
    end: str
    end_question: str
    end_loses: str
    notices: dict[str, str]
    units: Sequence[str]
    times: Sequence[str]
    per_second: str
    and_more: str
    not_shown: str
    decimal: str


ENGLISH = Words(
    language="en",
    title="onec-exchange",
    updating="This page updates itself.",
    no_answer="The daemon does not answer. What you see is old.",
    version="Version",
    up_for="Running for",
    disk_free="Free on the disk",
    disk_reserved="of which reserved",
    connections="Connections",
    received="Received",
    accepted="Stored",
    discarded="Discarded",
    repeats="Repeats recognised",
    on_record="Sessions on record",
    owing="Sessions with files to hand off",
    damaged_files="Damaged files",
    transfers="Pieces in transfer",
    no_transfers="Nothing is being sent.",
    user="User",
    file="File",
    session="Session",
    piece="Piece",
    rate="Rate",
    age="Age",
    waits="waits for its file",
    of="of",
    after="after",
    handoffs="Hand-offs",
    no_handoffs="There are none.",
    what="What",
    state="State",
    tries="Tries",
    last_words="Last message",
    states={"waiting": "waiting", "succeeded": "done", "failed": "failed"},
    found={
        "products": "products",
        "offers": "offers",
        "prices": "prices",
        "rests": "rests",
        "orders": "orders",
        "groups": "groups",
        "pictures": "pictures",
        "missing": "pictures missing",
    },
    events={
        "import": "import",
        "upload": "upload",
        "settled": "quiet session",
        "complete": "complete",
        "deactivate": "deactivate",
    },
    actions="Actions",
    retry="Retry",
    drop="Drop",
    give_up="Give up",
    give_up_question="Give up this hand-off? It fails, its node receives the failure, and the next one has its turn.",
    drop_question="Forget this hand-off? The site will not get it unless the node asks again.",
    drop_loses="Forget this hand-off? The site will not get it: no node asks for it again.",
    sessions="Sessions",
    no_sessions="There are none.",
    files="Files",
    held="Size",
    touched="Last used",
    damaged="damaged files",
    owed="to hand off",
    waiting="being handed off",
    failed="failed",
    end="End",
    end_question="End this session? Its files are removed, and its node has to log in again.",
    end_loses="End this session? It has files that the site has not received. They are removed, and lost to it.",
    notices={
        "retried": "The hand-off is being retried.",
        "dropped": "The hand-off was dropped.",
        "given_up": "The hand-off has failed. The next one has its turn.",
        "running": "The hand-off is being delivered, or waits for its turn. Try again when it is over.",
        "superseded": "A newer document of that name was imported. Retrying would overwrite it.",
        "ended": "The session was ended.",
        "gone": "It no longer exists.",
        "busy": "The session is being handed off. Try again when that is over.",
    },
    units=("B", "KB", "MB", "GB", "TB"),
    times=("s", "min", "h", "d"),
    per_second="/s",
    and_more="more than",
    not_shown="Not shown",
    decimal=".",
)

RUSSIAN = Words(
    language="ru",
    title="onec-exchange",
    updating="Страница обновляется сама.",
    no_answer="Служба обмена не отвечает. Данные на странице устарели.",
    version="Версия",
    up_for="Работает",
    disk_free="Свободно на диске",
    disk_reserved="в том числе резерв",
    connections="Соединений",
    received="Получено",
    accepted="Записано",
    discarded="Отброшено",
    repeats="Распознано повторов",
    on_record="Сеансов в базе",
    owing="Сеансов с непереданными файлами",
    damaged_files="Повреждённых файлов",
    transfers="Принимаемые порции",
    no_transfers="Сейчас ничего не принимается.",
    user="Пользователь",
    file="Файл",
    session="Сеанс",
    piece="Порция",
    rate="Скорость",
    age="Длится",
    waits="ждёт очереди на запись",
    of="из",
    after="после",
    handoffs="Передача на сайт",
    no_handoffs="Передач нет.",
    what="Что",
    state="Состояние",
    tries="Попытки",
    last_words="Последнее сообщение",
    states={"waiting": "ожидает", "succeeded": "выполнена", "failed": "ошибка"},
    found={
        "products": "товаров",
        "offers": "предложений",
        "prices": "цен",
        "rests": "остатков",
        "orders": "заказов",
        "groups": "групп",
        "pictures": "картинок",
        "missing": "не хватает картинок",
    },
    events={
        "import": "загрузка",
        "upload": "файл по tus",
        "settled": "сеанс без запроса загрузки",
        "complete": "завершение",
        "deactivate": "деактивация",
    },
    actions="Действия",
    retry="Повторить",
    drop="Убрать",
    give_up="Прекратить",
    give_up_question="Прекратить попытки? Передача кончится ошибкой, о которой узнает узел, а следующая начнётся.",
    drop_question="Убрать эту передачу? Сайт не получит её, пока узел не попросит снова.",
    drop_loses="Убрать эту передачу? Сайт её не получит: узел о ней больше не попросит.",
    sessions="Сеансы",
    no_sessions="Сеансов нет.",
    files="Файлы",
    held="Размер",
    touched="Последнее обращение",
    damaged="есть повреждённые файлы",
    owed="есть непереданное",
    waiting="передаётся",
    failed="передач с ошибкой",
    end="Завершить",
    end_question="Завершить сеанс? Его файлы будут удалены, узлу придётся войти заново.",
    end_loses="Завершить сеанс? Сайт получил не все его файлы. Они будут удалены и до сайта не дойдут.",
    notices={
        "retried": "Передача выполняется снова.",
        "dropped": "Передача убрана.",
        "given_up": "Попытки прекращены: передача кончилась ошибкой, начинается следующая.",
        "running": "Передача выполняется или ждёт своей очереди. Повторите, когда она закончится.",
        "superseded": "Сайт уже загрузил более новый документ с этим именем: повтор заменил бы его старым.",
        "ended": "Сеанс завершён.",
        "gone": "Этого уже нет.",
        "busy": "Файлы сеанса передаются на сайт. Повторите, когда передача закончится.",
    },
    units=("Б", "КБ", "МБ", "ГБ", "ТБ"),
    times=("с", "мин", "ч", "сут"),
    per_second="/с",
    and_more="больше",
    not_shown="Не показано",
    decimal=",",
)

LANGUAGES = {words.language: words for words in (ENGLISH, RUSSIAN)}


def words_for(accept_language: str | None) -> Words:
    """Return the texts in the browser's preferred language (RFC 9110 section 12.5.4), or in English."""
    best, found = 0.0, ENGLISH
    for choice in (accept_language or "").split(","):
        name, _, quality = choice.lower().replace(" ", "").partition(";q=")
        words = ENGLISH if name == "*" else LANGUAGES.get(name.partition("-")[0])
        try:
            weight = float(quality or 1)
        except ValueError:
            continue
        if words is not None and weight > best:
            best, found = weight, words
    return found


def size(count: float, words: Words) -> str:
    """Return a number of bytes in a suitable unit, in powers of 1024 like all our options."""
    unit = 0
    while count >= 1000 and unit < len(words.units) - 1:
        count, unit = count / 1024, unit + 1
    text = f"{count:.0f}" if unit == 0 or count >= 100 else f"{count:.1f}"
    return f"{text.replace('.', words.decimal)} {words.units[unit]}"


def duration(seconds: float, words: Words) -> str:
    """Return a duration in the largest unit that it fills."""
    rest = max(0.0, seconds)
    for unit, length in enumerate((60, 60, 24)):
        if rest < length:
            return f"{rest:.0f} {words.times[unit]}"
        rest //= length
    return f"{rest:.0f} {words.times[3]}"


def found(handoff: Handoff, words: Words) -> str:
    """Return what was found in the documents of a hand-off: ``products: 120, pictures missing: 2``."""
    total: Counter[str] = Counter()
    for document in json.loads(handoff.checked or "[]"):
        total.update({name: document[name] for name in words.found})
    return ", ".join(f"{words.found[name]}: {total[name]}" for name in words.found if total[name])
