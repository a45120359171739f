"""Files: written whole or not at all, read without trusting them.

    atomic_file     a file that appears under its name when it is complete
    cache_folder    where npvgg keeps what it can make or fetch again
    hdf5_writing    plain arrays → an HDF5 file
    hdf5_reading    that file → its arrays, mapped; what the format is
"""
