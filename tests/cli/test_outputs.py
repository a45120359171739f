"""What is read is never written over, not with --force either."""
import shutil
from pathlib import Path

import pytest
from witnesses.command import npvgg


@pytest.mark.parametrize("command", ["predict", "trace"])
def test_an_output_over_an_input_is_refused(command, tiny_file, pictures, tmp_path):
    picture, model = shutil.copy(pictures / "a.png", tmp_path), shutil.copy(tiny_file, tmp_path)
    for output in (picture, model):
        before = Path(output).read_bytes()
        run = npvgg(command, picture, "--model", model, "-o", output, "--force")
        assert run.status == 2 and "is a file that is read" in run.err and Path(output).read_bytes() == before
