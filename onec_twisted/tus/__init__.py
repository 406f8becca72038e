"""Front door 2: tus 1.0.0.

Modules, each of which imports only from those above it:

* ``errors``: what is refused that no other protocol knows
* ``fields``: the headers, to values
* ``origins``: whose pages may upload, and where uploads are behind a proxy
* ``resource``: the resource: what each method means
"""
