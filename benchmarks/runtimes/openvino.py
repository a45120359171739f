"""OpenVINO's CPU device, from its own files, which it maps into memory.

The model is read by the frontend in the core: `openvino.convert_model` would also report its use over the network.
"""
import openvino

from benchmarks import onnx_file

FILE = "openvino.xml"


def write(vgg, folder):
    model = openvino.Core().read_model(onnx_file.write(vgg, folder))
    openvino.save_model(model, folder / FILE, compress_to_fp16=False)


def load(folder, shape, threads):
    core = openvino.Core()
    model = core.read_model(folder / FILE)
    model.reshape({onnx_file.INPUT: list(shape)})
    # Left to itself it computes in bfloat16 where the processor can.
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads,
                                                 "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1})
    return lambda x: compiled(x)[0]
