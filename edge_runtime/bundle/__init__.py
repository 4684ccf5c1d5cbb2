"""The signed model file: format, signature, reading, writing and the store on a gateway."""
