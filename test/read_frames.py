"""Reads damaged streams of frames, one after the other, as a Python file's process does, and says what became of them.

On standard input: how many bytes a stream has, as four bytes, and the stream; again and again.
"""

import io
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

from probeward.frames import Malformed  # noqa: E402
from probeward.process import serve  # noqa: E402


def main(path):
    seen = {"streams": 0, "malformed": 0, "values": 0, "errors": 0}

    def write(line):
        # Whatever came, what goes out is an answer.
        assert line.endswith(b"\n") and line.count(b"\n") == 1, line
        answer = json.loads(line)
        assert sorted(answer) in (["id", "value"], ["error", "id"]), answer
        assert type(answer["id"]) is int, answer
        seen["values" if "value" in answer else "errors"] += 1

    while head := sys.stdin.buffer.read(4):
        stream = sys.stdin.buffer.read(int.from_bytes(head, "little"))
        seen["streams"] += 1
        try:
            serve(path, io.BytesIO(stream), write)
        except Malformed as error:
            assert len(str(error)) < 1000, error
            seen["malformed"] += 1
    print(json.dumps(seen))


main(sys.argv[1])
