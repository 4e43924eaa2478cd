"""Packs FFCV as build.sh prepared it: Python files, its compiled library and libjpeg-turbo, in one wheel.

It replaces FFCV's own setup.py, which asks for OpenCV with X libraries and for packages that only its benchmarks use.
"""

from __future__ import annotations

from setuptools import Distribution, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel


class BinaryDistribution(Distribution):
    """Holds compiled files, although setuptools compiled none."""

    def has_ext_modules(self) -> bool:
        return True


class AnyPython(bdist_wheel):
    """The library is called through ctypes: any Python 3, but only this architecture."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(
    name="ffcv",
    version="1.0.2",
    description="Fast Forward Computer Vision",
    url="https://github.com/libffcv/ffcv",
    license_files=["LICENSE"],
    packages=find_packages(include=["ffcv*"], exclude=["ffcv.benchmarks*"]),
    package_data={"ffcv": ["*.so*"]},
    install_requires=["numba", "numpy", "opencv-python-headless", "torch", "tqdm"],
    distclass=BinaryDistribution,
    cmdclass={"bdist_wheel": AnyPython},
)
