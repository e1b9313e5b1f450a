"""JAX's devices: a mesh of them, arrays on it, and those of other processes.

Conventions
-----------
A mesh has one axis, `TUNES`: each device has some tunes of a minibatch. An array is whole on all
devices, or divided among them along its axis of tunes.
"""

import contextlib
import functools
import os
import threading

import jax
import numpy as np
from jax.extend.backend import clear_backends
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as Spec

TUNES = "tunes"


def devices():
    """Return the devices of this process and of those to which it is connected."""
    return jax.devices()


def process_numbers():
    """Return how many processes are connected, and the number of this one."""
    return jax.process_count(), jax.process_index()


def mesh_of(devices):
    """Return a mesh of devices."""
    return jax.make_mesh((len(devices),), (TUNES,), devices=devices)


def first_of_each_process(devices):
    """Return a mesh with one device of each process."""
    firsts = {device.process_index: device for device in reversed(devices)}
    return mesh_of([firsts[k] for k in sorted(firsts)])


def placed(array, place):
    """Return an array that this process has whole on the devices of a sharding."""
    if isinstance(array, jax.Array) and array.sharding == place:
        return array
    whole = np.asarray(array)
    return jax.make_array_from_callback(whole.shape, place, lambda index: whole[index])


def gathered(arrays, mesh):
    """Return the whole of (B, H) arrays of which each device of a mesh has some rows."""
    ends = np.cumsum([array.shape[1] for array in arrays])
    with jax.enable_x64(True):
        return np.split(np.asarray(_side_by_side(mesh)(arrays)), ends[:-1], axis=1)


@functools.cache
def _side_by_side(mesh):
    def join(arrays):  # so that one message between the devices is enough
        return jax.numpy.concatenate(arrays, axis=1)

    return jax.jit(join, out_shardings=NamedSharding(mesh, Spec()))


def summed(array, mesh):
    """Return the sum of an array over the devices of a mesh; each process passes its own array."""
    rows = np.broadcast_to(array, (len(mesh.local_devices), *array.shape))
    place = NamedSharding(mesh, Spec(TUNES))
    rows = jax.make_array_from_process_local_data(place, rows, (mesh.size, *array.shape))
    return np.asarray(sum_of_rows(mesh)(rows))[0]


@functools.cache
def sum_of_rows(mesh):
    """Return the compiled sum of arrays (1, …), one on each device of a mesh."""

    def add(row):
        return jax.lax.psum(row, TUNES)

    return jax.jit(jax.shard_map(add, mesh=mesh, in_specs=Spec(TUNES), out_specs=Spec()))


# ---- other processes


CONNECTED = {"jax_enable_recoverability": True, "jax_enable_preemption_service": False}
"""Settings of JAX's with which this process goes on when another dies, and with which Ctrl-C and
SIGTERM stay ours."""

_before = {}  # the settings outside of a connection


def connect(address, n, k, seconds, silence):
    """Become process `k` of `n`; the first listens at an address. None comes from a launcher.

    JAX ends this process if the others do not come within some seconds. One that gives no sign of
    life for the seconds of `silence` is then no longer `alive`.
    """
    for name, value in CONNECTED.items():
        _before[name] = getattr(jax.config, name)
        jax.config.update(name, value)
    clear_backends()  # JAX has other devices from now on
    is_local = address is not None and address.startswith("127.")
    with silenced(2, 2):  # its warning of recoverability, but not why JAX later aborts
        jax.distributed.initialize(
            address,
            n,
            k,
            coordinator_bind_address=address if is_local else None,
            initialization_timeout=seconds,
            heartbeat_timeout_seconds=silence,
        )


def disconnect():
    """Undo `connect`."""
    with contextlib.suppress(Exception):
        jax.distributed.shutdown()
    for name in [*_before]:
        jax.config.update(name, _before.pop(name))
    clear_backends()
    _side_by_side.cache_clear()  # they refer to a mesh
    sum_of_rows.cache_clear()


def alive(processes):
    """Return the processes that give signs of life, or None if this JAX does not list them.

    The call returns when all living processes have made it. The first one keeps the list.
    """
    try:
        from jax._src.distributed import global_state  # it has no public name

        listed = global_state.client.get_live_nodes  # pyright: ignore[reportOptionalMemberAccess]
    except (ImportError, AttributeError):
        return None
    try:
        return [*listed([*processes])]
    except Exception:  # the first process is gone
        return [*processes][1:]


def is_loss(error):
    """Return whether an error of JAX's means that another process is lost."""
    words = "Gloo", "NCCL", "UNAVAILABLE", "ABORTED", "DEADLINE_EXCEEDED", "onnection"
    return any(word in str(error) for word in words)


@contextlib.contextmanager
def silenced(descriptor, seconds=3600):
    """Drop what libraries write to standard output (1) or standard error (2) in this block.

    Some seconds later it is written again.
    """
    kept = os.dup(descriptor)
    again = threading.Timer(seconds, os.dup2, (kept, descriptor))
    again.daemon = True
    again.start()
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), descriptor)
        yield
    finally:
        again.cancel()
        again.join()
        os.dup2(kept, descriptor)
        os.close(kept)
