"""Side files: numbers of an ONNX model outside of it, because a protocol buffer ends at 2 GiB.

    location    a file in the folder of the model, or in one inside it: "weights/net.bin"
    offset      where the numbers begin, 0 if it is not given
    length      how many bytes they have

A location comes from an untrusted file, so it must stay inside, and neither the file nor a folder on the way may be a link,
which could lead anywhere.  Source: onnx/docs/ExternalData.md; CVE-2022-25882, CVE-2024-27318.
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
        if not is_inside(location) or self.folder is None:
            raise BadFileError(f"{what} is said to be in {quoted([location])}; npvgg reads a side file from the folder of its "
                               "model or one inside it only: put it there and save the model with that name")
        if not (NUMBER.fullmatch(offset) and NUMBER.fullmatch(length)) or int(length) != count:
            raise damaged(f"{what} needs {count:,} bytes of its side file; offset and length say {quoted([offset, length])}")
        with opened_file.opened(self.path(location), follow=False) as (file, size):
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

    def path(self, location):
        """The path of a side file.  BadFileError where a folder on the way is a link."""
        *folders, name = location.split("/")
        path = self.folder
        for folder in folders:
            path = os.path.join(path, folder)
            if os.path.islink(path):
                raise BadFileError(f"{path}: {opened_file.LINK}")
        return os.path.join(path, name)

    def remarks(self):
        """What the SHA-256 of the model does not cover."""
        return [f"{quoted([name])} beside it has the SHA-256 {self.sha256(name)}" for name in sorted(self.bytes_read)]

    def sha256(self, location):
        """The SHA-256 of a side file, in hexadecimal."""
        with opened_file.opened(self.path(location), follow=False) as (file, _):
            return hashlib.file_digest(file, "sha256").hexdigest()


def is_inside(location):
    """Whether the location names a file in the model's own folder, or in one inside it."""
    return len(location) <= LONGEST_NAME and location.isprintable() and not set(location) & set("\\:") \
        and all(part not in ("", ".", "..") for part in location.split("/"))
