"""Entry points of the engine as machine code that is loaded and called without Numba.

    walk = entry("npvgg.kernels.engine.float32.run", "walk", "16 lanes")
    walk(program, steps, counters, thread)          whole numbers; other Python threads run meanwhile

Numba compiles them once on a machine; a later process loads the code with LLVM alone, in a few milliseconds, where importing
Numba and making it ready takes half a second.

    file        a line of JSON: {"symbol": the function's name, "arguments": how many}
                an object file (ELF, Mach-O or COFF) in which everything is defined but memset, memcpy and sched_yield
"""
import ctypes
import json
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import llvmlite
from llvmlite import binding

from npvgg.forking import MAKING
from npvgg.kernels.compiling import code_files
from npvgg.kernels.compiling.target import processor, target_machine

ENGINE = Path(__file__).parents[1] / "engine"
LOADED = {}                     # (module, name): function
# The first bytes of ELF and of Mach-O for 64 bits, and the processors that COFF begins with: x86-64 and ARM64.  LLVM ends the
# process over what is none of them.
OBJECT_BEGINS = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\x64\x86", b"\x64\xaa")
OWNERS = []                     # LLVM engines, in which the code lies

# Numba counts references to arrays; ours have no owner, so there is nothing to count and this is never called.
NOTHING_TO_FREE = """
define void @NRT_MemInfo_call_dtor(i8* %unused) {
  ret void
}
"""


def entry(module, name, variant):
    """A function of a module, compiled by its @part, as a function of whole numbers.

    `variant` names what it is compiled for beside the processor.
    """
    with MAKING:
        if (module, name) not in LOADED:
            LOADED[module, name] = made(module, name, variant)
        return LOADED[module, name]


def made(module, name, variant):
    """The function from a file that was kept, or else compiled."""
    file = code_files.name(f"{module.removeprefix('npvgg.kernels.')}.{name}", code_files.sources(ENGINE), variant, processor(),
                           binding.get_process_triple(), llvmlite.__version__)
    with suppress(Exception):                   # none is there, or not one that can be read or loaded, whatever LLVM says of it
        return loaded(code_files.read(file))
    code_files.announce()
    content = compiled(module, name)
    code_files.keep(file, content)
    return loaded(content)


def compiled(module, name):
    """Compile with Numba → the content of a file."""
    from numba import types

    function = getattr(import_module(module), name)
    count = function.py_func.__code__.co_argcount
    function.compile((types.int64,) * count)
    result, = function.overloads.values()
    symbol = result.fndesc.mangled_name
    module = binding.parse_assembly(result.library.get_llvm_str())
    module.link_in(binding.parse_assembly(NOTHING_TO_FREE))
    # What only Numba calls, the wrapper that takes Python objects above all, goes away when nothing else may call it.
    for part in [*module.functions, *module.global_variables]:
        if not part.is_declaration:
            part.linkage = "external" if part.name == symbol else "internal"
    machine = target_machine()
    passes = binding.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, binding.create_pass_builder(machine, binding.create_pipeline_tuning_options()))
    head = json.dumps({"symbol": symbol, "arguments": count})
    return head.encode() + b"\n" + machine.emit_object(module)


def loaded(content):
    """The content of a file → a function."""
    head, code = content.split(b"\n", 1)
    head = json.loads(head)
    symbol, count = head["symbol"], head["arguments"]
    if not code.startswith(OBJECT_BEGINS):
        raise ValueError("no object file follows")
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), target_machine())
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    OWNERS.append(engine)
    # Numba's convention: a status, and two pointers for a result and for an exception before the arguments.
    call = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * count)(
        engine.get_function_address(symbol))

    def function(*arguments):
        result, exception = ctypes.c_void_p(), ctypes.c_void_p()
        status = call(ctypes.byref(result), ctypes.byref(exception), *arguments)
        if status:
            raise RuntimeError(f"compiled code ended with status {status}")

    return function
