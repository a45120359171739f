"""Files that hold others: archives, pickles, protocol buffers, HDF5; each reader takes bytes and nothing else on trust."""
