"""Build hook: generate what ``xenapic/_xenctrl`` holds before the packages are collected."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent))
import build_ffi  # next to this file, in a directory that build front ends do not put on the path


class BuildWithDeclarations(build_py):
    """``build_py`` that runs `build_ffi.generate` first; used for wheels and for ``pip install -e``."""

    def run(self) -> None:
        build_ffi.generate()
        super().run()


setup(cmdclass={"build_py": BuildWithDeclarations})
