"""Authentication: users, passwords and how fast they may be guessed, and sessions.

Modules, each importing only from those above it:

* ``interfaces``: the interfaces of password checkers, and of a logged-in node
* ``guesses``: limits how fast passwords may be guessed, without making others wait
* ``htpasswd``: users and bcrypt hashes
* ``userfile``: changes files of users and hashes
* ``access``: authenticates a node
* ``shard``: names this daemon among several, in every identifier that it makes
* ``sessions``: finds the session of a request, by cookie and sessid
* ``members``: the users of each shop
* ``shared``: the door that shops share
"""
