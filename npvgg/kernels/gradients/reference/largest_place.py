"""Where a window has its largest value: what max-pooling's gradient goes to."""
import numpy as np


def largest_place(values):
    """Arrays of one shape, one for each place of a window in the order of rows → the number of the largest, in that shape.

    Of equal values the first is the largest, and of NaN the last.
    """
    largest, place = values[0], np.zeros(values[0].shape, int)
    for at, value in enumerate(values):
        is_larger = (value > largest) | np.isnan(value)
        largest, place = np.where(is_larger, value, largest), np.where(is_larger, at, place)
    return place
