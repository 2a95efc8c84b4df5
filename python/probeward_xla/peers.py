"""Several processes as one: the first passes every message on to the others, and all do the same."""

import hmac
import socket
import time

from . import message
from .message import pass_on, send

# Seconds that processes wait for each other at the start.
TOGETHER = 300


def wait_for(address, token, count):
    """Sockets to so many other processes, which know the token."""
    others = []
    if count == 0:
        return others
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen(count)
        listener.settimeout(TOGETHER)
        while len(others) < count:
            sock, _ = listener.accept()
            sock.settimeout(None)
            greeting = message.receive(sock)
            given = "" if greeting is None else str(greeting.call.get("token"))
            if hmac.compare_digest(given.encode(), token.encode()):
                others.append(sock)
            else:
                sock.close()
    return others


def join(address, token):
    """A socket to the first process, which may not be there yet."""
    ends = time.monotonic() + TOGETHER
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(address)
            break
        except OSError as error:
            sock.close()
            if time.monotonic() > ends:
                raise TimeoutError(f"no first process at {address} for {TOGETHER} s") from error
            time.sleep(0.05)
    send(sock, {"token": token})
    return sock


def receive(sock, others):
    """The next message, passed on to the other processes."""
    received = message.receive(sock)
    if received is not None:
        for other in others:
            pass_on(other, received)
    return received
