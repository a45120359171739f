"""A network as ONNX: the graph in one file, the weights beside it, where ONNX Runtime can map them into memory."""
import onnx

from weights_convert.formats.onnx import writing

FILE, INPUT = "vgg.onnx", writing.INPUT


def write(vgg, folder):
    """Write `FILE` into the folder unless another runtime's turn has done so; → its path."""
    path = folder / FILE
    if not path.exists():
        model = writing.model(vgg)
        onnx.save_model(model, path, save_as_external_data=True, location=f"{FILE}.data")
    return path
