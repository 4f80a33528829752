"""Messages of the Open Inference Protocol, version 2, under a package of our own."""
