"""Who asks: users, passwords and how fast they may be guessed, and sessions.

Modules, each of which imports only from those above it:

* ``interfaces``: what is asked of checkers, and of whoever has logged in
* ``guesses``: how fast passwords may be guessed, and that others do not wait for it
* ``htpasswd``: users and bcrypt hashes
* ``access``: who a node is
* ``sessions``: which session a request belongs to, by cookie and sessid
"""
