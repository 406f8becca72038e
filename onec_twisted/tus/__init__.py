"""Front door 2: tus 1.0.0.

Modules, each of which imports only from those above it:

* ``errors``: the refusals that only tus has
* ``fields``: parse the headers into values
* ``resource``: the resource: it carries out each method
"""
