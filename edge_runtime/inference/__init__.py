"""One interface over the engines that run models."""
