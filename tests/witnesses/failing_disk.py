"""A disk whose nth operation goes wrong: opening, writing and those of OPERATIONS all count.

    disk = FailingDisk(monkeypatch, 3)        # the third operation of npvgg.storage.atomic_file finds no space on the disk
    FailingDisk(monkeypatch, 3, act)          # … or calls act() first
"""
import errno
import os

from npvgg.storage import atomic_file

OPERATIONS = ("fsync", "link", "replace")


def no_space():
    raise OSError(errno.ENOSPC, "No space left on device")


class FailingDisk:
    def __init__(self, monkeypatch, failing, act=no_space, operations=OPERATIONS):
        self.count, self.failing, self.act = 0, failing, act
        monkeypatch.setattr(atomic_file, "open", self.open, raising=False)
        for name in operations:
            monkeypatch.setattr(atomic_file.os, name, self.counted(getattr(os, name)))

    def counted(self, function):
        def call(*arguments):
            self.count += 1
            if self.count == self.failing:
                self.act()
            return function(*arguments)
        return call

    def open(self, path, mode):
        file = self.counted(open)(path, mode)
        return FailingFile(file, self.counted(file.write))


class FailingFile:
    """A file with another `write`."""

    def __init__(self, file, write):
        self.file, self.write = file, write

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)
