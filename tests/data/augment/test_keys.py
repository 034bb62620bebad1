import jax
import numpy as np

from tlj.data.augment.keys import change_key
from tlj.streams import key


def test_every_change_draws_what_no_other_draws_nor_a_shift():
    of_shift = key(0, "augment")
    keys = [change_key(of_shift, name) for name in ("crop", "flip", "colour", "mixup", "cutmix", "mix")]
    keys += [of_shift, *jax.random.split(of_shift, 4)]
    assert len({tuple(np.asarray(jax.random.key_data(each)).tolist()) for each in keys}) == len(keys)


def test_a_change_draws_anew_at_another_step():
    first, second = (jax.random.fold_in(key(0, "augment"), step) for step in (0, 1))
    assert change_key(first, "flip") == change_key(first, "flip")
    assert change_key(first, "flip") != change_key(second, "flip")
