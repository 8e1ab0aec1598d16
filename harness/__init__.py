"""Evaluation and regression harness for LoRA fine-tunes."""

__version__ = "0.1.0"
