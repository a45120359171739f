"""Files: written whole or not at all, read without trusting them.

    atomic_file     a file that appears under its name when it is complete
    cache_folder    where npvgg keeps what it can make or fetch again
    file_lock       one process at a time
    file_kinds      what a file is, by its first bytes
    identity        is a mapped file still the one that was opened?
    mapping         pages of arrays that lie in a mapped file
    opening         opening a file without waiting
    strict_json     JSON of untrusted files
    hdf5_format     plain arrays in an HDF5 file: what is in it
    hdf5_writing    arrays → that file
    hdf5_reading    that file → its arrays, mapped
    verified_files  which files have passed verification before
"""
