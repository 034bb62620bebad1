"""What starts several processes at once, and where it tells each which one it is: SLURM, Open MPI, TPU, Kubernetes.

SLURM and Open MPI tell by environment variables, which are read here: whether somebody must be waited for depends on
which of them are there. TPU machines and Kubernetes are asked by JAX's own detection.
"""

from __future__ import annotations

import importlib.util
import os
import re
import warnings
from collections.abc import Mapping

from tlj.distributed.place import PORT, Place
from tlj.errors import InputError, RunError

_ALONE = "or --single-process to train in this process alone"


def detect_place(coordinator: str | None = None, environment: Mapping[str, str] | None = None) -> Place | None:
    """Returns the place that a cluster gave this process, or None where none did.

    Args:
      coordinator: where process 0 listens, where the user said so.
      environment: variables; by default those of this process.

    Raises:
      InputError: there is a cluster, but it does not tell where process 0 is.
      RunError: what has to be asked over the network does not answer.
    """
    environment = os.environ if environment is None else environment
    return (
        _open_mpi(environment, coordinator)
        or _slurm(environment)
        or _asked_by_jax(environment, coordinator is not None)
    )


def _open_mpi(environment: Mapping[str, str], coordinator: str | None) -> Place | None:
    """The place under mpirun; up to version 4 it says where it runs itself, which is where it starts process 0."""
    processes = _number(environment, "OMPI_COMM_WORLD_SIZE")
    if processes is None:
        return None
    process = _number(environment, "OMPI_COMM_WORLD_RANK") or 0
    alone = _number(environment, "OMPI_COMM_WORLD_LOCAL_SIZE") == 1
    devices = None if alone else _own_device(environment, "OMPI_COMM_WORLD_LOCAL_RANK")
    if coordinator is None and processes > 1:
        address = re.search(r"tcp://([^,:]+)|tcp6://(\[[^,\]]+)", environment.get("OMPI_MCA_orte_hnp_uri", ""))
        if address is None:
            raise InputError(
                f"Open MPI started {processes} processes and does not say where the first is",
                where="mpirun",
                do=f"give --coordinator=HOST, the host of process 0, {_ALONE}",
            )
        host = address[1] or f"{address[2]}]"
        job = int(environment["OMPI_MCA_orte_hnp_uri"].partition(".")[0]) >> 12
        coordinator = f"{host}:{_port_of_job(environment, job)}"
    return Place(coordinator or f"localhost:{PORT}", processes, process, devices, "Open MPI")


def _slurm(environment: Mapping[str, str]) -> Place | None:
    """The place in a job step, which `srun` starts.

    The shells of `salloc` and of a batch script hold the variables of the job, and whoever starts in them is alone:
    only a job step has a number of tasks of its own. The step in which some sites run the shell of `salloc` has one.
    """
    processes = _number(environment, "SLURM_STEP_NUM_TASKS")
    nodes = environment.get("SLURM_STEP_NODELIST", "")
    process, job = _number(environment, "SLURM_PROCID"), _number(environment, "SLURM_JOB_ID")
    if processes is None or process is None or job is None or not nodes:
        return None
    first = re.match(r"([^,\[]+)(?:\[(\d+))?", nodes)
    host = f"{first[1]}{first[2] or ''}"
    alone = re.fullmatch(r"1(\(x\d+\))?", environment.get("SLURM_STEP_TASKS_PER_NODE", ""))
    devices = None if alone else _own_device(environment, "SLURM_LOCALID")
    return Place(f"{host}:{_port_of_job(environment, job)}", processes, process, devices, "SLURM")


def _asked_by_jax(environment: Mapping[str, str], coordinator_known: bool) -> Place | None:
    """The place on TPU machines and in Kubernetes, where finding it takes questions over the network."""
    # Every pod has KUBERNETES_SERVICE_HOST, a notebook too; only one of an indexed job has peers and a number.
    kubernetes = "KUBERNETES_SERVICE_HOST" in environment and "JOB_COMPLETION_INDEX" in environment
    # JAX keeps its detection to itself: `jax.distributed.initialize` would already wait for the others.
    from jax._src import clusters

    if kubernetes and importlib.util.find_spec("kubernetes") is None:
        warnings.warn(
            "tlj: a pod of an indexed job may have peers, and without the package kubernetes nobody can ask: this "
            "process trains alone; install jax[k8s], or give --coordinator=HOST:PORT --processes=N --process=I",
            stacklevel=2,
        )
        kubernetes = False
    for name in ("GkeTpuCluster", "GceTpuCluster", *(["K8sCluster"] if kubernetes else [])):
        cluster = getattr(clusters, name, None)
        try:
            if cluster is None or not cluster.is_env_present():
                continue
            processes = cluster.get_process_count()
            process = cluster.get_process_id() if processes > 1 else 0
            coordinator = f"localhost:{PORT}"
            if processes > 1 and not coordinator_known:
                port = environment.get("JAX_COORDINATOR_PORT", PORT)
                coordinator = cluster.get_coordinator_address(timeout_secs=60, override_coordinator_port=port)
        except Exception as error:
            raise RunError(
                f"{name.removesuffix('Cluster')}: cannot find out which process this is: "
                f"{' '.join(str(error).split())}; give --coordinator=HOST:PORT --processes=N --process=I, {_ALONE}"
            ) from error
        return Place(coordinator, processes, process, None, name.removesuffix("Cluster"))
    return None


def _port_of_job(environment: Mapping[str, str], job: int) -> str:
    """Returns a port that other jobs on the same machine do not use: the one that JAX would take."""
    return environment.get("JAX_COORDINATOR_PORT") or str(65536 - 4096 + job % 4096)


def _own_device(environment: Mapping[str, str], local_process: str) -> tuple[int, ...] | None:
    """Returns the one accelerator of a process that shares those of its machine with others."""
    given = environment.get("JAX_LOCAL_DEVICE_IDS")
    if given:
        return tuple(int(device) for device in given.split(","))
    process = _number(environment, local_process)
    visible = environment.get("CUDA_VISIBLE_DEVICES") or environment.get("ROCR_VISIBLE_DEVICES")
    # A launcher that binds one accelerator to each task has made the choice already.
    bound = visible is not None and len(visible.split(",")) == 1
    return None if process is None or bound else (process,)


def _number(environment: Mapping[str, str], name: str) -> int | None:
    """Returns the number in a variable, or None where it holds none."""
    text = environment.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() else None
