import jax
import numpy as np
import pytest

from tlj.data.images import Augmentation, Preprocessing
from tlj.models.shapes import model_shapes
from tlj.models.vit import ViTSpec
from tlj.training.cached.activations import make_activation_step

SPEC = ViTSpec(num_classes=0, image_size=8, patch_size=4, width=8, depth=2, heads=2)
PREPROCESSING = Preprocessing(8, (0.5,) * 3, (0.2,) * 3)


@pytest.fixture(scope="module")
def variables():
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.uniform(0.05, 0.3, leaf.shape).astype(np.float32), model_shapes(SPEC))


@pytest.fixture(scope="module")
def views(variables):
    augmentation = Augmentation(shift=2, flip=True, crop=0.3)
    step = jax.jit(make_activation_step(SPEC, "float32", PREPROCESSING, 1, augmentation))

    def of(images, examples, views):
        numbers = {"example": np.array(examples, np.int32), "view": np.array(views, np.int32)}
        aspects = np.ones(len(images), np.float32)
        return np.asarray(step(variables["params"], {}, {"image": images, "aspect": aspects, **numbers}))

    return of


def test_a_view_follows_from_the_numbers_of_example_and_view_whatever_stands_beside_it(views):
    images = np.random.default_rng(1).integers(0, 256, (3, 9, 9, 3), np.uint8)
    first = views(images, [5, 6, 7], [1, 2, 1])
    again = views(images[::-1], [7, 6, 5], [1, 2, 1])
    np.testing.assert_allclose(again[::-1], first, rtol=1e-5)
    same_image = views(images[[0, 0, 0]], [5, 5, 6], [1, 2, 1])
    np.testing.assert_allclose(same_image[0], first[0], rtol=1e-5)
    assert not np.allclose(same_image[0], same_image[1])
    assert not np.allclose(same_image[0], same_image[2])


def test_activations_are_those_of_the_depth(variables):
    images = np.zeros((2, 8, 8, 3), np.uint8)
    shapes = [
        jax.eval_shape(
            make_activation_step(SPEC, "bfloat16", PREPROCESSING, depth), variables["params"], {}, {"image": images}
        )
        for depth in (1, 2)
    ]
    assert [(leaf.shape, leaf.dtype) for leaf in shapes] == [((2, 5, 8), np.float32), ((2, 8), np.float32)]
