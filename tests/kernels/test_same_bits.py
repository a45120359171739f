"""The bits of an answer depend neither on the number of threads nor on the other images of the batch."""
import numba
import numpy as np
import pytest
from witnesses.operations import CASES, Case, same_bits

from npvgg.kernels import tiers

JIT = tiers.choose("jit")
BATCHES = {
    "conv2d-strips-across-images": Case("conv2d", ((5, 19, 13, 17), (133, 19, 3, 3), (133,))),
    "conv2d-tiny-maps": Case("conv2d", ((5, 40, 2, 3), (37, 40, 3, 3), (37,))),
    "dense": Case("dense", ((5, 1234), (37, 1234), (37,))),
    "maxpool2d": Case("maxpool2d", ((5, 3, 7, 10),)),
    "batchnorm2d": Case("batchnorm2d", ((5, 4, 3, 7), (4,), (4,), (4,), (4,))),
    "relu": Case("relu", ((5, 9, 31, 77),)),
    "local_response_norm": Case("local_response_norm", ((5, 9, 4, 6),)),
    "adaptive_avgpool2d": Case("adaptive_avgpool2d", ((5, 3, 15, 22),)),
    "softmax": Case("softmax", ((5, 1000),)),
    "log_softmax": Case("log_softmax", ((5, 1000),)),
}
each_batch = pytest.mark.parametrize("case", BATCHES.values(), ids=BATCHES)


@each_batch
def test_an_image_in_a_batch_gets_the_bits_it_gets_alone(case):
    x, *parameters = case.arrays()
    together = JIT[case.op](x, *parameters, **case.options)
    for n in range(5):
        assert same_bits(together[n:n + 1], JIT[case.op](x[n:n + 1], *parameters, **case.options))
    backwards = JIT[case.op](x[::-1], *parameters, **case.options)
    assert same_bits(backwards[::-1], together)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one processor")
@each_batch
def test_the_number_of_threads_changes_no_bit(case):
    arrays = case.arrays()
    before, answers = numba.get_num_threads(), []
    try:
        for count in range(1, min(4, numba.config.NUMBA_NUM_THREADS) + 1):
            numba.set_num_threads(count)
            answers.append(JIT[case.op](*arrays, **case.options))
    finally:
        numba.set_num_threads(before)
    assert all(same_bits(answer, answers[0]) for answer in answers[1:])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_twice_is_the_same(case):
    arrays = case.arrays()
    first, second = (JIT[case.op](*arrays, **case.options) for _ in range(2))
    assert same_bits(first, second)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_element_is_written_and_nothing_beside_it(case, monkeypatch):
    """The answer is laid between two fields of NaN and begins as NaN itself."""
    arrays = case.arrays()
    expected = JIT[case.op](*arrays, **case.options)        # and compiled, before np.empty is another
    fields = []

    def fenced(shape, dtype):
        fields.append(np.full(int(np.prod(shape)) + 256, np.nan, dtype))
        return fields[-1][128:-128].reshape(shape)

    if case.op in ("flatten", "dropout", "reflection_pad2d"):            # these allocate nothing of their own
        return
    with monkeypatch.context() as patch:
        patch.setattr(np, "empty", fenced)
        answer = JIT[case.op](*arrays, **case.options)
    assert same_bits(answer, expected)
    assert fields and not np.isnan(answer).any()
    assert all(np.isnan(field[:128]).all() and np.isnan(field[-128:]).all() for field in fields)
