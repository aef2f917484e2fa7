"""Compute-aware data selection for fine-tuning language models."""

__version__ = "0.5.0"
