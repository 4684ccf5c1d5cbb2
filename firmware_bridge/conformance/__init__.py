"""Models made for testing: a writer of .tflite files and a generator of random graphs."""
