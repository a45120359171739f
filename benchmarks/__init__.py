"""Speed, always beside its error.  python -m benchmarks.forward"""
