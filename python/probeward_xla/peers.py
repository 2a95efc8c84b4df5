"""Arrays whose parts lie in several processes: the others hand theirs to the first, so that no device ever holds a whole one."""

import jax.numpy as jnp
import numpy as np

from .message import receive, send
from .program import as_numpy
from .worker import Failed, stored


class Peers:
    """The other processes, by their numbers, for the first one; the first one, by 0, for another."""

    def __init__(self, process, sockets):
        self.process, self.sockets = process, sockets

    def gather(self, find, devices):
        """An answer with all of an array. All processes must ask at once, and say something whatever happens to them."""
        array, failed = None, None
        try:
            array = find()
            own = {place: np.asarray(part) for place, part in devices.own(array).items()}
            parts = devices.parts(array)
        except Exception as error:
            failed = error if isinstance(error, Failed) else Failed(f"get: {type(error).__name__}: {error}")
        if self.process > 0:
            mine = [] if failed else [place for place, at in parts.items() if at == self.process]
            tensors = {str(i): stored(own[place]) for i, place in enumerate(mine)}
            send(self.sockets[0], {"error": str(failed)} if failed else {}, tensors)
            return None
        said = {process: receive(sock) for process, sock in self.sockets.items()}
        for process, message in said.items():
            if message is None:
                failed = failed or Failed(f"get: process {process} is gone")
            elif "error" in message.call:
                failed = failed or Failed(message.call["error"])
        if failed:
            return {"error": str(failed)}, {}
        whole = np.empty(array.shape, np.float32 if array.dtype == jnp.bfloat16 else array.dtype)
        taken = dict.fromkeys(said, 0)
        for place, at in parts.items():
            if at == 0:
                part = own[place]
            else:
                part = as_numpy(said[at].tensors[str(taken[at])])
                taken[at] += 1
            whole[tuple(slice(*ends) for ends in place)] = part
        return {}, {"tensor": stored(whole)}
