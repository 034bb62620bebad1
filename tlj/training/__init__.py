"""One run: state, step, loop, evaluation, checkpoints and the files a run leaves behind."""
