"""HTTP/1.1 with streamed bodies, on the server's side and the client's. No protocol's words, no files.

Modules, each of which imports only from those above it:

* ``answer``: an answer as a value, and its head as bytes
* ``head``: what the head of a request says: its target, fit for a log, and fields that may stand once
* ``allowance``: how much small work the reactor does before it turns to others
* ``chunked``: the chunks of a body, decoded many at a time
* ``interfaces``: what the parts of the server ask of one another
* ``refusals``: where exceptions become answers: counted, logged, and worded for whoever asks
* ``connections``: how many an address has, and who sends through a proxy
* ``sockets``: what the kernel knows of a connection
* ``acknowledgement``: whether an answer has arrived
* ``flow``: who pauses and resumes the sender of a body, and whether it is fast enough
* ``body``: the body of a request: kept back, given away, or thrown away
* ``newcomers``: who makes room for a new connection when descriptors run out
* ``server``: what all connections share: bounds, counts, clock, and how they are refused
* ``channel``: HTTP/1.1 as nodes speak it; the time-outs of a head
* ``request``: a request that asks its resource when the headers are there, and gives its body away
* ``resource``: a Resource whose refusals become answers
* ``site``: the tree of paths, the access log
* ``bounds``: bounds for a site's answers: their beginnings, and their chunks
* ``trust``: whom we take for a site by its certificate, and in which words we do not
* ``client``: treq for asking sites: no cookies, no compression, time-outs
"""
