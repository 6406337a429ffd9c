"""Package metadata; tools are configured in pyproject.toml."""

import pathlib
import re
import sys

import setuptools

HERE = pathlib.Path(__file__).parent
BRIDGE = HERE / "apppau_jax" / "onednn" / "csrc"
VERSION = re.search(
  r'__version__ = "(.+)"', (HERE / "apppau_jax" / "__init__.py").read_text()
).group(1)

setuptools.setup(
  name="apppau_jax",
  version=VERSION,
  description=(
    "APPAU-Net in JAX: semi-supervised lung segmentation and disease "
    "classification in chest X-rays"
  ),
  long_description=(HERE / "README.md").read_text(encoding="utf-8"),
  long_description_content_type="text/markdown",
  license="Apache-2.0",
  python_requires=">=3.11",
  packages=setuptools.find_packages(
    include=["apppau_jax*", "launch*", "configs"]
  ),
  ext_modules=[
    # Loaded by ctypes, no Python in it; without a compiler XLA's are used.
    setuptools.Extension(
      "apppau_jax.onednn._bridge",
      sorted(str(p.relative_to(HERE)) for p in BRIDGE.glob("*.c")),
      depends=sorted(str(p.relative_to(HERE)) for p in BRIDGE.glob("*.h")),
      extra_compile_args=["-O3", "-std=gnu11", "-fopenmp"],
      extra_link_args=["-fopenmp"],
      libraries=["dl", "m", "pthread"],
      optional=True,
    )
  ]
  if sys.platform == "linux"
  else [],
  package_data={
    "apppau_jax": [
      "box/*.safetensors",
      "checks/*.jinja",
      "datasets/split_lists/*.json",
      "deploy/page/*",
      "imaging/*.safetensors",
      "inference/*.jinja",
      "paper/*.jinja",
      "paper/*.json",
      "reports/*.jinja",
      "py.typed",
    ]
  },
  install_requires=[
    "absl-py>=2.1",
    "array_record>=0.5; sys_platform != 'win32'",
    "chex>=0.1.90",
    "filelock>=3.12",
    "flatbuffers>=24",  # jax.export needs it, and does not declare it
    "flax>=0.10",
    "importlib_resources>=6",  # tensorflow-datasets imports, not declares it
    "jax>=0.10,<0.13",
    "jinja2>=3.1",
    "matplotlib>=3.9",
    "ml_collections>=1.0",
    "numpy>=2.0",
    # A CPU's convolutions; 2023.2 is the last without Intel's GPU runtimes.
    "onednn-cpu-gomp>=2023.2; sys_platform == 'linux' "
    "and platform_machine == 'x86_64'",
    "optax>=0.2.5",
    "orbax-checkpoint>=0.11.36,<0.13",
    "pillow>=12.2",  # older ones can be made to decompress bombs
    "rich>=13",
    "safetensors>=0.5",
    "scikit-image>=0.25",
    "scikit-learn>=1.6",
    "scipy>=1.14",
    "tensorboardX>=2.6.2",
    "tensorflow-datasets>=4.9.8",
  ],
  extras_require={
    "bench": ["torch>=2.6"],  # the peers of benchmarks/
    "cuda": ["jax[cuda13]"],
    "tpu": ["jax[tpu]"],
    "dicom": [
      "dicomweb-client>=0.60",
      "highdicom>=0.27",
      "pydicom>=3.0.1",
      "python-gdcm>=3.0.24",  # decompresses
      "requests>=2.32",
    ],
    "docs": [
      "jupytext>=1.16",
      "mkdocs-material>=9.6",
      "mkdocstrings[python]>=0.29",
    ],
    "onnx": ["onnx>=1.17"],  # launch.export writes it
    "streaming": ["grain>=0.2.18"],
    "test": [
      "dicomweb-client>=0.60",
      "grain>=0.2.18",
      "highdicom>=0.27",
      "hypothesis>=6.100",
      "import-linter>=2.0",
      "jupytext>=1.16",
      "onnx>=1.17",
      "onnxruntime>=1.20",
      "pydicom>=3.0.1",
      "pyrefly>=0.40",
      "python-gdcm>=3.0.24",
      "pytest>=8",
      "pytest-xdist>=3.5",
      "requests>=2.32",
      "ruff>=0.8",
    ],
  },
  classifiers=[
    "Development Status :: 4 - Beta",
    "Intended Audience :: Science/Research",
    "License :: OSI Approved :: Apache Software License",
    "Programming Language :: Python :: 3.11",
    "Programming Language :: Python :: 3.12",
    "Programming Language :: Python :: 3.13",
    "Topic :: Scientific/Engineering :: Medical Science Apps.",
  ],
)
