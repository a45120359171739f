"""How many threads a call may use, by the process and by NUMBA_NUM_THREADS."""
import numpy as np
import pytest

from npvgg import network
from npvgg.errors import UsageError
from npvgg.kernels import tiers
from npvgg.kernels.compiling.threads import limited, number_of


@pytest.mark.parametrize("stated", ["abc", "0", "3.5", "-1", "1000000", "²"])
@pytest.mark.parametrize("tier", tiers.LADDER)
def test_a_number_that_makes_no_sense_is_one_sentence(monkeypatch, tier, stated):
    vgg = network.create("vgg11", width=1 / 32, input_size=32, head="", tier=tier)
    monkeypatch.setenv("NUMBA_NUM_THREADS", stated)
    with pytest.raises(UsageError, match=f"^NUMBA_NUM_THREADS is '{stated}'; give a whole number from 1 to 1024"):
        vgg.forward(np.zeros((1, 3, 32, 32), np.float32))


def test_the_variable_says_how_many_there_are(monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "5")
    assert number_of(None) == 5 and number_of(3) == 3
    with pytest.raises(UsageError, match="^threads is 6; this process can use 1 to 5$"), limited(6):
        pass
