"""Starts processes from one that has imported everything already, which saves each the seconds that importing takes.

Reads requests on standard input, one JSON object a line, and answers on standard output. Each process is a fork that
has used nothing of JAX yet: it gets its own environment, folder, standard streams and process group, and ends like any
other Python process.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import sys

_PRELOADED = (
    "jax.experimental.multihost_utils",
    "orbax.checkpoint",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.datasets",
    "tlj.cli",
    "tlj.evidence.report",
    "tlj.experiments.compare",
)


def configure_jax(environment):
    """Does what importing JAX would have done with these variables."""
    import jax

    for name, text in environment.items():
        option = name.lower()
        if name.startswith("JAX_") and os.environ.get(name) != text and hasattr(jax.config, option):
            kind = type(getattr(jax.config, option))
            value = text.lower() in ("1", "true") if kind is bool else kind(text) if kind in (int, float) else text
            jax.config.update(option, value)


def become(request):
    """Turns a fork into the process that was asked for; does not return."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["stdout"], None),
        (2, request["stderr"], None),
    ):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC if flags is None else flags, 0o644)
        os.dup2(file, number)
    configure_jax(request["environment"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    if "tlj" in request:
        from tlj.cli import main

        sys.exit(main(request["tlj"]))
    sys.argv = ["", *request["arguments"]]
    runpy.run_path(request["script"], run_name="__main__")
    sys.exit(0)


def serve():
    """Answers requests until the other end closes; returns the request of the process that this has become."""
    running = {}
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is sys.stdin:
                    line = sys.stdin.readline()
                    if not line:
                        for child in running.values():
                            with contextlib.suppress(ProcessLookupError):
                                os.killpg(child, signal.SIGKILL)
                        return None
                    request = json.loads(line)
                    child = os.fork()
                    if child == 0:
                        return request
                    handle = os.pidfd_open(child)
                    running[handle] = child
                    selector.register(handle, selectors.EVENT_READ)
                    answer = {"started": child}
                else:
                    child = running.pop(key.fd)
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    answer = {"ended": child, "code": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}
                print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    for module in _PRELOADED:
        # A module that does not import fails again, and visibly, in the process that wants it.
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    gc.collect()
    gc.freeze()
    asked = serve()
    if asked is not None:
        become(asked)
