"""What a greeting asks for, set before JAX wakes up: devices, precision, where compiled programs are kept."""

import os
import platform


def start(greeting, process, sockets):
    """A worker, and the answer to the greeting; no worker where the answer is what is wrong."""
    # Among kernels that repeat bit for bit the fastest is chosen by measuring, and the choice kept with compiled programs.
    flags = [os.environ.get("XLA_FLAGS", ""), "--xla_gpu_exclude_nondeterministic_ops=true"]
    if greeting["devices"]:
        flags.append(f"--xla_force_host_platform_device_count={greeting['devices']}")
    if greeting.get("plan"):
        # Nothing is run: machine code need not be good.
        flags += ["--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true"]
        os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = " ".join(flags).strip()
    # Of a GPU's memory, taken at once; without it JAX leaves a quarter unused.
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.9")
    try:
        import jax
        import jaxlib
        import numpy
    except ImportError as error:
        return None, {"problem": "no-jax", "error": str(error)}
    if version(jax.__version__) < version(greeting["minimum"]):
        return None, {"problem": "old-jax", "error": jax.__version__}
    jax.config.update("jax_default_matmul_precision", "highest")
    jax.config.update("jax_compilation_cache_dir", greeting["cache"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    jax.config.update("jax_persistent_cache_enable_xla_caches", "xla_gpu_per_fusion_autotune_cache_dir")
    try:
        if greeting["processes"] > 1:
            jax.config.update("jax_cpu_collectives_implementation", "gloo")
            jax.distributed.initialize(greeting["coordinator"], greeting["processes"], process)
        from .devices import Devices
        from .peers import Peers
        from .plan import Planner
        from .worker import Worker

        devices = Devices(greeting["data"])
    except Exception as error:
        return None, {"problem": "devices", "error": f"{type(error).__name__}: {error}"}
    versions = {"jax": jax.__version__, "jaxlib": jaxlib.__version__, "numpy": numpy.__version__}
    peers = Peers(process, sockets) if sockets else None
    limits = [(device.memory_stats() or {}).get("bytes_limit") for device in jax.local_devices()]
    worker = Planner if greeting.get("plan") else Worker
    return worker(devices, greeting["dtype"], peers), {
        "versions": {**versions, "python": platform.python_version()},
        "platform": jax.devices()[0].platform,
        "device": jax.devices()[0].device_kind,
        "devices": devices.count,
        "mesh": devices.sizes,
        # Bytes of one that there are for arrays; a CPU does not tell.
        "memory": None if None in limits else min(limits),
    }


def version(text):
    """Its leading numbers."""
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in text.split(".")[:3])
