"""Speed, always beside its error, and errors by themselves.

    python -m benchmarks.peers      npvgg beside PyTorch, ONNX Runtime, OpenVINO, ncnn and MNN
    python -m benchmarks.layers     each layer's share of the machine's peak
    python -m benchmarks.exactness  errors against a float64 run, beside PyTorch's, on two kinds of processor
    python -m benchmarks.report     results/*.json → the README's tables and docs/speed.svg
"""
