"""Front door 1: the 1C-Bitrix exchange protocol.

Modules, each of which imports only from those above it:

* ``protocol``: query bytes to frozen values, values to answer texts
* ``commerceml``: the empty documents of a site without orders
* ``orders``: the site's orders, passed on as they come
* ``resource``: the resource: what each mode means; a refusal becomes an answer here
"""
