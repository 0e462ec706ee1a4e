#!/usr/bin/env python3
"""stranger.py: who has no secret, at a node's port.

    garbage HOST N              N connections that send random bytes, some of them in frames of the handshake
    oversized HOST N            N that say that more comes than may
    silent HOST N               N that say nothing, until SIGTERM; from many addresses
    half HOST N                 N that begin a handshake and say no more, until they are closed
    record LISTEN HOST FILE     pass on one connection, and keep what who dialled has said
    replay HOST FILE N          say it again
"""
import os
import random
import select
import signal
import socket
import struct
import sys
import time

PORT = 4377


def connect(host, source=None):
    s = socket.socket()
    s.settimeout(20)
    if source and host.startswith("127."):
        s.bind((source, 0))
    s.connect((host, PORT))
    return s


def say(s, data):
    try:
        s.sendall(data)
    except OSError:
        pass  # it was closed meanwhile


def closed_in_time(s):
    """Seconds until the other end has closed it."""
    began = time.monotonic()
    try:
        while s.recv(65536):
            pass
    except ConnectionError:
        pass
    return time.monotonic() - began


def garbage(host, n):
    for i in range(n):
        s = connect(host)
        data = os.urandom(random.randint(1, 5000))
        say(s, struct.pack("<H", 64) + data[:64].ljust(64) + data if i % 2 else data)
        s.shutdown(socket.SHUT_WR)
        closed_in_time(s)
        s.close()


def oversized(host, n):
    for _ in range(n):
        s = connect(host)
        say(s, struct.pack("<H", 65535) + os.urandom(65535))
        took = closed_in_time(s)
        s.close()
        if took > 10:
            sys.exit(f"it listened for {took:.1f} s")


def silent(host, n):
    sockets = []
    for i in range(n):
        sockets.append(connect(host, f"127.99.{i % 250}.7"))
    print("silent", flush=True)
    signal.sigwait([signal.SIGTERM])


def half(host, n):
    sockets = [connect(host) for _ in range(n)]
    for s in sockets:
        say(s, struct.pack("<H", 64) + b"half of it")
    longest = max(closed_in_time(s) for s in sockets)
    if longest > 15:
        sys.exit(f"it waited for {longest:.1f} s")


def record(at, host, path):
    listener = socket.create_server((at, PORT))
    print("ready", flush=True)
    a, _ = listener.accept()
    b = connect(host)
    with open(path, "wb") as out:
        while True:
            for s in select.select([a, b], [], [])[0]:
                data = s.recv(65536)
                if not data:
                    return
                if s is a:
                    out.write(data)
                    out.flush()
                (b if s is a else a).sendall(data)


def replay(host, path, n):
    data = open(path, "rb").read()
    for _ in range(n):
        s = connect(host)
        say(s, data)
        closed_in_time(s)
        s.close()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM] if sys.argv[1] == "silent" else [])
    globals()[sys.argv[1]](*(int(a) if a.isdigit() else a for a in sys.argv[2:]))
