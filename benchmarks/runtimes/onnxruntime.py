"""ONNX Runtime's CPU provider."""
import onnxruntime

from benchmarks import onnx_file


def write(vgg, folder):
    onnx_file.write(vgg, folder)


def load(folder, shape, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(folder / onnx_file.FILE, options, providers=["CPUExecutionProvider"])

    def run(x):
        (logits,) = session.run(None, {onnx_file.INPUT: x})
        return logits

    return run
