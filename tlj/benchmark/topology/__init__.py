"""What a training step needs and costs on accelerators that are not there, by their own compiler."""
