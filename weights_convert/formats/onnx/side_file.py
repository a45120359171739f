"""Side files: numbers of an ONNX model outside of it, because a protocol buffer ends at 2 GiB.

    location    a file in the folder of the model
    offset      where the numbers begin, 0 if it is not given
    length      how many bytes they have

A location comes from an untrusted file, so it must be a bare name, and the file a regular one of that folder with no other
name: a link could lead anywhere.  Source: onnx/docs/ExternalData.md; CVE-2022-25882, CVE-2024-27318.
"""
import hashlib
import os
import re

import numpy as np

from npvgg.errors import BadFileError
from weights_convert import opened_file
from weights_convert.refusals import damaged, hostile, quoted

KEYS = {"location", "offset", "length", "checksum"}
NUMBER = re.compile(r"\d{1,18}", re.ASCII)
LONGEST_NAME = 255
ROOM = 64 << 20                           # bytes that may be read twice


class SideFiles:
    """The files beside a model in `folder`; None where the model has no folder."""

    def __init__(self, folder):
        self.folder = folder
        self.bytes_read = {}              # location → how many

    def read(self, entries, count, what):
        """StringStringEntryProtos and a number of bytes → uint8 array; `what` names the tensor for a message."""
        place = {entry.key: entry.value for entry in entries}
        is_text = all(isinstance(text, str) for pair in place.items() for text in pair)
        if len(place) != len(entries) or not place.keys() <= KEYS or not is_text:
            raise hostile(f"{what} describes its side file by {quoted([entry.key for entry in entries], 5)}")
        location, offset, length = place.get("location", ""), place.get("offset", "0"), place.get("length", str(count))
        if not is_bare(location) or self.folder is None:
            raise hostile(f"{what} is said to be in {quoted([location])}; a side file lies in the folder of its model, and its "
                          "name is given without one")
        if not (NUMBER.fullmatch(offset) and NUMBER.fullmatch(length)) or int(length) != count:
            raise damaged(f"{what} needs {count:,} bytes of its side file; offset and length say {quoted([offset, length])}")
        with opened_file.opened(os.path.join(self.folder, location), follow=False) as (file, size):
            if int(offset) + count > size:
                raise damaged(f"{what} ends at byte {int(offset) + count:,} of {size:,}")
            self.bytes_read[location] = self.bytes_read.get(location, 0) + count
            if self.bytes_read[location] > 2 * size + ROOM:
                raise hostile(f"its {size:,} bytes are used for {self.bytes_read[location]:,} bytes of tensors")
            data = np.empty(count, np.uint8)
            file.seek(int(offset))
            if count and file.readinto(memoryview(data)) != count:
                raise BadFileError("it became shorter while it was read (is a download still running?)")
        return data

    def remarks(self):
        """What the SHA-256 of the model does not cover."""
        return [f"{quoted([name])} beside it has the SHA-256 {self.sha256(name)}" for name in sorted(self.bytes_read)]

    def sha256(self, location):
        """The SHA-256 of a side file, in hexadecimal."""
        with opened_file.opened(os.path.join(self.folder, location), follow=False) as (file, _):
            return hashlib.file_digest(file, "sha256").hexdigest()


def is_bare(location):
    """Whether the location is the name of a file in the model's own folder."""
    return location not in ("", ".", "..") and len(location) <= LONGEST_NAME and location.isprintable() \
        and not set(location) & set("/\\:")
