"""moto on one thread: on several its own server loses acknowledged records."""

import sys

import waitress
from moto.server import DomainDispatcherApplication, create_backend_app

application = DomainDispatcherApplication(create_backend_app)
waitress.serve(application, host="127.0.0.1", port=int(sys.argv[1]), threads=1)
