"""Whether processes that train together were told the same.

Programs that differ would wait for each other for ever, and equal ones with other numbers would mix two runs into one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tlj.distributed.processes import agree, barrier, process_count, process_index
from tlj.errors import InputError


def check_alike(told: Mapping[str, Any], do: str) -> None:
    """Checks that every process was told what process 0 was; all ask, and none goes on before all have.

    Args:
      told: by name, as JSON holds it.
      do: what to do where it was not.

    Raises:
      InputError: in the processes that were not; the others end because these do.
    """
    first, own = agree(told), json.loads(json.dumps(told))
    names = sorted(name for name in first.keys() | own.keys() if first.get(name) != own.get(name))
    if names:
        what = ", ".join(f"{name} is {first.get(name)!r} there and {own.get(name)!r} here" for name in names)
        where = f"process {process_index()} of {process_count()}"
        raise InputError(f"not what process 0 was given: {what}", where=where, do=do)
    barrier("alike")
