"""This process: frames come in, each is answered by a line, until the other side is gone."""

import faulthandler
import json
import os
import select
import signal
import sys
import threading

from . import PROTOCOL
from .arms import Arm
from .frames import Malformed, line_of, read_frame
from .tasks import Tasks
from .user import Broken, load, told


def main(path):
    frames, answers = _pipes()
    faulthandler.enable(all_threads=False)
    if hasattr(signal, "SIGUSR1"):
        # Whoever waits too long asks where the file is.
        faulthandler.register(signal.SIGUSR1, all_threads=False)
    _end_with(frames.fileno())
    try:
        serve(os.path.abspath(path), frames, lambda line: _write(answers, line))
    except Malformed as error:
        sys.exit(f"what came over the pipe cannot be read: {error}")


def _pipes():
    """What frames come from and answers go to; nothing that the file prints, reads or starts has either of them."""
    frames = os.fdopen(os.dup(0), "rb", 2**16)
    answers = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)
    return frames, answers


def _write(answers, line):
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(answers, rest) :]


def _end_with(pipe):
    """Ends this process, and what it started, as soon as the other side is gone, whatever it is doing."""

    def watch():
        poll = select.poll()
        poll.register(pipe, getattr(select, "POLLRDHUP", 0) | select.POLLHUP)
        poll.poll()
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(0)

    if hasattr(select, "poll"):
        threading.Thread(target=watch, daemon=True).start()


def serve(path, frames, write):
    """Answers call after call. @raises Malformed"""
    session = Session(path)
    while not session.closed:
        frame = read_frame(frames)
        if frame is None:
            return
        number, call, parameters, arrays = frame
        try:
            answer = _line_of({"id": number, "value": session.answer(call, parameters, arrays)}, call)
        # Also what ends a program: that is for the other side to do.
        except BaseException as error:
            answer = line_of({"id": number, "error": told(error, path)})
        write(answer)


def _line_of(answer, call):
    try:
        return line_of(answer)
    except (TypeError, ValueError, RecursionError) as error:
        raise Broken(f"what {call} gives cannot be written as JSON: {error}") from None


class Session:
    """One file, opened as what the study names it for."""

    def __init__(self, path):
        self.path = path
        self.closed = False
        self.calls = {"open": self.open, "close": self.close}

    def answer(self, call, parameters, arrays):
        if call not in self.calls:
            raise Broken(f"there is no call {call!r} here")
        return self.calls[call](**parameters, **({"arrays": arrays} if arrays else {}))

    def open(self, protocol, role):
        if protocol != PROTOCOL:
            raise Broken(f"it speaks protocol {protocol!r}, and the Python side {PROTOCOL}")
        if role not in ("task", "arm"):
            raise Broken(f"there is no role {role!r}")
        module, sha256 = load(self.path)
        about = getattr(module, "probeward", {})
        if not isinstance(about, dict) or not _is_plain(about):
            raise Broken("`probeward`, what the file says of itself, should be a dict of texts, numbers, lists and dicts")
        opened = Tasks(module) if role == "task" else Arm(module, about.get("taps"))
        self.calls.update(opened.calls)
        return {"about": about, "defines": sorted(opened.calls), "sha256": sha256}

    def close(self):
        self.closed = True


def _is_plain(value):
    try:
        json.dumps(value, allow_nan=False)
        return True
    except (TypeError, ValueError):
        return False
