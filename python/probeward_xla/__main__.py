"""Starts a worker: connects to who started it, greets, and does what it is called for until that one is gone."""

import argparse
import os
import select
import signal
import socket
import sys
import threading

from . import PROTOCOL
from .message import Malformed, receive, send


def main():
    parser = argparse.ArgumentParser(prog="probeward_xla", description=__doc__)
    parser.add_argument("--socket", required=True, help="the Unix socket of who started it")
    address = parser.parse_args().socket
    # Who is stopped by the terminal, or by a cluster, ends its own work first. With it the worker ends.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(address)
        end_with(sock)
        try:
            serve(sock)
        except Malformed as error:
            send(sock, {"fatal": f"a message that cannot be read: {error}"})
            sys.exit(1)


def end_with(sock):
    """Ends this process as soon as the other side is gone, whatever it computes."""

    def watch():
        poll = select.poll()
        poll.register(sock, getattr(select, "POLLRDHUP", 0) | select.POLLHUP)
        poll.poll()
        os._exit(0)

    if hasattr(select, "POLLRDHUP"):
        threading.Thread(target=watch, daemon=True).start()


def serve(sock):
    """The greeting, and then call after call."""
    message = receive(sock)
    if message is None:
        return
    greeting = message.call
    if greeting.get("call") != "hello":
        raise Malformed(f"{greeting.get('call')!r} before a greeting")
    if greeting.get("protocol") != PROTOCOL:
        found = f"it speaks protocol {greeting.get('protocol')!r}, and this worker {PROTOCOL}"
        send(sock, {"problem": "protocol", "error": found})
        return
    from .start import start

    worker, answer = start(greeting)
    send(sock, answer)
    while worker is not None:
        message = receive(sock)
        if message is None:
            return
        answered = worker.handle(message.call, message.tensors)
        if answered is not None:
            send(sock, *answered)
        if message.call["call"] == "close":
            return


main()
