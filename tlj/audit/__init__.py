"""What a careful colleague would ask of a data set before anything is trained on it: ``tlj audit``.

Everything here is a function of a source and its splits; nothing needs a model or an accelerator.
"""
