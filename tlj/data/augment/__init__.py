"""Random changes to training images, inside the compiled step: one file for each, and the chain of them."""
