"""Pictures that grow, as arrays: known pixels, surprisal and spread at their places."""

import numpy as np

from playground.tokenizers.image import ImageTokenizer
from playground.ui.compare_picture_data import kept_of, known_of, scale_of, spread, surprisal_map

GREY = ImageTokenizer(2, 3, levels=2)
COLOUR = ImageTokenizer(2, 2, 3, levels=2)
COLUMNS = ImageTokenizer(2, 3, levels=2, order="column")


def test_pixels_are_known_in_the_order_of_the_model():
    assert known_of(GREY, 4).tolist() == [[1, 1, 1], [1, 0, 0]]
    assert known_of(COLUMNS, 3).tolist() == [[1, 1, 0], [1, 0, 0]]
    assert known_of(COLOUR, 4).tolist() == [[1, 2], [0, 0]]
    assert known_of(GREY, 0).tolist() == [[0] * 3] * 2


def test_only_whole_pixels_count_as_kept():
    assert kept_of(COLOUR, 4).tolist() == [[1, 0], [0, 0]]
    assert kept_of(GREY, 0) is None


def test_surprisal_stands_where_it_was_decided_the_colours_together():
    found = surprisal_map(GREY, [1.0, 2.0], given=2)
    assert np.isnan(found).tolist() == [[True, True, False], [False, True, True]]
    assert (found[0, 2], found[1, 0]) == (1, 2)
    assert surprisal_map(COLOUR, [1.0, 2.0, 3.0, 4.0], given=0)[0].tolist() == [6, 4]


def test_spread_is_white_where_half_is_black_and_half_white():
    found = spread(GREY, [[0, 1], [1, 1]], given=[1])
    assert found[..., 0].tolist() == [[0, 255, 0], [0, 0, 0]]
    assert found.shape == (2, 3, 1)


def test_a_picture_gets_whole_screen_pixels():
    assert scale_of(ImageTokenizer(28, 28), 84) == 3
    assert scale_of(ImageTokenizer(500, 100), 84) == 1
