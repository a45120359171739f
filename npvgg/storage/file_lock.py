"""One process at a time: a lock on a file.

    with file_lock.held(path, "vgg16 is being fetched by another process; waiting until it is done"):
        …

The lock is flock's, and on Windows that of a byte (the filelock package).  The operating system releases it when its holder
dies, however it dies, so nothing has to be cleared away by hand; the empty file stays.  A child that is forked meanwhile does
not hold it.

On a network file system a lock reaches as far as that file system carries it: NFS (Linux 2.6.12 or newer) and SMB pass it to
the server, so that other machines wait too; NFS mounted with `nolock` or `local_lock=flock`, and some file systems in user
space, keep it to this machine or refuse it.  Where it is refused the block runs without one: what it guards here takes its name
in one step, so that the work may be done twice but its result is whole.
"""
import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

LOG = logging.getLogger(__name__)

# What the operating system answers where a file system has no locks.
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def held(path: str | os.PathLike, waiting: str) -> Iterator[None]:
    """Run the block while this process, and no other, holds the lock `path`, a file that is made if it is not there.

    Where another holds it, `waiting` is logged as a warning and the call waits, without a limit.  OSError where the file cannot
    be made or opened.
    """
    import filelock  # not at the top: 30 ms that only a download needs

    # Its fallback, a file that exists while it is locked, would outlive a killed holder.
    lock = filelock.FileLock(path, fallback_to_soft=False)
    try:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            LOG.warning(waiting)
            lock.acquire()
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        yield
    finally:
        lock.release()
