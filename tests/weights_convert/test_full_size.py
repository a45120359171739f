"""All eight torchvision networks at full size, in both containers, converted where PyTorch cannot be imported.

Half a gigabyte a file, and minutes in all:  python -m pytest -m heavy tests/weights_convert/test_full_size.py
"""
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from witnesses.networks import photograph, stirred

from npvgg import images, initialisation, network
from npvgg.architecture import NAMES, architecture
from npvgg.parity import difference, recording
from weights_convert.schemes.torchvision import TORCHVISION

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]

# PyTorch is there for the witness; in this process its import fails as if it were not.
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from weights_convert.__main__ import main
main()
"""


@pytest.mark.heavy
@pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "zip"])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("a_lrn", "c")])
def test_a_checkpoint_gives_pytorchs_answer(tmp_path, name, legacy):
    net = architecture(name)
    parameters = stirred(initialisation.initial(net, how="he"))
    state = {key: torch.tensor(parameters[path]) for key, path in TORCHVISION.paths(net).items()}
    state |= {key: torch.tensor(1) for key in TORCHVISION.ignorable(net)}
    source, target = tmp_path / "checkpoint.pth", tmp_path / "weights.h5"
    torch.save(state, source, _use_new_zipfile_serialization=not legacy)
    try:
        subprocess.run([sys.executable, "-c", WITHOUT_TORCH, source, target], cwd=ROOT, check=True, capture_output=True)
        vgg = network.load_file(target, verify=True)
        assert vgg.architecture == net
        x = images.batch([photograph(0), photograph(1)], vgg.preset)
        ours = vgg.forward(x)
        theirs, exact = (logits(net, parameters, x.astype(dtype)) for dtype in (np.float32, np.float64))
    finally:
        for path in (source, target):
            if path.exists():
                os.unlink(path)
    error, yardstick = difference.measure(ours, exact), difference.measure(theirs, exact)
    assert error.largest_relative <= 2 * yardstick.largest_relative
    assert error.rms_relative <= 2 * yardstick.rms_relative
    assert (ours.argmax(1) == exact.argmax(1)).all()


def logits(net, parameters, x):
    *_, (_, answer) = recording.outputs(torch, net, parameters, x)
    return answer
