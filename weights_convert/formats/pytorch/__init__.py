"""A PyTorch checkpoint → {key: array}, without PyTorch and without running anything in the file.

    container      a `.pth` is one of three containers; its first bytes say which   signatures.py
                   pickles and raw storages one after the other, to PyTorch 1.5   legacy.py
                   a ZIP archive of uncompressed records, from PyTorch 1.6        zip_checkpoint.py, containers/zip_archive.py
                   a plain pickle, each storage of it a legacy stream             plain_pickle.py
    pickle         the state dict, written as a program for a stack machine       containers/opcodes.py
                   the names it mentions, none of them ever looked up             containers/references.py
                   the storages and tensors it describes                          storages.py, tensors.py, objects.py
    state dict     the dictionary of tensors, wherever it is nested               state_dict.py
                   or that of a network that was pickled as a whole               modules.py, layers.py
    arrays         each storage read once, each tensor cut out of it              arrays.py

Every size, offset and count in the file is checked against the file before anything is allocated.
"""
from weights_convert import signatures
from weights_convert.formats.contents import FileContents
from weights_convert.formats.pytorch import arrays, legacy, plain_pickle, state_dict, zip_checkpoint

LAYOUTS = {signatures.LEGACY: legacy.layout, signatures.ZIP: zip_checkpoint.layout, signatures.PICKLE: plain_pickle.layout}


def read(file, size, *, key=None, checksum=True):
    """A seekable binary file of `size` bytes → FileContents.

    Arrays keep the stored element type; bfloat16, which NumPy lacks, becomes float32 exactly.  `key` names the entry
    that holds the state dict, "" the top level; by default the usual names are tried.  `checksum=False` reads a zip
    checkpoint whose CRC-32 was switched off when it was saved.

    Raises BadFileError (damaged, hostile, or no checkpoint), UnsupportedError (a checkpoint of a kind that is not read) or
    UsageError (no or several state dicts for `key`); they do not name the file.
    """
    file.seek(0)
    container = signatures.recognise(file.read(signatures.HEAD))
    layout = LAYOUTS[container](file, size, checksum)
    chosen = state_dict.choose(layout.root, key)
    tensors, shared = arrays.read(file, size, layout, chosen.tensors)
    return FileContents(
        tensors=tensors, container=container, nested_under=chosen.nested_under, metadata=chosen.metadata,
        remarks=(*layout.remarks, *shared, *chosen.remarks, *layout.objects.remarks(chosen.classes)), stated=chosen.stated,
        assumptions=chosen.assumptions)
