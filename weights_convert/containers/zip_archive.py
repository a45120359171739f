"""A strict reader of ZIP archives: name → where its bytes are.

    for each record   local header, name, extra field, the bytes, descriptor      "PK 3 4", "PK 7 8"
    for each record   central directory entry, name, extra field                  "PK 1 2"
    end               [zip64 end record and its locator,] end record              "PK 6 6", "PK 6 7", "PK 5 6"

A ZIP archive says everything twice, and readers that use different halves of it can be made to see different files.
Here both halves must agree, the parts must lie end to end from the first byte to the last, and every record must be
stored as it is, unless the caller allows compression.  Only the padding in extra fields is free: PyTorch aligns the
bytes with it.
Source: PKWARE's APPNOTE.TXT 6.3, sections 4.3 and 4.5.3.
"""
import struct
from dataclasses import dataclass

from npvgg.errors import BadFileError
from weights_convert.refusals import damaged, hostile, quoted

LOCAL = struct.Struct("<4s5H3I2H")                # signature, version, flags, method, time, date, crc, sizes, lengths
CENTRAL = struct.Struct("<4s6H3I5H2I")            # the same, two versions, and: disk, attributes, offset
END = struct.Struct("<4s4H2IH")                   # signature, disks, counts, directory size and start, comment length
END64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR64 = struct.Struct("<4sIQI")
DESCRIPTOR = struct.Struct("<4s3I")
DESCRIPTOR64 = struct.Struct("<4sI2Q")

STORED, DEFLATED = 0, 8
HAS_DESCRIPTOR, IS_UTF8 = 0x8, 0x800              # every other flag means encryption, compression or patches
ZIP64 = 1                                         # the kind of extra field
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF               # "see the zip64 field"

MOST_RECORDS = 20_000
LONGEST_NAME = 512
MOST_EXTRAS = 16                                  # parts of one extra field
LARGEST_DIRECTORY = 32 << 20


@dataclass(frozen=True)
class Record:
    """One entry of the central directory."""

    name: str
    header: int                                   # where its local header starts
    size: int
    crc: int
    flags: int
    method: int
    compressed_size: int


def directory(file, size):
    """An archive of `size` bytes → ([Record, …] in the order of the central directory, where the directory starts).

    Nothing but the directory has been read, so the names can be looked at before `spans` judges the rest.
    Raises BadFileError.
    """
    count, length, start, end = end_record(file, size)
    if count > MOST_RECORDS or length > LARGEST_DIRECTORY:
        raise hostile(f"it has {count:,} records; {MOST_RECORDS:,} is the most")
    if start + length != end:
        raise damaged("its central directory does not end where the end record begins")
    buffer, at, records = read_at(file, start, length), 0, []
    while at < length:
        record, at = central_entry(buffer, at)
        records.append(record)
    if len(records) != count:
        raise damaged(f"it lists {len(records)} records and counts {count}")
    if len({record.name for record in records}) != count:
        raise hostile("it has two records of the same name")
    return records, start


def spans(file, records, directory_start, methods=(STORED,)):
    """Records → {name: (first byte, Record)}.  Raises BadFileError unless local headers agree and lie end to end.

    Records may be stored by these `methods`.
    """
    places, at = {}, 0
    for record in sorted(records, key=lambda record: record.header):
        if record.header != at:
            # Two records overlap, or something is hidden between them.
            raise hostile(f"record {quoted([record.name])} starts at byte {record.header} instead of {at}")
        start, at = local_entry(file, record, directory_start, methods)
        places[record.name] = start, record
    if at != directory_start:
        raise hostile(f"its records end at byte {at} and its directory starts at byte {directory_start}")
    return places


def end_record(file, size):
    """→ (number of records, bytes of the directory, its start, its end as the end records have it)."""
    at = size - END.size
    if at < 0 or file_signature(file, at) != b"PK\5\6":
        raise damaged("it is a zip archive that does not end with its end record")
    _, disk, first_disk, count_here, count, length, start, comment = END.unpack(read_at(file, at, END.size))
    if comment or disk or first_disk or count_here != count:
        raise BadFileError("it is a zip archive with a comment or in several parts, which PyTorch never writes")
    locator = at - LOCATOR64.size
    if locator < 0 or file_signature(file, locator) != b"PK\6\7":
        if count == FULL16 or FULL32 in (length, start):
            raise damaged("it is a zip archive without its zip64 end record")
        return count, length, start, at
    _, disk, end64, disks = LOCATOR64.unpack(read_at(file, locator, LOCATOR64.size))
    if disk or disks != 1 or end64 + END64.size != locator or file_signature(file, end64) != b"PK\6\6":
        raise damaged("it is a zip archive whose zip64 end record is not in its place")
    fields = END64.unpack(read_at(file, end64, END64.size))
    _, rest, _, _, disk, first_disk, count_here, count64, length64, start64 = fields
    agree = count in (count64, FULL16) and length in (length64, FULL32) and start in (start64, FULL32)
    if rest != END64.size - 12 or disk or first_disk or count_here != count64 or not agree:
        raise hostile("it is a zip archive whose two end records disagree")
    return count64, length64, start64, end64


def central_entry(buffer, at):
    """One entry of the directory at `at` → (Record, where the next one starts)."""
    if at + CENTRAL.size > len(buffer) or buffer[at:at + 4] != b"PK\1\2":
        raise damaged("its central directory cannot be read")
    (_, _, _, flags, method, _, _, crc, compressed, size, name_length, extra_length, comment, disk, _, _,
     header) = CENTRAL.unpack_from(buffer, at)
    at += CENTRAL.size
    end = at + name_length + extra_length
    if end > len(buffer) or comment or disk:
        raise damaged("its central directory cannot be read")
    name = checked_name(buffer[at:at + name_length])
    numbers = [size, compressed, header]
    wide = zip64_numbers(buffer[at + name_length:end])
    if len(wide) < numbers.count(FULL32):
        raise damaged(f"record {quoted([name])} lacks its zip64 sizes")
    size, compressed, header = (wide.pop(0) if number == FULL32 else number for number in numbers)
    return Record(name, header, size, crc, flags, method, compressed), end


def zip64_numbers(extra):
    """The extra field of an entry → the numbers in its zip64 part, one for each that did not fit; [] without one."""
    at = 0
    for _ in range(MOST_EXTRAS):
        if at + 4 > len(extra):
            break
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == ZIP64 and at + 4 + length <= len(extra):
            return list(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
        at += 4 + length
    return []


def checked_name(raw):
    """The bytes of a record's name → str.  Raises BadFileError for one that could mean a place outside the archive."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    parts = name.split("/")
    if len(raw) > LONGEST_NAME or not name.isprintable() or "\\" in name or {"", ".", ".."} & set(parts):
        raise hostile(f"it has a record with the name {raw[:80]!r}")
    return name


def local_entry(file, record, directory_start, methods):
    """A Record → (first byte of its data, first byte after its descriptor).  Raises BadFileError unless it is so."""
    if record.method not in methods or record.method == STORED and record.size != record.compressed_size:
        raise BadFileError(f"record {quoted([record.name])} is compressed (PyTorch never does that; zip it with -0)")
    if record.flags & ~(HAS_DESCRIPTOR | IS_UTF8):
        raise BadFileError(f"record {quoted([record.name])} is encrypted or patched (PyTorch never does that)")
    header = read_at(file, record.header, LOCAL.size)
    if header[:4] != b"PK\3\4":
        raise damaged(f"record {quoted([record.name])} has no local header at byte {record.header}")
    _, _, flags, method, _, _, crc, compressed, size, name_length, extra_length = LOCAL.unpack(header)
    rest = read_at(file, record.header + LOCAL.size, name_length + extra_length)
    start = record.header + LOCAL.size + name_length + extra_length
    end = start + record.compressed_size
    if end > directory_start:
        raise hostile(f"record {quoted([record.name])} ends behind the last byte of data")
    allowed = [(record.crc, record.compressed_size, record.size)]
    if record.size in zip64_numbers(rest[name_length:]):
        allowed.append((record.crc, FULL32, FULL32))
    if record.flags & HAS_DESCRIPTOR:             # then the header may leave them to the descriptor
        allowed.append((0, 0, 0))
    described = (crc, compressed, size) in allowed and (flags, method) == (record.flags, record.method)
    if not described or rest[:name_length] != record.name.encode():
        raise hostile(f"record {quoted([record.name])} is described differently in its header and in the directory")
    return start, end + descriptor_length(file, record, end)


def descriptor_length(file, record, at):
    """Bytes of the descriptor after the data of a record: 0, 16, or 24 with 64-bit sizes."""
    if not record.flags & HAS_DESCRIPTOR:
        return 0
    for form in (DESCRIPTOR, DESCRIPTOR64):
        if form.unpack(read_at(file, at, form.size)) == (b"PK\7\x08", record.crc, record.compressed_size, record.size):
            return form.size
    if record.size == 0:                          # PyTorch's writer leaves it out then
        return 0
    raise damaged(f"record {quoted([record.name])} is described differently after its data and in the directory")


def file_signature(file, at):
    """The four bytes at a place of the file."""
    return read_at(file, at, 4)


def read_at(file, at, count):
    """`count` bytes from byte `at`.  The end records alone are longer than any header, so they are there."""
    file.seek(at)
    part = file.read(count)
    if len(part) < count:
        raise damaged(f"it ends before byte {at + count}")
    return part
