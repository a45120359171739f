"""The machine a measurement was taken on, for the head of every result file and the line under every table.

    describe()          {"cpu": "AMD EPYC", "cores": 2, "isa": ["AVX2", "FMA"], "cache_kib": {"L1d": 32, "L2": 1024},
                         "python": "3.11.7", "numpy": "2.4.6", "numba": "0.68.1"}
    line(describe())    the same for people
"""
import platform
from importlib import metadata
from pathlib import Path

from npvgg.kernels.compiling.threads import processors

CPUINFO = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")

# What kernels choose between: flag in /proc/cpuinfo → name, in the order of the line.
ISA = {"avx2": "AVX2", "fma": "FMA", "avx512f": "AVX-512", "avx512_vnni": "VNNI", "avx_vnni": "AVX-VNNI",
       "avx512_bf16": "BF16", "amx_tile": "AMX", "asimd": "NEON", "sve": "SVE"}


def describe(**measured):
    """What is known of this machine without measuring, and what the caller has measured.

    `measured`: peak_gflops (float32 fused multiply–adds of one core) and read_gb_per_s (memory, all cores); `line` shows
    these two where they are there.
    """
    return {"cpu": cpu_name(), "cores": processors(), "isa": isa(), "cache_kib": caches(), "python": platform.python_version(),
            "numpy": metadata.version("numpy"), "numba": metadata.version("numba"), **measured}


def line(machine):
    """A description → one line."""
    hardware = [f"{machine['cpu']}, {machine['cores']} core{'s' * (machine['cores'] != 1)}", ", ".join(machine["isa"]),
                ", ".join(f"{level} {size(kib)}" for level, kib in machine["cache_kib"].items())]
    if "peak_gflops" in machine:
        hardware.append(f"{machine['peak_gflops']:.0f} GFLOP/s a core")
    if "read_gb_per_s" in machine:
        hardware.append(f"{machine['read_gb_per_s']:.0f} GB/s")
    software = f"Python {machine['python']}, NumPy {machine['numpy']}, Numba {machine['numba']}"
    return "; ".join([*filter(None, hardware), software])


def cpu_name():
    return cpuinfo("model name") or platform.processor() or platform.machine()


def isa():
    flags = (cpuinfo("flags") or cpuinfo("Features")).split()
    return [name for flag, name in ISA.items() if flag in flags]


def cpuinfo(key):
    """The first core's value in /proc/cpuinfo, or ""."""
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return ""
    return next((value.strip() for name, _, value in (entry.partition(":") for entry in lines) if name.strip() == key), "")


def caches():
    """{"L1d": KiB, "L2": …, "L3": …} of the first core, instructions left out; {} where the system does not say."""
    found = {}
    for folder in sorted(CACHES.glob("index*")):
        try:
            level, kind, text = ((folder / name).read_text().strip() for name in ("level", "type", "size"))
        except OSError:
            continue
        if kind != "Instruction" and text.endswith("K"):
            found[f"L{level}" + "d" * (kind == "Data")] = int(text[:-1])
    return found


def size(kib):
    return f"{kib // 1024} MiB" if kib % 1024 == 0 else f"{kib} KiB"
