"""Float model, data and budget to a proven, signed int8 bundle."""
