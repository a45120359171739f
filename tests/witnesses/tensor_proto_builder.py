"""TensorProtos, written byte by byte after onnx.proto."""
from witnesses.caffemodel_builder import number, piece, varint


def tensor_proto(array, form="raw"):
    """A float32 or float64 array → the bytes of its TensorProto, its numbers "raw", "packed" or "one by one"."""
    is_double = array.itemsize == 8
    head = piece(1, b"".join(map(varint, array.shape))) + number(2, 11 if is_double else 1) + piece(8, "data")
    field, raw = 10 if is_double else 4, array.tobytes()
    if form == "one by one":
        tag = varint(field << 3 | (1 if is_double else 5))
        return head + b"".join(tag + raw[at:at + array.itemsize] for at in range(0, len(raw), array.itemsize))
    return head + piece(9 if form == "raw" else field, raw)
