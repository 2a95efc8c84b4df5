"""Starts a process of a worker: joins its conductor, and does what it is called for until that one is gone."""

import argparse
import os
import signal
import sys

from . import PROTOCOL
from .join import Refused, end_with, join, listen, meet, wait_for
from .message import Malformed, calls_of, pass_on, receive, send


def main():
    parser = argparse.ArgumentParser(prog="probeward_xla", description=__doc__)
    parser.add_argument(
        "--conductor",
        required=True,
        help="where the process that conducts listens: a Unix socket's path, or HOST:PORT; of :PORT under Slurm, the host that called srun",
    )
    parser.add_argument("--peers", help="the Unix socket on which the first process hears the others; a free port of TCP unless given")
    parser.add_argument("--token-file", help="holds the token that the conductor knows; else the variable PROBEWARD_XLA_TOKEN is it")
    parser.add_argument(
        "--process",
        type=int,
        default=int(os.environ.get("SLURM_PROCID", 0)),
        help="which process this is, from 0; under srun, which task",
    )
    options = parser.parse_args()
    # Who is stopped by the terminal, or by a cluster, ends its own work first. With it the worker ends.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)
    try:
        conduct(options, token_of(options))
    except (Refused, OSError) as error:
        sys.exit(f"probeward_xla: {error}")


def token_of(options):
    if options.token_file is None:
        return os.environ.pop("PROBEWARD_XLA_TOKEN", "")
    with open(options.token_file, encoding="utf8") as file:
        return file.read().strip()


def conduct(options, token):
    first = options.process == 0
    peers = listen(options.peers, options.conductor) if first else None
    with join(options, token, peers) as conductor:
        end_with(conductor)
        source = conductor if first else meet(conductor, token, options.process)
        # The other processes, for the first one; that one, for another.
        others = {} if first else {0: source}
        if not first:
            end_with(source)

        def next_call():
            message = receive(source)
            if message is None:
                return None
            if first and message.call.get("call") == "hello" and peers is not None:
                others.update(wait_for(peers, token, message.call.get("processes", 1) - 1))
            for other in others.values() if first else ():
                pass_on(other, message)
            return message

        # Only the first process answers. What keeps another one from working, the conductor hears from itself.
        def answer(call, tensors=None):
            if first or "problem" in call or "fatal" in call:
                send(conductor, call, tensors)

        try:
            serve(next_call, answer, options.process, others)
        except Malformed as error:
            answer({"fatal": f"a message that cannot be read: {error}"})
            read_out(conductor)
            sys.exit(1)


def read_out(sock):
    """Takes what is still on its way: closed before, the socket would take back what was just sent."""
    sock.settimeout(0.2)
    try:
        while sock.recv(2**16):
            pass
    except OSError:
        pass


def serve(receive, answer, process, others):
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

    worker, told = start(greeting, process, others)
    answer(told)
    while worker is not None:
        message = receive()
        if message is None:
            return
        for call, tensors in calls_of(message):
            answered = worker.handle(call, tensors)
            if answered is not None:
                answer(*answered)
            if call["call"] == "close":
                return
        # What it held is not needed while the next one is waited for.
        message = call = tensors = answered = None


main()
