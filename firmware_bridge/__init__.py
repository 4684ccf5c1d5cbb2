"""An int8 model as standalone C99, bit for bit."""
