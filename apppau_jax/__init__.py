"""Lungs outlined and disease classified from few labelled chest X-rays."""

__version__ = "0.1.0"
