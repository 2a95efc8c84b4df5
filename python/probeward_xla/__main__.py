"""Starts a worker: connects to who started it, greets, and does what it is called for until that one is gone."""

import argparse
import os
import select
import signal
import socket
import sys
import threading

from . import PROTOCOL
from .message import Malformed, send
from .peers import join, receive, wait_for


def main():
    parser = argparse.ArgumentParser(prog="probeward_xla", description=__doc__)
    parser.add_argument("--socket", help="the Unix socket of who started it; for the first process")
    parser.add_argument("--peers", help="the Unix socket on which the first process hears the others")
    parser.add_argument("--process", type=int, default=0, help="which process this is, from 0")
    parser.add_argument("--processes", type=int, default=1, help="how many compute together")
    options = parser.parse_args()
    # Who is stopped by the terminal, or by a cluster, ends its own work first. With it the worker ends.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    token = os.environ.get("PROBEWARD_XLA_TOKEN", "")
    with connect(options, token) as sock:
        end_with(sock)
        others = [] if options.process > 0 else wait_for(options.peers, token, options.processes - 1)
        # Only the first process answers.
        answer = (lambda *_: None) if options.process > 0 else (lambda *told: send(sock, *told))
        try:
            serve(lambda: receive(sock, others), answer, options.process)
        except Malformed as error:
            answer({"fatal": f"a message that cannot be read: {error}"})
            read_out(sock)
            sys.exit(1)


def connect(options, token):
    """To who started this process, or to the first process."""
    if options.process > 0:
        return join(options.peers, token)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(options.socket)
    return sock


def read_out(sock):
    """Takes what is still on its way: closed before, the socket would take back what was just sent."""
    sock.settimeout(0.2)
    try:
        while sock.recv(2**16):
            pass
    except OSError:
        pass


def end_with(sock):
    """Ends this process as soon as the other side is gone, whatever it computes."""

    def watch():
        poll = select.poll()
        poll.register(sock, getattr(select, "POLLRDHUP", 0) | select.POLLHUP)
        poll.poll()
        os._exit(0)

    if hasattr(select, "POLLRDHUP"):
        threading.Thread(target=watch, daemon=True).start()


def serve(receive, answer, process):
    """The greeting, and then call after call."""
    message = receive()
    if message is None:
        return
    greeting = message.call
    if greeting.get("call") != "hello":
        raise Malformed(f"{greeting.get('call')!r} before a greeting")
    if greeting.get("protocol") != PROTOCOL:
        found = f"it speaks protocol {greeting.get('protocol')!r}, and this worker {PROTOCOL}"
        answer({"problem": "protocol", "error": found})
        return
    from .start import start

    worker, told = start(greeting, process)
    answer(told)
    while worker is not None:
        message = receive()
        if message is None:
            return
        answered = worker.handle(message.call, message.tensors)
        if answered is not None:
            answer(*answered)
        if message.call["call"] == "close":
            return


main()
