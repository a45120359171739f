"""Speed, always beside its error.

    python -m benchmarks.peers      npvgg beside PyTorch, ONNX Runtime, OpenVINO, ncnn and MNN
    python -m benchmarks.layers     each layer's share of the machine's peak
    python -m benchmarks.report     results/*.json → the README's speed table and docs/speed.svg
"""
