import sys
import types

import pytest
from jax._src import clusters as jax_clusters

from tlj.distributed.clusters import detect_place
from tlj.distributed.place import Place
from tlj.errors import InputError, RunError

JOB = {"SLURM_JOB_ID": "4711", "SLURM_NTASKS": "4", "SLURM_JOB_NODELIST": "node[001-002]"}
STEP = {
    **JOB,
    "SLURM_STEP_NODELIST": "node[001-002]",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}
MPIRUN = {
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
}


def test_a_task_of_srun_knows_its_place():
    assert detect_place(environment=STEP) == Place("node001:62055", 4, 3, (1,), "SLURM")


@pytest.mark.parametrize("nodes", ["node001", "node001,host2", "node[001-015],host2", "n-a[7,9-12]", "a.b,c"])
def test_the_address_is_the_one_that_jax_takes(nodes, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_STEP_NODELIST", nodes)
    theirs = jax_clusters.SlurmCluster.get_coordinator_address(timeout_secs=1, override_coordinator_port=None)
    assert detect_place(environment={**STEP, "SLURM_STEP_NODELIST": nodes}).coordinator == theirs


@pytest.mark.parametrize(
    "shell",
    [
        JOB,
        {**JOB, "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"},
        {**STEP, "SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},
    ],
    ids=["salloc", "a batch script", "salloc whose shell is a step of its own"],
)
def test_a_shell_in_an_allocation_waits_for_nobody(shell):
    place = detect_place(environment=shell)
    assert place is None or place.processes == 1


def test_a_task_alone_on_its_machine_keeps_all_accelerators():
    alone = {**STEP, "SLURM_STEP_TASKS_PER_NODE": "1(x4)", "SLURM_LOCALID": "0"}
    assert detect_place(environment=alone).devices is None


def test_a_task_to_which_one_accelerator_was_bound_keeps_it():
    assert detect_place(environment={**STEP, "CUDA_VISIBLE_DEVICES": "1"}).devices is None
    assert detect_place(environment={**STEP, "CUDA_VISIBLE_DEVICES": "0,1"}).devices == (1,)
    assert detect_place(environment={**STEP, "JAX_LOCAL_DEVICE_IDS": "2,3"}).devices == (2, 3)


def test_a_process_of_mpirun_knows_its_place(monkeypatch):
    place = detect_place(environment=MPIRUN)
    monkeypatch.setenv("OMPI_MCA_orte_hnp_uri", MPIRUN["OMPI_MCA_orte_hnp_uri"])
    theirs = jax_clusters.OmpiCluster.get_coordinator_address(timeout_secs=1, override_coordinator_port=None)
    assert place == Place(theirs, 2, 1, None, "Open MPI")


def test_mpirun_over_ipv6_gives_an_address_that_can_be_used():
    uri = "1314521088.0;tcp6://[fe80::b9b:ac5d,2620:10d::2]:43370"
    assert detect_place(environment={**MPIRUN, "OMPI_MCA_orte_hnp_uri": uri}).address[0] == "fe80::b9b:ac5d"


def test_open_mpi_5_does_not_say_where_the_first_is_and_the_user_must():
    five = {name: value for name, value in MPIRUN.items() if "uri" not in name}
    with pytest.raises(InputError, match="give --coordinator=HOST"):
        detect_place(environment=five)
    assert detect_place("node1", five).process == 1
    assert detect_place(environment={**five, "OMPI_COMM_WORLD_SIZE": "1"}).processes == 1


def test_a_port_that_the_user_chose_is_taken():
    chosen = {"JAX_COORDINATOR_PORT": "8476"}
    assert detect_place(environment={**STEP, **chosen}).coordinator == "node001:8476"
    assert detect_place(environment={**MPIRUN, **chosen}).coordinator == "10.96.0.1:8476"


def test_an_ordinary_machine_is_no_cluster():
    assert detect_place(environment={}) is None


def test_an_ordinary_pod_asks_nobody_and_says_nothing(recwarn):
    assert detect_place(environment={"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) is None
    assert not recwarn


def test_a_pod_of_an_indexed_job_without_the_package_says_that_it_is_alone():
    with pytest.warns(UserWarning, match="trains alone; install") as warned:
        assert detect_place(environment={"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}) is None
    assert len(warned) == 1


def test_a_cluster_that_does_not_answer_ends_with_a_line(monkeypatch):
    def fails():
        raise RuntimeError("Kubernetes API Error:\n403 - Forbidden")

    monkeypatch.setitem(sys.modules, "kubernetes", types.ModuleType("kubernetes"))
    sys.modules["kubernetes"].__spec__ = types.SimpleNamespace()
    monkeypatch.setattr(jax_clusters.K8sCluster, "is_env_present", fails)
    with pytest.raises(RunError, match="K8s: cannot find out .*403 - Forbidden; give --coordinator") as error:
        detect_place(environment={"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("hosts", ["127.0.0.1", "127.0.0.1,127.0.0.2"])
def test_a_tpu_machine_is_alone_or_one_of_its_slice(hosts, monkeypatch):
    monkeypatch.setattr(jax_clusters.cloud_tpu_cluster, "running_in_cloud_tpu_vm", True)
    monkeypatch.setattr(jax_clusters.cloud_tpu_cluster, "get_tpu_env_value_from_metadata", lambda key: None)
    monkeypatch.setenv("TPU_WORKER_HOSTNAMES", hosts)
    monkeypatch.setenv("TPU_WORKER_ID", "1")
    place = detect_place(environment={})
    if "," in hosts:
        assert place == Place("127.0.0.1:8476", 2, 1, None, "GkeTpu")
    else:
        assert place.processes == 1
