#!/usr/bin/python3
"""A supervisor of short jobs, ten of which it starts each second, the first after a second.

It reaps one child a second. With --fixed it is woken by SIGCHLD, and reaps all that have ended.
"""

import argparse
import itertools
import os
import signal
import time

A_SECOND = 10
JOB = ["/bin/sh", "-c", ":"]

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--fixed", action="store_true", help="reap until there is none")
options = parser.parse_args()


def reap_all():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def pause(until):
    """Until the time has come; with --fixed it reaps meanwhile."""
    while (left := until - time.monotonic()) > 0:
        if not options.fixed:
            time.sleep(left)
        elif signal.sigtimedwait({signal.SIGCHLD}, left):
            reap_all()


if options.fixed:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
start = time.monotonic() + 1
pause(start)
for job in itertools.count(1):
    os.posix_spawn(JOB[0], JOB, os.environ)
    pause(start + job / A_SECOND)
    if job % A_SECOND == 0 and not options.fixed:
        os.waitpid(-1, os.WNOHANG)
