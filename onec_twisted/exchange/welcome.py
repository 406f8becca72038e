"""What a person sees who opens the exchange's address in a browser; nodes never see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onec_twisted.http.answer import Answer
from onec_twisted.http.head import query_of

if TYPE_CHECKING:
    from onec_twisted.http.interfaces import IRequest

__all__ = ["is_browser", "welcome"]

_PAGE = """<!DOCTYPE html>
<html lang="{language}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>onec-exchange</title>
<h1>onec-exchange</h1>
{text}
</html>
"""

_ENGLISH = """<p>This is the address for 1C:Enterprise, and it works. There is nothing to see here in a browser.</p>
<p>In 1C, open the settings of the data exchange with the site, and enter this address, with the user and the password
that the site's administrator gave you. 1C's own check of the connection tells whether they are right.</p>
<p>What was received, and what became of it, the site's administrator sees on the status page of onec-exchange.</p>"""

_RUSSIAN = """<p>Это адрес для «1С:Предприятия», и он работает. В браузере здесь смотреть не на что.</p>
<p>В 1С откройте настройки обмена с сайтом и введите этот адрес, а также имя пользователя и пароль, которые дал
администратор сайта. Верны ли они, покажет проверка соединения в самой 1С.</p>
<p>Что получено и что из этого загружено, администратор сайта видит на странице состояния onec-exchange.</p>"""

_PAGES = {
    language: _PAGE.format(language=language, text=text).encode("utf-8")
    for language, text in (("en", _ENGLISH), ("ru", _RUSSIAN))
}


def is_browser(request: IRequest) -> bool:
    """Return whether a person opens the bare address: nodes ask for no HTML, and always have a query."""
    accepts = request.getHeader(b"accept") or b""
    return request.method == b"GET" and b"text/html" in accepts and not query_of(request.uri)


def welcome(request: IRequest) -> Answer:
    """Return the page, in Russian if the browser prefers that to English (RFC 9110 section 12.5.4)."""
    wanted = (request.getHeader(b"accept-language") or b"").lower()
    russian, english = wanted.find(b"ru"), wanted.find(b"en")
    language = "ru" if russian >= 0 and (english < 0 or russian < english) else "en"
    headers = ((b"Vary", b"Accept, Accept-Language"), (b"Content-Security-Policy", b"default-src 'none'"))
    return Answer(body=_PAGES[language], content_type=b"text/html; charset=utf-8", headers=headers)
