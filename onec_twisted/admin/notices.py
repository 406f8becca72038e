"""Decides what somebody is told: a pure function of verdicts, one after the other, and time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from onec_twisted.admin.words.language import LANGUAGES
from onec_twisted.model.notice import RAISED, RECOVERED, Notice
from onec_twisted.model.shops import DEFAULT_SHOP, shop_of, user_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onec_twisted.admin.verdict import Reason

__all__ = ["TEXTS", "Subjects"]

NOTICE_PAUSE = 3600.0
"""Least seconds between two notices that the same subject is in trouble."""

MOST_SUBJECTS = 1000
"""Subjects that are remembered; beyond that the longest silent ones are forgotten."""

TEXTS = {
    "en": {
        "unhealthy": ("Uploads are not accepted: {said}", "Uploads are accepted again"),
        "refusing": ("{user} is refused, {count} times so far: {said}", "{user} is not refused any more"),
        "disk": ("The disk will be full in less than {count} hours", "The disk is not filling up any more"),
        "failed": ("{count} imports have failed and were given up. The last: {said}", "No failed imports are left"),
        "damaged": ("{count} files have lost bytes on the disk", "No damaged files are left"),
        "overdue": ("{user} has sent nothing for longer than expected", "{user} has sent something again"),
        "lost": ("The daemon {said} does not answer any more", "No daemon is missing any more"),
    },
    "ru": {
        "unhealthy": ("Отправки не принимаются: {said}", "Отправки снова принимаются"),
        "refusing": ("{user} получает отказы, уже {count}: {said}", "{user} больше не получает отказов"),
        "disk": ("Диск заполнится меньше чем за {count} ч", "Диск больше не заполняется"),
        "failed": (
            "Загрузки с ошибкой, попытки прекращены: {count}. Последняя: {said}",
            "Загрузок с ошибкой больше нет",
        ),
        "damaged": ("Файлов, потерявших байты на диске: {count}", "Повреждённых файлов больше нет"),
        "overdue": ("{user} ничего не присылает дольше, чем должен", "{user} снова прислал данные"),
        "lost": ("Служба {said} больше не отвечает", "Все службы снова на месте"),
    },
}
"""For each language and kind of reason: what is said when it comes, and when it is gone."""


@define
class _Subject:
    """What is known of a subject: its last reason, whether that stands, and what was told when."""

    reason: Reason
    stands: bool = False
    told: bool = False
    told_at: float | None = None


@define(eq=False)
class Subjects:
    """The subjects that are or were in trouble.

    One that gets into trouble is told of at once, but at most once an hour, and of its recovery once; what comes and
    goes within the hour is told of when the hour is over, if it still stands. ``translate`` is for what nodes were
    told.
    """

    language: str
    translate: Callable[[str], str]
    _known: dict[str, _Subject] = field(factory=dict, init=False)

    def update(self, reasons: Sequence[Reason], now: float) -> list[Notice]:
        """Return the notices that follow from the present verdict's reasons. ``now`` is in seconds since 1970."""
        standing = {_name(reason): reason for reason in reasons}
        for name, reason in standing.items():
            self._known.setdefault(name, _Subject(reason)).reason = reason
        notices = [
            self._look(name, subject, is_there=name in standing, now=now) for name, subject in self._known.items()
        ]
        if len(self._known) > MOST_SUBJECTS:
            quiet = [name for name, subject in self._known.items() if not subject.stands]
            for name in quiet[: len(self._known) - MOST_SUBJECTS]:
                del self._known[name]
        return [notice for notice in notices if notice is not None]

    def _look(self, name: str, subject: _Subject, *, is_there: bool, now: float) -> Notice | None:
        """Return the notice of one subject, None if there is nothing to tell."""
        subject.stands = is_there
        if is_there and not subject.told:
            if subject.told_at is not None and now - subject.told_at < NOTICE_PAUSE:
                return None
            subject.told, subject.told_at = True, now
            return self._notice(name, subject.reason, RAISED, now)
        if not is_there and subject.told:
            subject.told = False
            return self._notice(name, subject.reason, RECOVERED, now)
        return None

    def _notice(self, name: str, reason: Reason, state: str, now: float) -> Notice:
        raised, recovered = TEXTS[self.language][reason.kind]
        text = raised if state == RAISED else recovered
        is_health = reason.kind == "unhealthy"
        said = LANGUAGES[self.language].health(reason.said) if is_health else self.translate(reason.said)
        words = text.format(user=user_of(reason.username), count=reason.count, said=said)
        shop = _shop(reason)
        return Notice(
            event=reason.kind,
            subject=name,
            state=state,
            user=reason.username,
            words=f"{shop}: {words}" if shop else words,
            time=now,
            since=reason.since,
            count=reason.count,
        )


def _shop(reason: Reason) -> str:
    """Return the shop that a reason is about, empty for the default one."""
    shop = reason.shop or shop_of(reason.username)
    return "" if shop == DEFAULT_SHOP else shop


def _name(reason: Reason) -> str:
    """Return the subject of a reason."""
    about = reason.username or _shop(reason)
    return f"{reason.kind}:{about}" if about else reason.kind
