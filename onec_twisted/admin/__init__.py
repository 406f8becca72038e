"""The administrator's view of the daemon: metrics, health, and the status page.

Modules, each of which imports only from those above it:

* ``words``: the page's texts in English and Russian, and numbers formatted for people
* ``status``: a snapshot of the daemon's state, as values
* ``health``: whether an upload would be accepted now, and why not
* ``gauges``: metrics that are read at scrape time instead of being counted
* ``actions``: what the buttons do
* ``page``: the HTML document
* ``door``: limits on connections, time, and the size of requests
* ``site``: paths, access to them, and protection against other sites' pages
"""
