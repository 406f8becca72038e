"""The administrator's view of the daemon: metrics, health, and the status pages.

Modules, each of which imports only from those above it:

* ``words.text``: the texts of one language
* ``words.english``: the texts in English
* ``words.russian``: the texts in Russian
* ``words.language``: which language a browser prefers
* ``words.figures``: numbers and moments formatted for people
* ``status``: a snapshot of the daemon's state, as values
* ``health``: whether an upload would be accepted now, and why not
* ``gauges``: metrics that are read at scrape time instead of being counted
* ``actions``: what the buttons do
* ``download``: a file on its way to the administrator
* ``outlook``: what the past leads to expect of the disk and of users
* ``verdict``: one verdict on the daemon, with reasons
* ``notices``: decides what somebody is told, by one verdict after the other
* ``notifying``: looks at the verdict, and lets those know who want to
* ``pages.names``: foreign text, shown safely
* ``pages.plots``: plots as inline SVG
* ``pages.frame``: what all pages have in common
* ``pages.tables``: tables, filters and pages of them
* ``pages.owners``: whose something is
* ``pages.overview``: how it goes, at a look
* ``pages.exchanges``: the list of exchanges
* ``pages.exchange``: one exchange
* ``pages.handoffs``: the hand-offs
* ``pages.shops``: the shops, and one shop
* ``pages.sessions``: the sessions
* ``pages.refusals``: refused requests
* ``pages.settings``: settings in force, totals, limits
* ``family``: which page a path names, and the values that it is made from
* ``api``: the same as JSON, for programs
* ``door``: limits on connections, time, and the size of requests
* ``site``: paths, access to them, and protection against other sites' pages
"""
