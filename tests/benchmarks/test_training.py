"""The comparison of training steps with PyTorch's."""
import pytest

from benchmarks import training
from npvgg.errors import UnsupportedError, UsageError


def test_a_case_gives_a_row_for_each_contestant():
    pytest.importorskip("torch")
    rows = training.measured(training.Case("vgg11_bn", 1 / 32, "avg1 flatten 3 relu 2", 32, 3), 1, runs=2)
    assert [row["runtime"] for row in rows] == list(training.CONTESTANTS)
    ours, *others = rows
    assert ours["ratio"] > 0 and not any(row["ratio"] for row in others)
    for row in rows:
        assert len(row["runs_ms"]) == 2 and min(row["runs_ms"]) > 0 and row["peak_mib"] > 50 and 0 < row["error"] < 1e-4
        assert len(training.cells(row | {"case": "half"})) == len(training.HEADINGS)


@pytest.mark.parametrize("arguments, sentence", [
    (["quarter"], "there is no case 'quarter'; choose among half, bundled, full"),
    (["--runs", 0], "--runs is 0; give a whole number of at least 1"),
])
def test_what_makes_no_sense_is_refused(capsys, arguments, sentence):
    assert training.main(arguments) == UsageError.exit_code
    assert sentence in capsys.readouterr().err


def test_a_contestant_that_ends_early_is_named():
    """A network that does not exist ends every process."""
    with pytest.raises(UnsupportedError, match="the process of npvgg ended before it was done"):
        training.measured(training.Case("vgg12", 1, "avg1 flatten 2", 32, 2), 1, runs=1)
