"""Calibration, evaluation and training data: formats, splits, duplicates and health."""
