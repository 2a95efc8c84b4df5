"""The user's file: loaded by its path, and where in it an error was."""

import hashlib
import importlib.util
import os
import sys
import traceback


class Broken(Exception):
    """What the file gives is not what was asked for: its message says all, without a traceback."""


def load(path):
    """The file as a module, and its SHA-256. What lies beside it can be imported, as by a script."""
    sys.path.insert(0, os.path.dirname(path))
    # Not the file's own name, which may be that of something else: random.py.
    name = "probeward_" + os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with open(path, "rb") as file:
        sha256 = hashlib.sha256(file.read()).hexdigest()
    spec.loader.exec_module(module)
    return module, sha256


def told(error, path):
    """An error as the other side is told of it: in a line, where in the file, and by which calls."""
    if isinstance(error, Broken):
        return {"message": str(error), "line": None, "traceback": ""}
    tree = traceback.TracebackException.from_exception(error)
    each = tree
    while each is not None:
        each.stack[:] = [frame for frame in each.stack if not _is_ours(frame.filename)]
        each = each.__cause__ or each.__context__
    lines = [frame.lineno for frame in tree.stack if frame.filename == path]
    if isinstance(error, SyntaxError) and error.filename == path:
        lines.append(error.lineno)
    message = "".join(tree.format_exception_only()).strip()
    return {
        # Of a mistake in the syntax the last line says what it is.
        "message": message.split("\n")[-1] if isinstance(error, SyntaxError) else message,
        "line": lines[-1] if lines else None,
        "traceback": "".join(tree.format())[-8000:],
    }


def _is_ours(filename):
    return filename.startswith((os.path.dirname(os.path.abspath(__file__)), "<frozen importlib"))
