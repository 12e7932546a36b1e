"""Build hook: generate the cffi modules before the packages are collected."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent))
import build_ffi  # (lies beside this file, which build front ends do not put on the path)


class BuildWithDeclarations(build_py):
    """``build_py`` that first writes ``xenapic/_xenctrl/xen_*.py``; serves wheels and ``pip install -e``."""

    def run(self) -> None:
        build_ffi.generate()
        super().run()


setup(cmdclass={"build_py": BuildWithDeclarations})
