"""Sensor streams to findings."""
