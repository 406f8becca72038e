"""The command line, the log, listening, start and stop.

Modules, each of which imports only from those above it:

* ``config``: the administrator's settings, as a value
* ``logs``: the log, as text or as JSON
* ``parameters``: the options that take one value, with their defaults
* ``values``: turns the text of an option into its value
* ``given``: what was given for an option, and where
* ``configfile``: the file of ``--config``
* ``in_force``: the options in force, for the status page
* ``checkers``: makes the checkers of passwords
* ``shops``: the tables of shops in that file
* ``printed``: what ``--print-config`` prints
* ``options``: the command line, the environment and the file together
* ``announcement``: what the log says once the daemon is ready
* ``listening``: endpoints that reload renewed certificates
* ``sweep``: removes unused sessions, uploads and folders, and what is old in the journal
* ``minutes``: totals by the minute, for the journal
* ``membership``: who the users of each shop are
* ``revocation``: ends the sessions of users who may no longer log in
* ``service``: start and stop of the daemon
* ``parts``: the parts behind the front doors
* ``doors``: the front doors of each shop
* ``reloading``: reads the settings again while the daemon runs
* ``administration``: adds what administrators look at, and what tells them
* ``holdings``: what a daemon holds of its machine
* ``places``: where settings say that daemons have what they share
* ``assembly``: puts all parts of a real daemon together
* ``upkeep``: what one of several daemons looks at from time to time
* ``several``: what a daemon uses that shares records and files with others
* ``findings``: what ``--check`` finds out, and how it tells that
* ``shared_preflight``: tries PostgreSQL and the object store
* ``preflight``: tries what ``--check`` tries, without serving
* ``backup``: copies a media root while the daemon runs, and back
* ``remote``: asks a running daemon by its API
* ``reports``: what the command shows of a daemon
* ``migration``: takes a media root to where several daemons share records and files
* ``watching``: the commands that ask a running daemon
* ``command``: the command ``onec-exchange``
"""
