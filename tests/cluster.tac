"""One of several daemons, as a test starts it: ``twistd -n -y cluster.tac``, with options in the environment."""

import os

from twisted.application.service import Application
from twisted.internet import reactor

from onec_twisted.cluster.location import Credentials, Location
from onec_twisted.daemon.assembly import make_daemon, run_evenly
from onec_twisted.daemon.options import Options
from onec_twisted.daemon.places import Place
from onec_twisted.daemon.several import make_shared_holdings, make_shared_means
from onec_twisted.daemon.service import obey_signals

options = Options()
options.parseOptions(os.environ["TEST_OPTIONS"].split("\n"))
config = options.config()
bucket, endpoint, key, secret = os.environ["TEST_STORE"].split(" ")
place = Place(os.environ["TEST_CATALOG"], Location(bucket, "", endpoint), Credentials(key, secret))
run_evenly(reactor)
holdings = make_shared_holdings(place, config, reactor)
daemon = make_daemon(config, holdings, make_shared_means(reactor, place, config, holdings))
obey_signals(daemon, reactor, None)
application = Application("onec-exchange")
daemon.setServiceParent(application)
