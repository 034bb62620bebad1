"""Models out: the layout of transformers, torch names, or a program that runs without tlj."""
