#!/usr/bin/python3
"""A CGI server: a process for each request, which runs the program that answers it.

It is the standard library's ForkingMixIn, which looks for ended processes after it has accepted a
request, and twice a second. With --prompt it does so when one has ended.
"""

import argparse
import http.server
import signal
import socketserver
import subprocess

PORT = 8641
PROGRAM = ["/bin/sh", "-c", "echo it is; date"]

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--prompt", action="store_true", help="reap on SIGCHLD")
options = parser.parse_args()


class Handler(http.server.BaseHTTPRequestHandler):
    """Runs in a process of its own, which has no children but its program."""

    def do_GET(self):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        answer = subprocess.run(PROGRAM, stdout=subprocess.PIPE, check=True).stdout
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Server(socketserver.ForkingMixIn, http.server.HTTPServer):
    request_queue_size = 128


server = Server(("127.0.0.1", PORT), Handler)
signal.signal(signal.SIGTERM, signal.default_int_handler)
if options.prompt:
    # Each call reaps all that have ended: one signal can stand for several.
    signal.signal(signal.SIGCHLD, lambda *_: server.collect_children())
try:
    server.serve_forever()
except KeyboardInterrupt:
    server.server_close()
