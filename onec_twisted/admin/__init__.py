"""What the administrator sees: metrics, health, the status page.

Modules, each of which imports only from those above it:

* ``words``: the page's words in English and Russian, numbers as people read them
* ``status``: how the daemon is at one moment, as values
* ``health``: whether an upload could be taken now, and why not
* ``gauges``: what metrics tell that nobody counts: asked when somebody scrapes
* ``actions``: what the buttons do
* ``page``: the document
* ``door``: how many may come in, for how long, and what they may bring
* ``site``: paths, who may see them, and what keeps other sites' pages out
"""
