"""The machine line, on machines that are not this one."""
import json

import pytest

from benchmarks import machine

X86 = """processor\t: 0
model name\t: Made-up 9000 @ 3 GHz
flags\t\t: fpu sse2 fma avx2 avx512f avx512_vnni

processor\t: 1
model name\t: another
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd crc32\n"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Make machine.py read /proc and /sys of another machine."""
    def make(cpuinfo, caches=()):
        if cpuinfo is not None:
            (tmp_path / "cpuinfo").write_text(cpuinfo)
        for number, fields in enumerate(caches):
            folder = tmp_path / f"index{number}"
            folder.mkdir()
            for name, text in zip(("level", "type", "size"), fields):
                (folder / name).write_text(f"{text}\n")
        monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
        monkeypatch.setattr(machine, "CACHES", tmp_path)

    return make


def test_an_x86_machine(elsewhere):
    elsewhere(X86, [("1", "Data", "48K"), ("1", "Instruction", "32K"), ("2", "Unified", "2048K"), ("3", "Unified", "33792K")])
    found = machine.describe(peak_gflops=256.4, read_gb_per_s=44.2)
    assert found["cpu"] == "Made-up 9000 @ 3 GHz"
    assert found["isa"] == ["AVX2", "FMA", "AVX-512", "VNNI"]
    assert found["cache_kib"] == {"L1d": 48, "L2": 2048, "L3": 33792}
    assert machine.line(found | {"cores": 2, "python": "3.11", "numpy": "2", "numba": "0.6"}) == (
        "Made-up 9000 @ 3 GHz, 2 cores; AVX2, FMA, AVX-512, VNNI; L1d 48 KiB, L2 2 MiB, L3 33 MiB; 256 GFLOP/s a core; "
        "44 GB/s; Python 3.11, NumPy 2, Numba 0.6")


@pytest.mark.parametrize("cpuinfo, isa", [(ARM, ["NEON"]), (None, [])], ids=["ARM", "no /proc"])
def test_what_the_system_does_not_say_is_left_out(elsewhere, cpuinfo, isa):
    elsewhere(cpuinfo)
    found = machine.describe()
    assert found["isa"] == isa and found["cache_kib"] == {}
    assert ";  ;" not in machine.line(found) and "; ;" not in machine.line(found) and "GFLOP" not in machine.line(found)


def test_this_machine_fits_into_json():
    found = machine.describe()
    assert json.loads(json.dumps(found)) == found
    assert found["cores"] >= 1 and found["numpy"] in machine.line(found)
