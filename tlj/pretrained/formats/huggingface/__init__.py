"""The Hugging Face layout: `config.json` and the arrays of `vit`, `resnet` and `bert`, in and out."""
