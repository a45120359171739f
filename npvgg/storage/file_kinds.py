"""What a file is, by its first bytes: its name says nothing, for a failed download keeps the name that was asked for."""

ENOUGH = 512                    # bytes of a file's beginning that every test here and in weights_convert looks at

HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"

# (where, bytes there, what the file is)
SIGNATURES = (
    (0, HDF5, "an HDF5 file"),
    (0, ZIP, "a zip archive"),
    (0, b"PK\x05\x06", "an empty zip archive"),
    (0, b"\x80\x02", "a Python pickle"), (0, b"\x80\x03", "a Python pickle"), (0, b"\x80\x04", "a Python pickle"),
    (0, b"\x80\x05", "a Python pickle"),
    (0, b"version https://git-lfs", "a Git LFS pointer"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\xfd7zXZ\x00", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"GIF87a", "a GIF picture"), (0, b"GIF89a", "a GIF picture"),
    (4, b"ftyphe", "a HEIC picture"), (4, b"ftypmif1", "a HEIC picture"),
    (4, b"ftypavi", "an AVIF picture"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"%!PS", "an EPS or PostScript file"),
    (0, b"%PDF", "a PDF file"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<?xml", "an XML or SVG file"),
    (0, b"\x7fELF", "a program"), (0, b"MZ", "a program"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"GGUF", "a GGUF model"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (4, b"ORTM", "a model in ONNX Runtime's own form (.ort)"),
    (0, b"MATLAB", "a MATLAB file"),
    (0, b"{", "JSON text"),
)


def kind(head: bytes) -> str:
    """The first bytes of a file → what it is, "a zip archive" for example; "" where they are those of nothing known here."""
    for offset, mark, name in SIGNATURES:
        if head.startswith(mark, offset):
            return name
    return "a web page (HTML)" if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<") else ""
