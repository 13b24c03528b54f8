"""A stock twisted.web resource that sends the same bytes each time, with its log off."""

import sys
from typing import Any

from twisted.internet import reactor as installed
from twisted.web import http, resource, server


class Constant(resource.Resource):
    isLeaf = True

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body

    def render_GET(self, request: server.Request) -> bytes:
        request.setHeader(b"Content-Type", b"application/json")
        return self.body


class QuietSite(server.Site):
    def log(self, request: http.Request) -> None:
        pass


# To a type checker the name is a module, not the reactor that takes its place.
reactor: Any = installed
port, length = int(sys.argv[1]), int(sys.argv[2])
reactor.listenTCP(port, QuietSite(Constant(b"x" * length)), interface="127.0.0.1")
reactor.run()
