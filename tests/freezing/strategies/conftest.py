"""A layout small enough to be checked by eye."""

import pytest

from tlj.freezing.phases import Layout

BLOCKS = 3


@pytest.fixture(scope="session")
def layout():
    """Three blocks, a final norm that counts to the last of them, and a head with a bias."""
    return Layout(
        {
            "backbone/embedding/kernel": 0,
            **{f"backbone/block{i}/{name}": i + 1 for i in range(BLOCKS) for name in ("kernel", "bias", "norm/scale")},
            "backbone/norm/scale": BLOCKS,
            "backbone/norm/bias": BLOCKS,
            "head/kernel": BLOCKS + 1,
            "head/bias": BLOCKS + 1,
        },
        blocks=BLOCKS,
    )
