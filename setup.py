"""Installs npid_tf: `pip install .` (see README.md for the extras)."""

import re
from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="npid_tf",
    version=re.search(
        '__version__ = "(.+)"', Path("npid_tf/files/version.py").read_text(encoding="utf-8")
    )[1],
    description="Image embeddings without labels: NPID in TensorFlow and Keras 3.",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["npid_tf", "npid_tf.*"]),
    package_data={"npid_tf.server.http": ["web/*"]},
    # They name one another as configs/NAME: run from this folder of the environment.
    data_files=[("share/npid_tf/configs", sorted(map(str, Path("configs").glob("*"))))],
    python_requires=">=3.11,<3.14",
    install_requires=[
        # ScaNN's TensorFlow ops are compiled for exactly this TensorFlow.
        "tensorflow==2.20.*",
        "scann==1.4.2",
        "keras~=3.15.0",
        "tensorflow-datasets>=4.9.9",
        "importlib_resources",  # TFDS prepares data sets with it, undeclared.
        "absl-py",
        "numpy",
        "scikit-learn",
        "scipy",
        "threadpoolctl",
        "matplotlib",
        "pillow",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]==2.20.*"],
        "serving": [
            "tensorflow-serving-api==2.20.*",
            "grpcio-health-checking",
            "fastapi",
            "uvicorn",
            "uvloop",
            "python-multipart",
            "prometheus-client",
        ],
        "milvus": ["pymilvus~=3.0", "milvus-lite~=3.2"],
        # The last nightly: the last release does not import beside Keras 3.
        "addons": [
            "tfa-nightly==0.23.0.dev20240415222534; python_version < '3.12'",
        ],
        # Its newest tensorflow-text takes a newer TensorFlow than ScaNN does.
        "transfer": ["keras-hub==0.32.*", "tensorflow-text==2.20.*", "pycocotools"],
        "benchmarks": ["torch", "torchvision", "psutil", "faiss-cpu", "hnswlib"],
        "test": [
            "pytest",
            "pyyaml",
            "pytest-xdist",
            "hypothesis",
            "ruff==0.17.*",
            # The page's tests; they need Debian's chromium too, and skip without.
            "playwright",
            "axe-playwright-python",
            # Those of the files in export/ and of the exported encoder.
            "kubernetes-validate",
            "dockerfile-parse",
            "openvino",
            "tf2onnx",
            "onnxruntime",
            "ai-edge-litert",
        ],
    },
)
