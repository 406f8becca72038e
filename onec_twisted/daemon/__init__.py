"""The command line, the log, listening, start and stop.

Modules, each of which imports only from those above it:

* ``config``: what the administrator chose, as a value
* ``logs``: the log, as text or as JSON
* ``options``: the command line
* ``listening``: endpoints whose renewed certificates are taken up
* ``sweep``: removes what nobody touched
* ``revocation``: ends the sessions of users who may not log in any more
* ``service``: start and stop of the daemon
* ``parts``: what is behind the front doors, and the front doors
* ``assembly``: where all parts of a real daemon meet
"""
