"""Front door 1: the 1C-Bitrix exchange protocol.

Modules, each of which imports only from those above it:

* ``texts``: the messages of answers in Russian
* ``protocol``: parse queries into frozen values, and format answers
* ``commerceml``: the empty documents of a site without orders
* ``welcome``: what a person sees in a browser
* ``orders``: stream the site's orders to the node
* ``resource``: the resource: it carries out each mode, and turns refusals into answers
"""
