"""Lungs outlined and disease classified from few labelled chest X-rays."""

import time

__version__ = "0.1.0"
# When this process began to read the package's sources, seconds since 1970.
LOADED_AT = time.time()
