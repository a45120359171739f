"""Everything that knows the insides of Numba and llvmlite.

    flags           how kernels are compiled: the decorators, and the only place where flags are written
    launch          starting a parallel kernel without ending the process
    compiled_code   Numba's compiled functions, kept in our own files
    code_files      those files: what their names say, who may have written them
    native          entry points as machine code that is loaded without Numba
    target          which processor code is made for
    threads         how many threads a call may use
"""
