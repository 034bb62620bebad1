"""Several processes that train together: how they find each other, agree, stop and end."""

from __future__ import annotations

from tlj.distributed.alike import check_alike as check_alike
from tlj.distributed.place import Place as Place
from tlj.distributed.place import find_place as find_place
from tlj.distributed.preemption import SAVED_AND_STOPPED as SAVED_AND_STOPPED
from tlj.distributed.preemption import PreemptedError as PreemptedError
from tlj.distributed.preemption import stop_requested as stop_requested
from tlj.distributed.preemption import watch_for_preemption as watch_for_preemption
from tlj.distributed.processes import agree as agree
from tlj.distributed.processes import barrier as barrier
from tlj.distributed.processes import end_together as end_together
from tlj.distributed.processes import is_main as is_main
from tlj.distributed.processes import join as join
from tlj.distributed.processes import process_count as process_count
from tlj.distributed.processes import process_index as process_index
