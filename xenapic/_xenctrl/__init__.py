"""What cffi generates: one module per ABI generation, written by ``build_ffi.py``."""
