import os
import stat

import pytest

from npvgg.storage import opening


def test_a_pipe_that_nobody_writes_to_opens_at_once(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes here")
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "pipe", "rb", opener=opening.without_waiting) as file:
        assert stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)


def test_a_file_is_read_as_ever(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    with open(tmp_path / "file", "rb", opener=opening.without_waiting) as file:
        assert file.read() == b"content"
