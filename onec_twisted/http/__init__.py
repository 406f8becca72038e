"""HTTP/1.1 with streamed bodies, server and client side. Knows no exchange protocol and no files.

Modules, each importing only from those above it:

* ``answer``: an answer as a value, and its head as bytes
* ``head``: what a request head says: where its body ends, the target, made safe to log
* ``allowance``: limits how much small work the reactor does at a time
* ``chunked``: decodes the chunks of a body, many at a time
* ``interfaces``: the interfaces between the parts of the server
* ``proxied``: whether a request shows that a proxy has forwarded it
* ``interim``: which requests may get interim answers
* ``alarm``: a time-out that is moved often and reached seldom
* ``refusals``: turns exceptions into answers: counted, logged, and worded for the client's protocol
* ``connections``: counts connections per address, and finds the client behind a trusted proxy
* ``sockets``: what the kernel knows about a connection
* ``peer``: whether the peer of a connection still waits for its answer
* ``sources``: where a worker takes a body from: a socket, or a TLS connection that the reactor lends to it
* ``acknowledgement``: whether an answer has arrived
* ``flow``: pauses and resumes the sender of a body, and checks that it is fast enough
* ``body``: the body of a request: buffered, streamed to a consumer, or discarded
* ``newcomers``: which idle connection is closed for a new one when descriptors run out
* ``handshakes``: says in words why a TLS handshake failed
* ``server``: what all connections share: limits, counters, clock, and how they are refused
* ``sending``: the half of a channel that sends
* ``channel``: HTTP/1.1 as nodes speak it; time-outs for request heads
* ``requested``: what is requested, and by whom
* ``request``: a request that calls its resource once the headers are complete, and streams its body
* ``resource``: a Resource whose refusals become answers
* ``site``: the tree of paths, the access log
* ``bounds``: limits on a site's answers: their heads, and their chunks
* ``trust``: verifies a site's certificate, and explains why one is refused
* ``client``: treq for requests to sites: no cookies, no compression, time-outs
"""
