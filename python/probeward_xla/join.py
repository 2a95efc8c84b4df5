"""How processes come together: each joins the conductor, by a token; then the others the first, which passes calls on to them."""

import hashlib
import hmac
import os
import platform
import select
import socket
import threading
import time
from importlib import metadata
from pathlib import Path

from . import PROTOCOL
from .message import Malformed, receive, send

# Seconds that processes wait for each other at the start.
TOGETHER = 600
# Seconds that one may take to say who it is, and bytes that it may say it in.
PATIENCE = 10
SHORT = 2**12
# Seconds without a sign of life, after which another machine counts as gone.
GONE = 60


class Refused(Exception):
    """Why this process does not belong to what it joined."""


def join(options, token, peers):
    """A socket to the conductor, which may not be there yet, and now knows this process. Raises Refused, OSError."""
    sock = _connect(_address(options.conductor), options.conductor)
    sock.settimeout(TOGETHER)
    told = {"call": "join", "protocol": PROTOCOL, "token": token, "process": options.process, "versions": _versions()}
    told["host"] = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    if peers is not None:
        name = peers.getsockname()
        told["peers"] = name if isinstance(name, str) else name[1]
        told["coordinator"] = _free_port()
    send(sock, told)
    welcome = _said(sock)
    if welcome is None:
        raise Refused(f"{options.conductor} ended the connection: no conductor, or one that has all of its processes")
    if "refused" in welcome:
        raise Refused(f"the conductor at {options.conductor} refused this process: {welcome['refused']}")
    sock.settimeout(None)
    return sock


def listen(path, conductor):
    """Where the first process hears the others; nothing where it is alone on its machine."""
    if path is not None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(path)
        sock.listen()
        return sock
    if isinstance(_address(conductor), str):
        return None
    both = socket.has_dualstack_ipv6()
    return socket.create_server(("", 0), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both)


def meet(conductor, token, process):
    """A socket to the first process, at the address that the conductor tells. Raises Refused, OSError."""
    message = receive(conductor)
    if message is None:
        raise Refused("the conductor is gone")
    address = message.call["address"]
    sock = _connect(address if isinstance(address, str) else tuple(address), address)
    send(sock, {"token": token, "process": process})
    return sock


def wait_for(listener, token, count):
    """Sockets to so many other processes, by their numbers: those that know the token. Whoever else comes is sent away."""
    others, ends = {}, time.monotonic() + TOGETHER
    with listener:
        while len(others) < count:
            listener.settimeout(max(0.1, ends - time.monotonic()))
            try:
                sock, _ = listener.accept()
            except TimeoutError:
                raise Refused(f"{count - len(others)} processes have not come to the first within {TOGETHER} s") from None
            _keep(sock)
            sock.settimeout(PATIENCE)
            said = _said(sock) or {}
            if hmac.compare_digest(str(said.get("token")).encode(), token.encode()):
                sock.settimeout(None)
                others[said["process"]] = sock
            else:
                sock.close()
    return others


def end_with(sock):
    """Ends this process as soon as the other side is gone, whatever it computes."""

    def watch():
        poll = select.poll()
        poll.register(sock, getattr(select, "POLLRDHUP", 0) | select.POLLHUP)
        poll.poll()
        os._exit(0)

    if hasattr(select, "POLLRDHUP"):
        threading.Thread(target=watch, daemon=True).start()


def _said(sock):
    """A short call; None where there is none."""
    try:
        message = receive(sock, SHORT)
    except (Malformed, OSError):
        return None
    return message and message.call


def _address(text):
    """A path, or a host and a port."""
    if "/" in text:
        return text
    host, _, port = text.rpartition(":")
    if not port.isdigit():
        raise Refused(f"{text} is no address: a path of a Unix socket or HOST:PORT is")
    # srun tells its tasks where it was called.
    return host.strip("[]") or os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "localhost"), int(port)


def _connect(address, name):
    """A socket to who may not be there yet."""
    ends = time.monotonic() + TOGETHER
    while True:
        try:
            if not isinstance(address, str):
                sock = socket.create_connection(address, timeout=PATIENCE)
                sock.settimeout(None)
                _keep(sock)
                return sock
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.connect(address)
            return sock
        except OSError as error:
            if time.monotonic() > ends:
                raise TimeoutError(f"nobody at {name} for {TOGETHER} s: {error}") from error
            time.sleep(0.05 if isinstance(address, str) else 0.5)


def _keep(sock):
    """Small messages go at once, and a machine that is gone is noticed."""
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {"KEEPIDLE": GONE // 3, "KEEPINTVL": GONE // 6, "KEEPCNT": 4, "USER_TIMEOUT": GONE * 1000}.items():
        if hasattr(socket, f"TCP_{name}"):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}"), value)


def _free_port():
    """A port of this machine that nothing listens on: processes of JAX find each other there."""
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


def _versions():
    """What must be the same in all processes that compute together; JAX is not woken up for it."""
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    found = {"python": platform.python_version(), "worker": hashlib.sha256(sources).hexdigest()[:12]}
    for name in ("jax", "jaxlib", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return found
