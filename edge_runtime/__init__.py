"""Edge inference for factories: verified int8 models on frames and sensor streams, alerts out over MQTT."""

__version__ = "0.1.0"
