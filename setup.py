"""Packaging of paddle_mobileseg. How to install it: see CONTRIBUTING.md, "Set-up"."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def read_version() -> str:
    """The ``__version__`` written in paddle_mobileseg/__init__.py, read without importing the package."""
    source = (ROOT / "paddle_mobileseg" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', source, re.MULTILINE)
    if found is None:
        raise RuntimeError('paddle_mobileseg/__init__.py has no line of the form __version__ = "1.2.3"')
    return found.group(1)


def read_text(name: str) -> str:
    path = ROOT / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


# What running a bundle needs, beside the runtime: `pip install paddle_mobileseg[onnxruntime]` on a device installs no
# more.
INSTALL_REQUIRES = [
    "jsonschema>=4.18",
    "numpy>=2",
    "opencv-python-headless>=4.10",
    "Pillow>=10",
    "pyyaml>=6",
    "tqdm>=4.60",
]

EXTRAS_REQUIRE = {
    # Training, evaluation, export and the report; with `cpu` or `gpu`. PaddleSeg itself is not in this list: its own
    # pins (opencv-python<=4.6, built for NumPy 1) would come with it. It is installed by `pip install --no-deps -r
    # requirements/paddleseg.txt`; what it needs in current versions is marked below.
    "train": [
        "jinja2>=3",
        "matplotlib>=3.8",
        # for PaddleSeg
        "filelock>=3",
        "prettytable>=3",
        "requests>=2",
        "scikit-learn>=1.5",
        "scipy>=1.13",
        "visualdl>=2.5.3",
        # visualdl and PaddlePaddle import pkg_resources, which later versions lack
        "setuptools>=70.1,<81",
    ],
    "cpu": ["paddlepaddle>=3.0,<4"],
    "gpu": ["paddlepaddle-gpu>=3.0,<4"],
    "onnx": ["onnx>=1.16.1,<=1.17.0", "onnxruntime>=1.19", "paddle2onnx==2.1.0"],  # to export to it
    "onnxruntime": ["onnxruntime>=1.19"],  # to run bundles
    "tensorrt": ["tensorrt>=10", "cuda-python>=12.6", "onnxruntime>=1.19"],  # to run bundles
    "dev": ["pytest>=8", "hypothesis>=6", "ruff>=0.6", "mypy>=1.11", "openvino>=2024", "selenium>=4.20"],
}

setup(
    name="paddle_mobileseg",
    version=read_version(),
    description="Train, check, export and measure mobile semantic segmentation networks with PaddlePaddle",
    long_description=read_text("README.md"),
    long_description_content_type="text/markdown",
    author="The paddle_mobileseg authors",
    license="Apache-2.0",
    python_requires=">=3.10,<3.13",
    packages=find_packages(include=["paddle_mobileseg", "paddle_mobileseg.*"]),
    package_data={"paddle_mobileseg": ["**/*.html", "**/*.json", "**/*.txt", "**/*.yml"]},
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
    entry_points={"console_scripts": ["mobileseg = paddle_mobileseg.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
