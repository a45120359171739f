"""Pictures as files, made on the spot."""
import io
import struct
import zlib

import numpy as np
from PIL import Image


def noise(height, width, mode="RGB", seed=0):
    """A picture of random levels in any of Pillow's 8-bit modes, or in I;16, I and F."""
    rng = np.random.default_rng(seed)
    if mode in ("I;16", "I", "F"):
        dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        return Image.fromarray(rng.integers(0, 65536, (height, width)).astype(dtype))
    if mode == "P":
        picture = Image.frombytes("P", (width, height), rng.bytes(width * height))
        picture.putpalette(rng.integers(0, 256, 768, np.uint8).tobytes())
        return picture
    bands = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, (width, height), rng.bytes((width + 7) // 8 * height if mode == "1"
                                                            else width * height * bands))


def encode(picture, format_name, **options):
    """PIL.Image → the bytes of a file."""
    stream = io.BytesIO()
    picture.save(stream, format_name, **options)
    return stream.getvalue()


def smooth(height, width):
    """A picture that lossy formats keep small: three ramps."""
    i, j = np.mgrid[:height, :width]
    levels = np.stack([255 * i / height, 255 * j / width, 255 * (i + j) / (height + width)], axis=-1)
    return Image.fromarray(levels.astype(np.uint8))


def png_claiming(width, height):
    """A PNG of a few bytes whose header promises width × height pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


PICTURE = smooth(19, 27)
TURNED = PICTURE.transpose(Image.Transpose.ROTATE_180)

# One small file of each kind that npvgg reads.
FILES = {
    "jpeg": encode(PICTURE, "JPEG"),
    "jpeg-progressive": encode(PICTURE, "JPEG", progressive=True),
    "jpeg-grey": encode(PICTURE.convert("L"), "JPEG"),
    "jpeg-cmyk": encode(PICTURE.convert("CMYK"), "JPEG"),
    "png": encode(PICTURE, "PNG"),
    "png-alpha": encode(noise(9, 14, "RGBA"), "PNG"),
    "png-palette": encode(noise(9, 14, "P"), "PNG"),
    "png-16-bit": encode(noise(9, 14, "I;16"), "PNG"),
    "png-animated": encode(PICTURE, "PNG", save_all=True, append_images=[TURNED]),
    "webp": encode(PICTURE, "WEBP"),
    "webp-lossless": encode(PICTURE, "WEBP", lossless=True),
    "webp-animated": encode(PICTURE, "WEBP", save_all=True, append_images=[TURNED]),
    "gif": encode(PICTURE.convert("L"), "GIF"),
    "gif-animated": encode(PICTURE.convert("L"), "GIF", save_all=True, append_images=[TURNED.convert("L")]),
    "bmp": encode(PICTURE, "BMP"),
    "bmp-1-bit": encode(noise(9, 14, "1"), "BMP"),
    "tiff": encode(PICTURE, "TIFF"),
    "tiff-lzw": encode(PICTURE, "TIFF", compression="tiff_lzw"),
    "tiff-deflate": encode(PICTURE, "TIFF", compression="tiff_adobe_deflate"),
    "tiff-16-bit": encode(noise(9, 14, "I;16"), "TIFF"),
    "ppm": encode(PICTURE, "PPM"),
    "pgm": encode(PICTURE.convert("L"), "PPM"),
    "pbm": encode(noise(9, 14, "1"), "PPM"),
}
