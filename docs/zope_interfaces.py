"""``.. autointerface:: package.module.IName`` for Sphinx, whose autodoc takes a zope interface for a variable."""

from __future__ import annotations

from importlib import import_module
from inspect import cleandoc
from typing import TYPE_CHECKING

from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective
from zope.interface.interface import InterfaceClass, Method

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docutils.nodes import Node


class AutoInterface(SphinxDirective):
    """The interface with its methods and attributes, from their docstrings."""

    required_arguments = 1

    def run(self) -> list[Node]:
        """Return what the lines below become."""
        module, _, name = self.arguments[0].rpartition(".")
        interface = getattr(import_module(module), name)
        return self.parse_text_to_nodes(StringList(list(lines_of(interface, module)), source=module))


def lines_of(interface: InterfaceClass, module: str) -> Iterator[str]:
    """Yield an interface as Sphinx would have it written by hand."""
    yield from described(f"py:class:: {module}.{interface.__name__}", interface.__doc__, "")
    for name, member in interface.namesAndDescriptions():
        is_method = isinstance(member, Method)
        kind = f"py:method:: {name}{member.getSignatureString()}" if is_method else f"py:attribute:: {name}"
        yield from described(kind, member.__doc__, "   ")


def described(directive: str, doc: str | None, indent: str) -> Iterator[str]:
    """Yield a directive with a docstring below it."""
    yield f"{indent}.. {directive}"
    yield ""
    for line in cleandoc(doc or "").splitlines():
        yield f"{indent}   {line}".rstrip()
    yield ""
