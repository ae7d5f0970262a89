"""A supervisor as shares.c is, whose functions the interpreter runs."""

import os
import sys
import threading
import time

if os.fork() == 0:
    os._exit(0)

lock = threading.Lock()
lock.acquire()


def write_journal():
    time.sleep(0.017)


def take_lock():
    lock.acquire(timeout=0.011)


def compute():
    end = time.thread_time_ns() + 7_000_000
    total = 0
    while time.thread_time_ns() < end:
        for number in range(500):
            total += number


spent = [0, 0, 0]
jobs = 0
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    times = [time.monotonic_ns()]
    for place in (write_journal, take_lock, compute):
        place()
        times.append(time.monotonic_ns())
    for place in range(3):
        spent[place] += times[place + 1] - times[place]
    jobs += 1
print("spent", *spent, jobs * 7_000_000, flush=True)
os.wait()
