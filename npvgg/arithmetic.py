"""Arithmetic of whole numbers."""


def ceil_div(a: int, b: int) -> int:
    """⌈a/b⌉ of whole numbers, b above 0."""
    return -(-a // b)
