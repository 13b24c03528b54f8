"""pyftpdlib as it comes, for anonymous users, without a log."""

import logging
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer


class Handler(FTPHandler):
    authorizer = DummyAuthorizer()
    timeout = 3600


Handler.authorizer.add_anonymous(sys.argv[2])
logging.disable(logging.CRITICAL)
server = FTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.max_cons = 4096
server.serve_forever()
