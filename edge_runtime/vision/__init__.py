"""Frames to findings."""
