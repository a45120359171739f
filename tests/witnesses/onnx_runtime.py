"""ONNX Runtime's answer, as the witness of what a graph means."""
import onnxruntime


def run(path, x):
    """(N, 3, H, W) through the model at `path` → its one output."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {session.get_inputs()[0].name: x})
    return answer
