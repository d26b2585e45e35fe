"""Transforms: what is shown depends on the batch's number alone."""

import pytest
import torch

from plastic_env.streams.transforms import NOISE_BLOCK, Contrast, Noise


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (5, 40), (NOISE_BLOCK - 1, NOISE_BLOCK + 1), (64, 100)])
def test_noise_is_the_same_however_a_stretch_is_cut(start, stop):
    noise = Noise(1.5, seed=3)
    whole = noise(torch.zeros(100, 4, 8), 0)
    assert torch.equal(noise(torch.zeros(stop - start, 4, 8), start), whole[start:stop])


def test_noise_is_drawn_anew_for_every_sample():
    noise = Noise(1.5, seed=3)
    whole = torch.cat([noise(torch.zeros(100, 4, 8), 0).flatten(), noise(torch.zeros(1, 50, 8), -1).flatten()])
    assert len(whole.unique()) == len(whole)
    assert abs(whole.std() - 1.5) < 0.1
    assert not torch.equal(Noise(1.5, seed=4)(torch.zeros(1, 4, 8), 0), noise(torch.zeros(1, 4, 8), 0))


def test_nothing_is_done_where_nothing_is_to_be_done():
    x = torch.randn(3, 4, 8)
    assert torch.equal(Noise(0.0, seed=3)(x.clone(), 0), x)
    assert torch.equal(Contrast(1.0)(x.clone(), 0), x)
