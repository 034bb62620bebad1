"""Evidence: from the files of a comparison to its verdicts, its answer and its page. Runs without an accelerator.

Everything here is a pure function of the run files, so a new statistic never needs a new training run:
``runs`` reads them, ``metrics`` scores them, ``statistics`` and ``verdict`` compare two arms, ``effective_data`` and
``cost`` put a price on the difference, ``answer`` says it in words, ``summary`` and ``report`` write it down.
"""
