#!/usr/bin/python3
"""A pre-forking HTTP server, whose workers end after some requests and are replaced.

The master is woken when a worker ends. With --late it reaps twice a second.
"""

import argparse
import os
import random
import signal
import socket

PORT = 8640
WORKERS = 64
REQUESTS = 25
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--late", action="store_true", help="reap twice a second")
options = parser.parse_args()

stops = {signal.SIGTERM, signal.SIGINT}
wakers = stops if options.late else stops | {signal.SIGCHLD}


def work(listener):
    for _ in range(random.randint(REQUESTS // 2, REQUESTS * 3 // 2)):
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.sendall(ANSWER)
        connection.close()


def fork(listener):
    pid = os.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, wakers)
        work(listener)
        os._exit(0)
    return pid


def reap(workers):
    while workers:
        pid, _ = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        workers.remove(pid)


listener = socket.create_server(("127.0.0.1", PORT), backlog=128)
signal.pthread_sigmask(signal.SIG_BLOCK, wakers)
workers = set()
while True:
    while len(workers) < WORKERS:
        workers.add(fork(listener))
    woken = signal.sigtimedwait(wakers, 0.5)
    reap(workers)
    if woken and woken.si_signo in stops:
        break
for pid in workers:
    os.kill(pid, signal.SIGTERM)
while workers:
    workers.remove(os.wait()[0])
