"""Speed, always beside its error.

    python -m benchmarks.peers      npvgg beside PyTorch, ONNX Runtime, OpenVINO, ncnn and MNN
    python -m benchmarks.report     results/*.json → the README's speed table and docs/speed.svg
"""
