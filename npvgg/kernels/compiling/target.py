"""Which processor code is made for: Numba's choice, with LLVM's code generator for it."""
import os

from llvmlite import binding


def processor():
    """The name and the features of the processor that Numba compiles for."""
    name = os.environ.get("NUMBA_CPU_NAME") or binding.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        features = "" if name == "generic" else binding.get_host_cpu_features().flatten()
    return name, features


def target_machine():
    """LLVM's code generator for that processor, making code that is loaded where it runs, as Numba's does."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    name, features = processor()
    return binding.Target.from_triple(binding.get_process_triple()).create_target_machine(
        cpu=name, features=features, opt=3, reloc="static", codemodel="jitdefault", jit=True)
