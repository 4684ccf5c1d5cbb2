"""The broker session and the payload formats."""
