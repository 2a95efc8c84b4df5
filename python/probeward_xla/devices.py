"""Where arrays lie: a mesh of devices, and by one rule for all how an array of some shape is divided among them."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

# Smaller arrays are not divided: the devices would spend more on fetching parts than they save.
DIVIDED_FROM = 2**14

DATA, FSDP = "data", "fsdp"


class Devices:
    """All devices of all processes, as `data` groups of `fsdp` each: batches are divided among all, weights within a group."""

    def __init__(self, data=1):
        count = jax.device_count()
        if count % data != 0:
            raise ValueError(f"{count} devices are not {data} equal groups: change data, or devices")
        self.sizes = {DATA: data, FSDP: count // data}
        self.count = count
        self.several = jax.process_count() > 1
        self.mesh = Mesh(np.array(jax.devices()).reshape(tuple(self.sizes.values())), tuple(self.sizes))
        self.whole = NamedSharding(self.mesh, PartitionSpec())
        self._gather = jax.jit(lambda array: array, out_shardings=self.whole)

    def sharding(self, shape, dtype):
        """Integers are tokens, and what has three axes or more is made of them: batches, by their rows. Other large arrays are weights."""
        spec = PartitionSpec()
        if self.count > 1 and len(shape) > 1:
            if dtype == np.int32 or len(shape) > 2:
                spec = PartitionSpec((DATA, FSDP)) if shape[0] % self.count == 0 else spec
            elif dtype == np.float32 and np.prod(shape) >= DIVIDED_FROM:
                fitting = [axis for axis, size in enumerate(shape) if size % self.sizes[FSDP] == 0]
                if fitting:
                    longest = max(fitting, key=lambda axis: shape[axis])
                    spec = PartitionSpec(*[FSDP if axis == longest else None for axis in range(len(shape))])
        return NamedSharding(self.mesh, spec)

    def put(self, array):
        """An array of this process, or of all processes alike, on the devices."""
        sharding = self.sharding(array.shape, array.dtype)
        if self.several:
            return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])
        return jax.device_put(array, sharding)

    def put_whole(self, array):
        """The same, undivided."""
        if self.several:
            return jax.make_array_from_callback(array.shape, self.whole, lambda index: array[index])
        return jax.device_put(array, self.whole)

    def zeros(self, shape, dtype):
        """Zeros on the devices."""
        return jnp.zeros(shape, dtype, device=self.sharding(shape, dtype))

    def get(self, array):
        """All of a small array, in every process. Where there are several, all must ask."""
        if array.is_fully_addressable:
            return np.asarray(array)
        return np.asarray((array if array.is_fully_replicated else self._gather(array)).addressable_data(0))

    def parts(self, array):
        """Where each part of an array lies: the first process that has it, and the part's place, in one order for all."""
        found = {}
        for device, index in array.sharding.devices_indices_map(array.shape).items():
            found.setdefault(_place(index, array.shape), device.process_index)
        return found

    def own(self, array):
        """The parts that lie in this process, by their places."""
        return {_place(shard.index, array.shape): shard.data for shard in array.addressable_shards}


def _place(index, shape):
    return tuple(one.indices(size)[:2] for one, size in zip(index, shape))
