"""The ladder of tiers."""
import inspect
import subprocess
import sys

import pytest
from witnesses.operations import CASES

from npvgg.errors import UnsupportedError, UsageError
from npvgg.kernels import tiers

OPERATIONS = {"reflection_pad2d", "conv2d", "batchnorm2d", "relu", "maxpool2d", "avgpool2d", "local_response_norm",
              "adaptive_avgpool2d", "adaptive_maxpool2d", "flatten", "dense", "batchnorm1d", "dropout", "softmax",
              "log_softmax"}


@pytest.mark.parametrize("tier", tiers.LADDER)
def test_every_tier_knows_every_operation_by_its_own_name(tier):
    operations = tiers.choose(tier)
    assert set(operations) == OPERATIONS
    assert {name: function.__name__ for name, function in operations.items()} == {name: name for name in OPERATIONS}


@pytest.mark.parametrize("op", sorted(OPERATIONS))
def test_signatures_agree_between_the_tiers(op):
    signatures = {inspect.signature(tiers.choose(tier)[op]) for tier in tiers.LADDER}
    assert len(signatures) == 1
    kinds = [parameter.kind for parameter in signatures.pop().parameters.values()]
    assert set(kinds) <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("tier", tiers.LADDER)
@pytest.mark.parametrize("op", sorted(OPERATIONS))
def test_the_first_line_of_a_docstring_has_an_arrow(tier, op):
    assert "→" in tiers.choose(tier)[op].__doc__.splitlines()[0]


def test_a_higher_tier_overrides_the_lower():
    assert tiers.choose("jit")["conv2d"].__module__ == "npvgg.kernels.jit.conv2d"
    assert tiers.choose("reference")["conv2d"].__module__ == "npvgg.kernels.reference.conv2d"
    assert tiers.choose("engine")["conv2d"].__module__ == "npvgg.kernels.engine.layerwise"
    assert tiers.choose("engine")["softmax"] is tiers.choose("jit")["softmax"]


def test_the_cases_leave_no_operation_out():
    assert {case.op for case in CASES.values()} == OPERATIONS


def test_an_unknown_tier_is_refused():
    with pytest.raises(UsageError) as refusal:
        tiers.choose("turbo")
    assert str(refusal.value) == "there is no kernel tier 'turbo'; choose one of reference, jit, engine"


def test_a_tier_without_its_compiler_says_so(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("npvgg.kernels.jit")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "npvgg.kernels.compiling.flags", None)   # what a missing Numba looks like from here
    with pytest.raises(UnsupportedError, match="^the jit tier cannot be loaded .* or choose the reference tier$"):
        tiers.choose("jit")


def test_numba_is_not_imported_before_the_jit_tier_is_chosen():
    code = ("import sys; from npvgg.kernels import tiers; "
            "tiers.choose('reference'); assert 'numba' not in sys.modules; "
            "tiers.choose('jit'); assert 'numba' in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
