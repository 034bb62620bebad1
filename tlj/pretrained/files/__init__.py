"""Files of weights: safetensors, msgpack and npz, each as arrays that are read when they are asked for."""
