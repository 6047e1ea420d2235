"""Drawn radiographs of other body parts."""

from collections.abc import Callable

import numpy as np
import pytest

from bone_age_tf.training.localizer.examples import SIDE
from bone_age_tf.training.localizer.other_bones import KINDS, other_body_part


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__.strip("_"))
def test_every_kind_is_drawn_and_varies(kind: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    pictures = [kind(rng) for _ in range(4)]
    for picture in pictures:
        assert picture.dtype == np.uint8
        assert 80 <= min(picture.shape) <= max(picture.shape) <= 2 * SIDE
        assert np.ptp(np.percentile(picture, (2, 98))) > 10, "something is seen"
    assert len({picture.shape for picture in pictures}) > 1


def test_the_same_seed_draws_the_same_picture() -> None:
    one, other = (other_body_part(np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
