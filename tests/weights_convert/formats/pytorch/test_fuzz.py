"""Mutated checkpoints, as many as the time allows: refused or read, and nothing else.

NPVGG_FUZZ_SECONDS sets the time; NPVGG_FUZZ_SEED the first mutant (by default another one each day).
"""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

SECONDS = float(os.environ.get("NPVGG_FUZZ_SECONDS", 8))
SEED = int(os.environ.get("NPVGG_FUZZ_SEED", time.time() // 86400))
ROOT = Path(__file__).parents[4]


@pytest.mark.skipif(sys.platform == "win32", reason="limits memory with setrlimit")
def test_mutated_checkpoints():
    command = [sys.executable, "-m", "witnesses.checkpoint_fuzzer", str(SECONDS), str(SEED)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS + 300)
    assert done.returncode == 0, f"the process died: {done.returncode}\n{done.stderr[-2000:]}"
    report = json.loads(done.stdout)
    print(report)
    assert not report["escapes"], json.dumps(report["escapes"][:2], indent=1)
    assert report["growth_mib"] < 150
    # Neither a reader that refuses everything nor one that accepts everything has been tested.
    assert 0 < report["accepted"] < report["mutants"]
