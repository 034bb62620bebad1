import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from tlj.data.augment.mix import box_masks, mixed, partner_weights
from tlj.data.images import Augmentation
from tlj.rows import Rows
from tlj.streams import key

MANY = 2048


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (7, 24, 32, 3)).astype(np.float32)
    return images, np.eye(3, dtype=np.float32)[rng.integers(0, 3, 7)]


# Compiled for few shapes: the Beta distribution takes a second for each.
draw = jax.jit(partner_weights, static_argnums=(0, 2))


def weights(count=MANY, **augmentation):
    drawn = draw((MANY, 24, 32), key(0, "augment"), Augmentation(**augmentation))
    return [np.asarray(each)[:count] for each in drawn]


def test_shares_of_mixup_are_of_the_beta_distribution():
    pixels, share = weights(mixup=0.2)
    assert pixels.shape == (MANY, 1, 1)
    np.testing.assert_array_equal(pixels[:, 0, 0], share)
    assert stats.kstest(share, stats.beta(0.2, 0.2).cdf).pvalue > 0.01


def test_the_share_of_cutmix_is_the_area_that_was_pasted():
    pixels, share = weights(cutmix=1.0)
    assert set(np.unique(pixels)) == {0.0, 1.0}
    np.testing.assert_allclose(share, pixels.mean((1, 2)), rtol=1e-6)
    for mask in pixels[:64]:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert mask.sum() == len(rows) * len(columns)
        for line in (rows, columns):
            assert len(line) == 0 or np.array_equal(line, np.arange(line[0], line[-1] + 1))


def test_a_box_is_cut_off_at_the_border_and_not_moved():
    share, centre = jnp.array([0.25, 0.25, 0.0, 1.0]), jnp.array([[0.5, 0.5], [0.0, 1.0], [0.3, 0.3], [0.5, 0.5]])
    found = np.asarray(box_masks(share, centre, 8, 12))
    expected = np.zeros((4, 8, 12))
    expected[0, 2:6, 3:9] = 1
    expected[1, :2, 9:] = 1
    expected[3] = 1
    np.testing.assert_array_equal(found, expected)


def test_boxes_are_centred_anywhere_and_cover_what_the_distribution_says():
    pixels, share = weights(cutmix=1.0)
    # The mean of what a box of uniform share, centred anywhere, leaves in the unit square: the integral over its side r
    # of (r - r^2 / 4)^2 with density 2 r.
    assert share.mean() == pytest.approx(0.5 - 0.2 + 1 / 48, abs=0.02)
    centre_of_mass = (pixels * np.arange(32)).sum((1, 2)) / np.maximum(pixels.sum((1, 2)), 1)
    assert centre_of_mass[share > 0].mean() == pytest.approx(15.5, abs=0.6)


def test_with_both_half_of_the_examples_take_each_and_draw_what_they_drew_alone():
    both, share = weights(mixup=1.0, cutmix=1.0)
    blend, _ = weights(mixup=1.0)
    box, _ = weights(cutmix=1.0)
    is_blend = (both == blend).all((1, 2))
    is_box = (both == box).all((1, 2))
    assert (is_blend | is_box).all()
    assert abs(is_blend.mean() - 0.5) < 0.06
    np.testing.assert_allclose(share, both.mean((1, 2)), rtol=1e-6)


def test_an_example_is_mixed_with_its_mirror_image_in_the_batch(batch):
    images, targets = batch
    pixels, share = weights(7, mixup=1.0, cutmix=1.0)
    found, soft, weight = mixed(images, targets, None, pixels, share)
    assert weight is None
    for index in range(7):
        own, partner, of_partner = images[index], images[6 - index], pixels[index][..., None]
        np.testing.assert_allclose(found[index], (1 - of_partner) * own + of_partner * partner, atol=1e-3)
        expected = (1 - share[index]) * targets[index] + share[index] * targets[6 - index]
        np.testing.assert_allclose(soft[index], expected, atol=1e-6)
    np.testing.assert_allclose(np.asarray(soft).sum(1), 1, atol=1e-6)
    assert np.asarray(found).min() >= 0
    assert np.asarray(found).max() <= 255


def test_pasted_pixels_are_the_partners_own_bit_by_bit(batch):
    images, targets = batch
    pixels, share = weights(7, cutmix=1.0)
    found = np.asarray(mixed(images, targets, None, pixels, share)[0])
    np.testing.assert_array_equal(found, np.where(pixels[..., None] == 1, images[::-1], images))


def test_the_loss_of_a_mixed_example_is_the_mix_of_two_weighted_losses(batch):
    images, targets = batch
    rng = np.random.default_rng(1)
    weight = rng.uniform(0.2, 5, 7).astype(np.float32)
    log_p = np.asarray(jax.nn.log_softmax(rng.normal(size=(7, 3))))
    pixels, share = weights(7, mixup=1.0)
    _, soft, both = mixed(images, targets, weight, pixels, share)
    found = both * -(soft * log_p).sum(1)
    own, partner = (-(label * log_p).sum(1) for label in (targets, targets[::-1]))
    np.testing.assert_allclose(found, (1 - share) * weight * own + share * weight[::-1] * partner, rtol=1e-4)
    np.testing.assert_allclose(np.asarray(soft).sum(1), 1, atol=1e-6)


def test_the_partner_may_be_on_another_device():
    rng = np.random.default_rng(2)
    images, augmentation = rng.uniform(0, 255, (6, 4, 4, 3)).astype(np.float32), Augmentation(mixup=0.4, cutmix=1.0)
    targets, weight = np.eye(3, dtype=np.float32)[[0, 1, 2, 2, 0, 1]], rng.uniform(0.2, 5, 6).astype(np.float32)

    def mix(images, targets, weight, **rows):
        weights = partner_weights(images.shape[:3], key(0, "augment"), augmentation, **rows)
        return *weights, *mixed(images, targets, weight, *weights, **rows)

    def on_device(*arrays):
        return mix(*arrays, rows=Rows("device", 3))

    batch = (images, targets, weight)
    mapped = jax.jit(jax.vmap(on_device, axis_name="device"))
    found = mapped(*(array.reshape(3, 2, *array.shape[1:]) for array in batch))
    for of_devices, whole in zip(found, jax.jit(mix)(*batch), strict=True):
        np.testing.assert_allclose(of_devices.reshape(whole.shape), whole, rtol=1e-6, atol=1e-4)
