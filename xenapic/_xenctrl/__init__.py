"""What ``build_ffi.py`` generates from ``xenapic/abi/decl``; see there for the files.

Only `xenapic.abi` uses the cffi modules. ``since.py`` is a pure table, for everyone.
"""
