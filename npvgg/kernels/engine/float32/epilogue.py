"""What follows a sum: bias, batch norm, ReLU, and zeros in the place of channels that do not exist.

    y = max(((sum + bias) − mean) · scale + shift, floor)          NaN is kept

for each channel; without batch norm mean = 0, scale = 1 and shift = −0.0, which change no bit.  The same instructions follow a
product at once or later (the step "finish"), so a layer has the same bits whether or not what lies before it is kept.
"""
from npvgg.kernels.engine.float32.vectors import kernel
from npvgg.kernels.engine.machine import LANES
from npvgg.kernels.engine.steps import PARTS


class Tail:
    """The vectors that one block of channels needs, loaded where they are used: there are more than registers for them."""

    def __init__(self, v, address, floor, block=0):
        self.v, self.tail, self.block = v, v.floats(address), block
        self.floor = v.broadcast(v.floats(floor))

    def after(self, total):
        """A vector of sums → a vector of the output."""
        v = self.v
        bias, mask, mean, scale, shift = (v.load(self.tail, (PARTS * self.block + number) * LANES) for number in range(PARTS))
        centred = v.subtract(v.add(total, bias), mean)
        return v.masked(v.at_least(v.multiply_add(centred, scale, shift), self.floor), mask)


@kernel(LANES)
def finish_pixels(v, count, sums, tail, floor, target):
    """`count` pixels side by side, at least one."""
    end, sums, target = Tail(v, tail, floor), v.floats(sums), v.floats(target)

    def pixel(index, _):
        place = v.product(index, LANES)
        v.store(end.after(v.load(v.at(sums, place))), v.at(target, place))
        return []

    v.repeat(count, [], pixel)


@kernel(LANES)
def finish_compensated_pixels(v, count, sums, lost, tail, floor, target):
    """The same for sums with what was lost of each, if that is a number: beside an infinite sum it is none."""
    end, sums, lost, target = Tail(v, tail, floor), v.floats(sums), v.floats(lost), v.floats(target)

    def pixel(index, _):
        place = v.product(index, LANES)
        total, correction = v.load(v.at(sums, place)), v.load(v.at(lost, place))
        v.store(end.after(v.where_finite(correction, v.add(total, correction), total)), v.at(target, place))
        return []

    v.repeat(count, [], pixel)
