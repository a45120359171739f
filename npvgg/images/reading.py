"""One picture, from wherever it is, in mode RGB, L (grey) or RGBA: what is accepted or refused, and how pixels are converted.

    RGB, grey, 1-bit, palette     as they are; grey of colours is Pillow's, (299 R + 587 G + 114 B) / 1000
    alpha                         dropped in RGB and L, so that hidden colours show, as in torchvision; kept in RGBA, where a
                                  picture without one has 255 everywhere; or the picture is laid over `background`
    CMYK, YCCK, YCbCr, HSV        Pillow's arithmetic, without colour profiles, as in torchvision
    16-bit                        the high byte, v >> 8 (Pillow itself would clip grey values to 255)
    32-bit integers, floats, Lab  refused: nothing in the file says which value is white (Pillow widens a 16-bit PGM so)
    EXIF orientation              ignored, as in torchvision, unless asked for; Pillow always applies a TIFF's
    animation                     the first frame

A hostile file costs bounded memory and time: few formats, a size limit on the file, and limits on the picture that are
checked before a pixel is decoded.  Pillow's settings and Python's warning filters belong to the whole process, and so
to its other threads; nothing here touches them.
"""
import errno
import io
import os
import re
import stat

import numpy as np
from PIL import (  # noqa: F401     the plugins register themselves; Image.open would import all seventy to be sure
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageColor,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from npvgg.checks import check_choice, check_flags
from npvgg.errors import ImageError, StorageError, UsageError
from npvgg.storage import file_kinds, opening
from npvgg.text import said, shown

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MAX_BYTES = 64 * 2**20
MAX_PIXELS = 50_000_000
MAX_ASPECT = 20                                           # 1×4000 would be resized to 256×1 024 000
JPEG_SCANS, JPEG_EXIF = 100, 64                           # see refuse_many_segments
MAX_RLE_BYTES = 8 * 2**20                                 # Pillow decodes run lengths in Python, 2.5 MiB a second
SCAN = re.compile(rb"\xff\xda\0[\x08\x0a\x0c\x0e][\x01-\x04]")        # marker, length, components (ITU T.81, B.2.3)

TARGETS = ("RGB", "L", "RGBA")                            # modes that a picture is read into
MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"}
SIXTEEN_BIT = {"I;16", "I;16L", "I;16B", "I;16N"}


def read(source, *, mode: str = "RGB", exif: bool = False, background: str | None = None,
         name: str = "the picture") -> Image.Image:
    """Path, bytes, binary file or PIL.Image → PIL.Image in `mode`; one that is in it already comes back as it is.

    `mode`: RGB, L for grey, or RGBA.  `exif` turns the picture as its EXIF orientation says; `background`, a colour such as
    "white" or "#ff8800", is what shows through where the picture is transparent (in RGBA alpha is then 255 everywhere);
    `name` stands in messages for a source without a file name.
    ImageError for a picture that cannot or must not be read, StorageError for a file that is not there, UsageError for
    a source, mode or colour of another kind.
    """
    check_choice("mode", mode, TARGETS)
    check_flags(exif=exif)
    colour = rgb_of(background)
    if isinstance(source, Image.Image):
        name = shown(getattr(source, "filename", "") or name)
        return decoded(lambda: source, name, mode, exif, colour)
    name, content = content_of(source, name)
    return decoded(lambda: opened(content, name), name, mode, exif, colour)


def decoded(open_picture, name, mode, exif, background):
    """Open, check, decode and convert one picture; whatever goes wrong in Pillow is an ImageError."""
    try:
        picture = open_picture()
        refuse_size(picture.size, name)
        picture.load()
        if exif:
            picture = ImageOps.exif_transpose(picture)
        return converted(picture, name, mode, background)
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: more than {MAX_PIXELS:,} pixels; scale it down first") from None
    except Exception as error:                            # damaged files raise a dozen kinds: OSError, SyntaxError, …
        raise ImageError(f"{name}: cannot be decoded ({said(error)}), so it is damaged, cut short or of a rare kind; "
                         "save it again") from None


def content_of(source, name):
    """Path, bytes or binary file → (name for messages, its bytes)."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        content = bytes(source)
    elif isinstance(source, (str, os.PathLike)):
        name = shown(source)
        content = file_content(source, name)
    elif hasattr(source, "read"):
        file_name = getattr(source, "name", None)         # a number where the file has none
        name = shown(file_name) if isinstance(file_name, str) else name
        content = stream_content(source, name)
    else:
        raise UsageError(f"{name} is of type {type(source).__name__}; expected a path, bytes, a binary file or a "
                         "PIL.Image (arrays go into npvgg.images.batch)")
    if len(content) > MAX_BYTES:
        raise ImageError(f"{name}: larger than {MAX_BYTES // 2**20} MiB; scale it down first")
    if not content:
        raise ImageError(f"{name}: the file is empty; replace it")
    return name, content


def file_content(path, name):
    """Read whole, not mapped: Pillow maps uncompressed files, and cutting one short meanwhile would end the process."""
    try:
        with open(path, "rb", opener=opening.without_waiting) as file:
            is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_BYTES + 1) if is_regular else b""
            if content is None:                           # a file of /proc that has nothing to give now
                raise BlockingIOError(errno.EAGAIN, "it holds nothing now")
    except IsADirectoryError:
        raise ImageError(f"{name}: a directory, not a picture; npvgg.images.find lists the pictures in it") from None
    except FileNotFoundError:
        raise StorageError(f"{name}: no such file; check the name") from None
    except OSError as error:
        raise StorageError(f"{name}: cannot be read: {error.strerror or error}; check its rights") from None
    except ValueError:                                    # a NUL character, or one that the file system cannot encode
        raise StorageError(f"{name}: not a possible file name; check the name") from None
    if not is_regular:
        raise ImageError(f"{name}: a pipe, socket or device, not a regular file; give the name of a picture")
    return content


def stream_content(stream, name):
    """A binary file object → its bytes, from the start.  StorageError where it cannot be read, UsageError for a text file."""
    try:
        if stream.seekable():
            stream.seek(0)                                # as Pillow does: a file just written stands at its end
        content = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError, AttributeError) as error:
        raise StorageError(f"{name}: cannot be read: {error}; give a binary file that is open for reading") from None
    if not isinstance(content, bytes):
        raise UsageError(f"{name}: gives {type(content).__name__}, not bytes; open it in binary mode")
    return content


def opened(content, name):
    """Bytes → Pillow's picture, not yet decoded.  Image.open would warn of sizes that `refuse_size` refuses anyway."""
    for format_name in FORMATS:
        factory, accepts = Image.OPEN[format_name]
        if len(content) > 1 and accepts(content[:16]) is True:
            if format_name == "JPEG":
                refuse_many_segments(content, name)
            elif format_name == "BMP":
                refuse_long_runs(content, name)
            return factory(io.BytesIO(content), "")
    raise ImageError(f"{name}: {file_kinds.kind(content[:file_kinds.ENOUGH]) or 'not a known picture format'}; "
                     "convert it to JPEG, PNG, WebP, GIF, BMP, TIFF or PPM first")


def refuse_many_segments(content, name):
    """ImageError for a JPEG of more scans, or pieces of EXIF, than any camera or program writes.

    Fourteen bytes can ask for one more pass over 50 million pixels: a file of 1 MB for seventy thousand of them, where a
    progressive JPEG has some ten.  Pillow joins pieces of EXIF one by one, so that time grows with their square.
    """
    scans, pieces = len(SCAN.findall(content)), content.count(b"Exif\0\0")
    if scans > JPEG_SCANS:
        raise ImageError(f"{name}: {scans} scans where a progressive JPEG has about ten; save it again")
    if pieces > JPEG_EXIF:
        raise ImageError(f"{name}: {pieces} pieces of EXIF where a JPEG has one; save it again without them")


def refuse_long_runs(content, name):
    """ImageError for a BMP of run lengths that would take many seconds; its compression stands behind 30 bytes."""
    if len(content) > MAX_RLE_BYTES and content[30:34] in (b"\1\0\0\0", b"\2\0\0\0"):
        raise ImageError(f"{name}: a BMP of run lengths larger than {MAX_RLE_BYTES // 2**20} MiB; save it as PNG")


def refuse_size(size, name):
    """ImageError for a size (width, height) that is empty, larger than MAX_PIXELS or longer than MAX_ASPECT : 1."""
    width, height = size
    if min(size) < 1:
        raise ImageError(f"{name}: {width}×{height} has no pixels; give a picture of at least 1×1")
    if width * height > MAX_PIXELS:
        raise ImageError(f"{name}: {width}×{height} is more than {MAX_PIXELS:,} pixels; scale it down first")
    if max(size) > MAX_ASPECT * min(size):
        raise ImageError(f"{name}: {width}×{height} is longer than {MAX_ASPECT}:1; crop the part that matters first")


def converted(picture, name, mode, background=None):
    """Decoded picture → the same in `mode`, by the table above."""
    if picture.mode in SIXTEEN_BIT:
        high_byte = (np.asarray(picture) >> 8).astype(np.uint8)
        return Image.fromarray(high_byte).convert(mode)
    if picture.mode not in MODES:
        raise ImageError(f"{name}: pixels of mode {picture.mode} do not say which value is white; "
                         "save it with 8 bits a channel first")
    if background is not None and picture.has_transparency_data:
        canvas = Image.new("RGBA", picture.size, background)
        return Image.alpha_composite(canvas, picture.convert("RGBA")).convert(mode)
    if "transparency" in picture.info and mode != "RGBA":   # the colours stay; convert would warn about several of them
        picture = picture.copy()
        del picture.info["transparency"]
    return picture if picture.mode == mode else picture.convert(mode)


def rgb_of(background):
    """'white', '#ff8800' or None → (r, g, b) or None."""
    if background is None:
        return None
    try:
        red, green, blue = ImageColor.getrgb(background)
    except (ValueError, AttributeError, TypeError):
        raise UsageError(f"background {background!r:.80} is not an opaque colour; give one such as white or "
                         "#ff8800") from None
    return red, green, blue
