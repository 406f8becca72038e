"""The second lines of answers in Russian, by what they are in English; what an importer says stays as it came.

Log, metrics and journal have the English text, which is what the code writes. A text may contain others: a try that
failed contains the reason, and a damaged archive says why. tus' clients, which are programs, hear English.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LANGUAGES", "RUSSIAN", "in_english", "in_russian"]

RUSSIAN = {
    # Requests
    "Bad request": "Неверный запрос",
    "Malformed request": "Запрос не по правилам HTTP",
    "Header {} came twice, with different values": "Заголовок {0} пришёл дважды, с разными значениями",
    "Method not allowed": "Такой метод здесь недопустим",
    "No exchange at this address": "По этому адресу обмена нет",
    "Unknown mode": "Неизвестный режим обмена",
    "TLS came to a port without TLS - give 1C an address with http://, or listen with ssl:": (
        "Узел пришёл по https на порт без TLS - укажите в 1С адрес с http://, или пусть служба слушает ssl:"
    ),
    "Request headers timed out": "Заголовки запроса шли слишком долго",
    "Upload timed out": "Отправка прервалась: данные перестали приходить",
    "Upload too slow": "Отправка идёт слишком медленно",
    "Internal server error": "Внутренняя ошибка сервера",
    "Server is shutting down - retry later": "Сервер останавливается - повторите позже",
    # Logins
    "No user name and password reached the server": "Имя пользователя и пароль не дошли до сервера",
    "Wrong user name or password": "Неверное имя пользователя или пароль",
    "This user belongs to another shop - correct the address": "Это пользователь другого магазина - исправьте адрес",
    "Missing sessid": "В запросе нет sessid",
    "Invalid session": "Сеанс недействителен",
    "Session was ended by the administrator": "Сеанс завершён администратором",
    "Session was initialised again": "Сеанс начат заново",
    # Files
    "Missing filename": "Нет имени файла",
    "Invalid filename": "Недопустимое имя файла",
    "Invalid offset": "Неверное смещение",
    "Expected offset {n}": "Ожидается смещение {0}",
    "File was handed off already - init starts anew": "Файл уже передан сайту - начните заново с init",
    "File busy - retry later": "Файл занят - повторите позже",
    "File damaged": "Файл повреждён",
    "Something else is in the place of {} - tell the server's administrator": (
        "На месте {0} лежит что-то другое - сообщите администратору сервера"
    ),
    "File not found: {}": "Файл не найден: {0}",
    "File too large": "Файл слишком велик",
    # Limits and storage
    "Too many logins at once - retry later": "Слишком много входов одновременно - повторите позже",
    "Too many connections - retry later": "Слишком много соединений - повторите позже",
    "Too many uploads at once - retry later": "Слишком много отправок одновременно - повторите позже",
    "Too many sessions of this user - retry later": "У пользователя слишком много сеансов - повторите позже",
    "Too many imports - retry later": "Слишком много загрузок - повторите позже",
    "Too many files in one session": "Слишком много файлов в одном сеансе",
    "The shop has no room left on the server - retry later": (
        "У магазина не осталось места на сервере - повторите позже"
    ),
    "Insufficient storage": "Не хватает места",
    "Storage unavailable - retry later": "Хранилище недоступно - повторите позже",
    "Storage was removed from the server - tell its administrator": (
        "Хранилище удалено с сервера - сообщите его администратору"
    ),
    "Database busy - retry later": "База данных занята - повторите позже",
    # Imports
    "Import failed": "Загрузка не удалась",
    "Session is being imported - retry later": "Сеанс сейчас загружается - повторите позже",
    "Too many archives at once - retry later": "Слишком много архивов одновременно - повторите позже",
    "The site gave no orders - retry later": "Сайт не отдал заказы - повторите позже",
    "The site did not confirm - retry later": "Сайт не подтвердил приём - повторите позже",
    "Import waits for its turn": "Загрузка ждёт своей очереди",
    "The shop {} is not configured": "Магазин {0} не настроен",
    "Import is running": "Загрузка выполняется",
    "Import waits for an earlier one, {}: {}": "Загрузка ждёт более ранней, {0}: {1}",
    "Import waits for an earlier one: {}": "Загрузка ждёт более ранней: {0}",
    "{} - try {n} of {n} is running": "{0} - идёт попытка {1} из {2}",
    "{} - try {n} of {n} in {n} s": "{0} - попытка {1} из {2} через {3} с",
    "Given up after {n} tries: {}": "Попытки прекращены, их было {0}: {1}",
    "Given up by the administrator: {}": "Попытки прекращены администратором: {0}",
    "A newer {} was imported, so this one is not imported any more": (
        "Уже загружен более новый {0}, поэтому этот больше не загружается"
    ),
    "The importer failed ({})": "Ошибка в загрузчике ({0})",
    "The importer ended with status {n}": "Загрузчик завершился с кодом {0}",
    "The importer was ended by signal {n}": "Загрузчик остановлен сигналом {0}",
    "The importer cannot be started: {}": "Загрузчик не запускается: {0}",
    "The importer had not ended after {n} s": "Загрузчик не закончил работу за {0} с",
    "The site answered {n}, but with an error page": "Сайт ответил {0}, но страницей с ошибкой",
    "The site answered {n} and failure": "Сайт ответил {0} и failure",
    "The site answered {n} {}": "Сайт ответил {0} {1}",
    "The site answered {n}": "Сайт ответил {0}",
    "The site has not imported it in {n} s": "Сайт не закончил загрузку за {0} с",
    "The site cannot be asked: {}": "Обратиться к сайту не удалось: {0}",
    "The records cannot be used now ({})": "Записи сейчас недоступны ({0})",
    "The files cannot be had from the object store: {}": "Файлы не удаётся получить из хранилища: {0}",
    "There is no room for the files of the import": "Для файлов загрузки нет места",
    "Fetching file {n} of {n}": "Файлы читаются из хранилища: {0} из {1}",
    "The manifest cannot be written: {}": "Не удаётся записать manifest.json: {0}",
    # Archives
    "Archive {f} is being read": "Архив {0} читается",
    "Archive {f}: unpacking {n} files": "Архив {0}: распаковка, файлов {1}",
    "Archive {f}: unpacked {n} of {n}": "Архив {0}: распаковано {1} из {2}",
    "Archive {f} is damaged: {}": "Архив {0} повреждён: {1}",
    "Archive {f} cannot be unpacked: {}": "Архив {0} нельзя распаковать: {1}",
    "Archive {f} has no {}": "В архиве {0} нет {1}",
    "There are too many archives to look for {} in all of them": "Архивов слишком много, чтобы искать {0} во всех",
    "Archive {f} cannot be unpacked yet: the disk is too full (--min-free)": (
        "Архив {0} пока нельзя распаковать: на диске мало места (--min-free)"
    ),
    "An archive cannot be unpacked yet: the disk is too full (--min-free)": (
        "Архив пока нельзя распаковать: на диске мало места (--min-free)"
    ),
    "Archive {f} cannot be unpacked yet: {}": "Архив {0} пока нельзя распаковать: {1}",
    "An archive cannot be unpacked yet: {}": "Архив пока нельзя распаковать: {0}",
    "Archive {f} takes too much time or memory to be unpacked": (
        "Распаковка архива {0} требует слишком много времени или памяти"
    ),
    "An archive takes too much time or memory to be unpacked": (
        "Распаковка архива требует слишком много времени или памяти"
    ),
    "it is cut off, or no archive": "он обрезан, или это не архив",
    "it is missing": "его нет",
    "it is one part of several": "это одна часть из нескольких",
    "its directory is larger than {n} bytes": "его каталог больше {0} байт",
    "its central directory is not where it should be": "его каталог не на своём месте",
    "its central directory is broken": "его каталог испорчен",
    "bytes are missing or doubled": "байтов не хватает, или они повторены",
    "it has more than {n} entries": "в нём больше {0} записей",
    "the checksum of {} is wrong": "контрольная сумма {0} неверна",
    "the size of {} is missing": "нет размера {0}",
    "the sizes of {} differ": "размеры {0} не совпадают",
    "entries overlap": "записи перекрываются",
    "{} is a link; pack what it leads to": "{0} - ссылка; упакуйте то, на что она указывает",
    "{} is a device; leave it out": "{0} - устройство; не упаковывайте его",
    "{} is a folder with content": "{0} - папка с содержимым",
    "{} has a password; pack it without one": "{0} с паролем; упакуйте без него",
    "{} is compressed by method {n}; pack it by deflate": "{0} сжат методом {1}; упакуйте методом deflate",
    "{} is an absolute path": "{0} - абсолютный путь",
    "{} leads out of its folder": "{0} ведёт за пределы папки",
    "a name has characters that no file may have: {}": "в имени недопустимые знаки: {0}",
    "{} lies in more than {n} folders (--unpack-depth)": "{0} лежит глубже {1} папок (--unpack-depth)",
    "a name is too long: {}": "имя слишком длинное: {0}",
    "two entries are named {}, or differ by case alone": (
        "две записи называются {0} или отличаются только регистром букв"
    ),
    "{} is a file and a folder": "{0} - и файл, и папка",
    "it has more than {n} files (--unpack-files)": "в нём больше {0} файлов (--unpack-files)",
    "it has more than {n} folders (--unpack-files)": "в нём больше {0} папок (--unpack-files)",
    "it would become more than {n} bytes (--unpack-limit)": "он распакуется больше чем в {0} байт (--unpack-limit)",
    "it would become more than {n} times its size (--unpack-ratio)": (
        "он распакуется больше чем в {0} раз против своего размера (--unpack-ratio)"
    ),
    "its {n} bytes do not fit into the session (--session-quota)": (
        "его {0} байт не помещаются в сеанс (--session-quota)"
    ),
    "{f} is missing": "Нет файла {0}",
    # Documents
    "Checking documents": "Проверяются документы",
    "Checking {f}": "Проверяется {0}",
    "Documents cannot be read yet: {}": "Документы пока не читаются: {0}",
    "The documents take too much time or memory to be checked": (
        "Проверка документов требует слишком много времени или памяти"
    ),
    "{f} is not well-formed at line {n}: {}": "{0} испорчен в строке {1}: {2}",
    "{f} breaks off at line {n}": "{0} обрывается в строке {1}",
    "{f} declares entities, which are not read": "{0} объявляет сущности, которые не читаются",
    "{f} is empty": "{0} пуст",
    "{f} has an encoding that is not known": "у {0} неизвестная кодировка",
    "{f} has more than {n} elements inside one another": "в {0} больше {1} вложенных элементов",
    "{f} has {n} of its {n} bytes": "в {0} только {1} из {2} байт",
    "{f} has a tag that is too long at line {n}": "в {0} слишком длинный тег в строке {1}",
    "mismatched tag": "закрыт не тот тег",
    "invalid token": "недопустимые знаки",
    "junk after document element": "лишнее после конца документа",
    "duplicate attribute": "атрибут повторён",
    "no element found": "нет ни одного элемента",
    "unclosed token": "тег не закончен",
}
"""Each text with its translation.

``{}`` stands for anything, ``{n}`` for a number, ``{f}`` for a document or archive; the translation names them by
their place.
"""

_KINDS = {"{}": "(.+?)", "{n}": "([0-9][0-9,.]*)", "{f}": r"([^:]{1,300}?\.(?:xml|zip))"}


def _pattern(text: str) -> re.Pattern[str]:
    parts = (_KINDS.get(part) or re.escape(part) for part in re.split(r"(\{[nf]?\})", text))
    return re.compile("".join(parts), re.IGNORECASE)


_PATTERNS = [(_pattern(text), translation) for text, translation in RUSSIAN.items() if "{" in text]

DEEPEST_TEXT = 4
"""Texts inside one another: what waits for a try, of which the archive is damaged, because of its checksum."""


def in_english(words: str) -> str:
    """Return a text as it is."""
    return words


@lru_cache(1000)
def in_russian(words: str, depth: int = 0) -> str:
    """Return the translation of a text; one that is not ours is returned as it came."""
    known = RUSSIAN.get(words)
    if known is not None and "{" not in words:
        return known
    for pattern, translation in _PATTERNS:
        found = pattern.fullmatch(words)
        if found is not None:
            inner = (in_russian(part, depth + 1) if depth < DEEPEST_TEXT else part for part in found.groups())
            return translation.format(*inner)
    return words


LANGUAGES: dict[str, Callable[[str], str]] = {"en": in_english, "ru": in_russian}
"""The values of ``--language``."""
