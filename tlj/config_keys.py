"""The table of configuration keys: what each means, its default, and which values it takes."""

from __future__ import annotations

import dataclasses

from tlj.config_kinds import (
    Kind,
    date,
    list_of,
    name,
    number,
    one_of,
    or_all,
    patterns,
    rules,
    search_range,
    step,
    text,
    warmup,
    whole,
    yes_no,
)


@dataclasses.dataclass(frozen=True)
class Key:
    """One configuration key: its default, the values it takes, and what it means."""

    default: object
    kind: Kind
    meaning: str


_WARMUP = Kind("a length such as '10 steps', '0.5 epochs' or '2000 examples'", warmup)
_RULES = Kind('a list of (pattern, group) pairs, such as (("head/.*", "head"), (".*", "frozen"))', rules)
_FRACTION = number("a number between 0 and 1, ends excluded", lambda x: 0 < x < 1)
_SHARE = number("a number from 0 to below 1", lambda x: 0 <= x < 1)
_DISK_SHARE = number("a number above 0, at most 1", lambda x: 0 < x <= 1)
_YES_NO = Kind("true or false", yes_no)
_POSITIVE = number("a number above 0", lambda x: x > 0)
_NOT_NEGATIVE = number("a number of at least 0", lambda x: x >= 0)
_ANY_TEXT = text("text", may_be_empty=True)
_BUDGET = or_all(whole(1))
_KEEP = dataclasses.replace(
    one_of("all", "trainable"), expected="one of all, trainable (checkpoint.latest is how many are kept)"
)
_STEP = step()
_PATTERNS = patterns()
_ARM = text("text such as full or full@mean_var")
_COLUMNS = list_of(name("the name of a column"), may_be_empty=True)
_CLASSES = list_of(name("the name of a class"), may_be_empty=True)
_BATCHING = one_of("buckets", "packed", "padded")
_MAGNITUDE = number("a number from 0 to 10", lambda x: 0 <= x <= 10)
_OPTIMIZER = one_of("adamw", "sgd", "lamb", "lion")
_TASK = one_of("multiclass", "binary", "multilabel", "regression")
_ATTENTION = one_of("auto", "xla", "cudnn", "flash")
_SOFTMAX = one_of("float32", "compute")
_PRNG = one_of("threefry2x32", "rbg")
_REMAT = one_of("none", "nothing_saveable", "dots_saveable", "dots_with_no_batch_dims_saveable")
_SECONDS = number("a number of seconds above 0", lambda x: x > 0)
_DATE = Kind("a date such as 2027-01-31, or empty", date)
_RANGE = Kind("a range such as '1e-4 to 1e-1' or '0 to 0.3 linear', or a list of values", search_range, mixed=True)
_PARITIES = list_of(one_of("steps", "flops", "seconds", "best"))
_SHIFTS = list_of(text("NAME=SOURCE, or NAME=SOURCE#PART"), may_be_empty=True)
_SCHEDULE = one_of("constant", "linear", "cosine", "slanted_triangular", "rsqrt")

KEYS: dict[str, Key] = {
    "workdir": Key("", _ANY_TEXT, "folder of the run files"),
    "seed": Key(0, whole(0), "seed of one run: labels, batches, augmentation, head and dropout follow from it"),
    "seeds": Key((0, 1, 2, 3, 4), list_of(whole(0)), "seeds of a comparison; a pair shares its seed"),
    "label_budget": Key("all", _BUDGET, "labelled examples of one run, validation labels counted"),
    "label_budgets": Key(("all",), list_of(_BUDGET), "label budgets of a comparison"),
    "strategy": Key("full", text("text such as full or last_blocks:1"), "what one run trains; the README lists them"),
    "rules": Key((), _RULES, "what the strategy 'rules' trains: (pattern, group or frozen) pairs, first match wins"),
    "init": Key("", _ANY_TEXT, "where one run starts: pretrained, scratch, mean_var; empty is the strategy's own"),
    "arms": Key(("scratch", "full"), list_of(_ARM), "arms of a comparison, [NAME=]strategy[@init]"),
    "twin": Key("scratch", _ARM, "name of the arm that every other arm pairs with"),
    "steps": Key(200, whole(1), "training steps"),
    "global_batch_size": Key(32, whole(1), "examples per step, over all devices"),
    "steps_per_call": Key(1, whole(1), "steps that one call of the compiled program takes; only rounding differs"),
    "on_nan": Key("stop", one_of("stop", "skip"), "a loss or gradient that is not finite: stop, or skip the update"),
    "task": Key("multiclass", _TASK, "what labels are, which decides loss and metrics; README, Tasks"),
    "dtype": Key("float32", one_of("float32", "bfloat16"), "type of the computation; parameters are float32"),
    "frozen_weights": Key("compute", one_of("compute", "float32"), "type that frozen weights have on the devices"),
    "attention.kernel": Key("auto", _ATTENTION, "what computes attention: flash on TPU, cudnn on NVIDIA, or XLA"),
    "attention.softmax": Key("float32", _SOFTMAX, "type of softmax in attention; compute: dtype, which XLA alone can"),
    "prng": Key("threefry2x32", _PRNG, "generator of dropout and augmentation; rbg: cheap on TPU, other numbers there"),
    "remat": Key("none", _REMAT, "what of a block is kept for the backward pass, by JAX's policies; none: everything"),
    "margin": Key(0.005, _POSITIVE, "smallest difference that matters, in the unit of metric; 0.005 is half a point"),
    "metric": Key("", _ANY_TEXT, "metric a comparison is judged by; empty: the task's own"),
    "parities": Key(("steps",), _PARITIES, "what arms have alike: steps, flops, seconds; best: each at its best step"),
    "most_seeds": Key(0, whole(0), "seeds up to which runs are added where an interval straddles zero; 0 adds none"),
    "tuning.trials": Key(0, whole(0), "trials of each arm over its own tuning.space; 0 tunes nothing"),
    "tuning.search": Key("random", one_of("random", "grid"), "how trials are laid out"),
    "tuning.seeds": Key((1000,), list_of(whole(0)), "seeds of the trials, none of them in seeds"),
    "tuning.metric": Key("validation_loss", text("the name of a validation metric"), "what the best trial goes by"),
    "tuning.budgets": Key(
        "each", one_of("each", "largest"), "label budgets tuned: each, or the largest common one for all"
    ),
    "tuning.extend": Key(0, whole(0), "times that ranges are extended, for all arms, where the best lies at an edge"),
    "exit.target": Key(
        0.0, _NOT_NEGATIVE, "value of metric that ends a comparison once an arm's mean is there; 0: none"
    ),
    "exit.hours": Key(0.0, _NOT_NEGATIVE, "accelerator-hours after which no run begins; 0: no end"),
    "exit.dollars": Key(0.0, _NOT_NEGATIVE, "dollars, by prices, after which no run begins; 0: no end"),
    "exit.date": Key("", _DATE, "date (UTC) from which on no run begins; empty: none"),
    "prices": Key("", _ANY_TEXT, "TOML file of dated prices, copied to the workdir"),
    "screening.examples": Key(
        500, whole(0), "pool examples whose features score the backbone before training; 0: none"
    ),
    "screening.data": Key("", _ANY_TEXT, "data that the backbone was trained on, for its distance; empty: pretrain's"),
    "model.family": Key("vit", text("the name of a model family"), "architecture: vit, resnet or bert"),
    "model.source": Key(
        "",
        _ANY_TEXT,
        "pretrained model: a run, a folder or file of another origin, or a hub id; relative to the workdir, or to here",
    ),
    "model.step": Key("latest", _STEP, "of a source that is a run: latest, best (by its checkpoint.metric) or a step"),
    "model.allow_missing": Key((), _PATTERNS, "patterns of names that a source may lack, add or have in another shape"),
    "data.source": Key("digits", text("the name of a data source"), "data set, such as digits:5-9 or folder:PATH"),
    "data.train": Key("", _ANY_TEXT, "split to label and train on, such as train[:80%]; empty: train, or all there is"),
    "data.test": Key("", _ANY_TEXT, "split to test on; empty: a share of data.train is held out"),
    "data.test_fraction": Key(0.4, _FRACTION, "share of data.train kept for the test, where data.test is empty"),
    "data.validation_fraction": Key(0.2, _FRACTION, "share of the label budget held out for validation"),
    "data.split_seed": Key(0, whole(0), "seed of the test split, the same for every seed and arm"),
    "data.split_from": Key("", _ANY_TEXT, "comparison, run or manifest.json whose sample ids are used again"),
    "data.min_per_class": Key(1, whole(1), "training examples that a label budget must give each class"),
    "data.balance": Key("none", one_of("none", "sample", "loss"), "weighs classes alike: in sampling, or in the loss"),
    "data.columns.text": Key((), _COLUMNS, "column of a table with the text, or two for pairs; empty: a usual name"),
    "data.columns.image": Key("", _ANY_TEXT, "column with the image, as a path or bytes; empty: a usual name"),
    "data.columns.label": Key("", _ANY_TEXT, "column with the label; empty: label"),
    "data.columns.group": Key("", _ANY_TEXT, "column with the group of an example, for the predictions"),
    "data.columns.id": Key("", _ANY_TEXT, "column that names every example; empty: its file and row"),
    "data.classes": Key((), _CLASSES, "names of the classes in order, or a file with one a line; empty: as found"),
    "data.on_error": Key("raise", one_of("raise", "skip"), "what to do with an example that cannot be read"),
    "data.skip_limit": Key(100, whole(1), "most examples that data.on_error=skip may leave out"),
    "data.text.length": Key(0, whole(0), "most tokens of a sequence; 0: as many as the model has positions"),
    "data.text.batching": Key(
        "buckets", _BATCHING, "batches of like length, rows packed with several texts, or padded"
    ),
    "data.text.buckets": Key(12, whole(1), "sequence lengths in use, each compiled once"),
    "data.text.tokenizer": Key("", _ANY_TEXT, "folder of a tokenizer; empty: that of model.source"),
    "data.memory": Key(512, whole(0), "MiB of decoded images that each reader keeps; 0 decodes every time"),
    "data.threads": Key(0, whole(0), "threads that decode images; 0: one per core, up to 16"),
    "data.workers": Key(0, whole(0), "processes that read batches ahead; 0: a thread"),
    "data.augment.shift": Key(0, whole(0), "largest random shift, in pixels"),
    "data.augment.flip": Key(False, _YES_NO, "mirrors half of the images"),
    "data.augment.crop": Key(0.0, _SHARE, "smallest share of an image in a random crop; 0 crops nothing"),
    "data.augment.crop_from": Key(0, whole(0), "pixels a side of the image that a crop is cut from; 0: 8/7 of its own"),
    "data.augment.colour": Key(0, whole(0), "random colour changes per image"),
    "data.augment.magnitude": Key(9.0, _MAGNITUDE, "strength of the colour changes"),
    "data.augment.mixup": Key(0.0, _NOT_NEGATIVE, "alpha of mixup: images and labels of two examples blended"),
    "data.augment.cutmix": Key(0.0, _NOT_NEGATIVE, "alpha of cutmix: a box of one image in another, labels by area"),
    "optimizer.name": Key("adamw", _OPTIMIZER, "update rule; sgd has Nesterov momentum 0.9"),
    "optimizer.learning_rate": Key(1e-3, _POSITIVE, "peak learning rate"),
    "optimizer.weight_decay": Key(0.05, _NOT_NEGATIVE, "decoupled weight decay, of kernels"),
    "optimizer.clip_norm": Key(1.0, _NOT_NEGATIVE, "global norm that gradients are clipped to; 0 clips nothing"),
    "optimizer.schedule": Key("cosine", _SCHEDULE, "shape after the warm-up; slanted_triangular has a rise of its own"),
    "optimizer.warmup": Key("10 steps", _WARMUP, "linear warm-up, in steps, epochs or examples"),
    "optimizer.label_smoothing": Key(0.0, _SHARE, "label smoothing of the training loss"),
    "optimizer.accumulate": Key(1, whole(1), "parts that a batch is computed in, one after another, to save memory"),
    "optimizer.ema": Key(0.0, _SHARE, "decay of a moving average of what trains; 0 keeps none"),
    "optimizer.reference_batch": Key(
        0, whole(0), "batch that learning_rate is meant for: it grows in proportion; 0: it is used as it is"
    ),
    "plateau.patience": Key(3, whole(1), "validations without a lower loss that end a phase that waits for a plateau"),
    "plateau.min_delta": Key(0.0, _NOT_NEGATIVE, "by how much the validation loss must be lower to count"),
    "lora.alpha": Key(16.0, _POSITIVE, "the update of lora:r is alpha / r times the product of its adapters"),
    "lora.targets": Key(
        ("query", "value"), list_of(text("the name of a dense layer")), "dense layers that get adapters"
    ),
    "evaluate.every": Key(0, whole(0), "steps between validations; 0 is only at the end"),
    "evaluate.batch_size": Key(128, whole(1), "examples per evaluation step"),
    "evaluate.ema": Key(False, _YES_NO, "whether the moving average is evaluated (optimizer.ema), exported and loaded"),
    "evaluate.test": Key(True, _YES_NO, "whether the test split is opened at the end; no trial opens it"),
    "evaluate.best": Key(False, _YES_NO, "whether the checkpoint that was best by checkpoint.metric is tested, too"),
    "evaluate.shifts": Key((), _SHIFTS, "test sets of another domain, each NAME=SOURCE or NAME=SOURCE#PART"),
    "early_stopping.metric": Key("", _ANY_TEXT, "validation metric that must get better, such as validation_loss"),
    "early_stopping.patience": Key(5, whole(1), "validations without a better value that end the run"),
    "early_stopping.min_delta": Key(0.0, _NOT_NEGATIVE, "by how much a value must be better to count"),
    "checkpoint.every": Key(0, whole(0), "steps between checkpoints; 0 is only at the end"),
    "checkpoint.latest": Key(2, whole(1), "checkpoints kept, the latest"),
    "checkpoint.best": Key(
        0, whole(0), "checkpoints kept besides, the best by checkpoint.metric; written when validated"
    ),
    "checkpoint.metric": Key(
        "validation_loss", text("the name of a validation metric"), "what checkpoint.best goes by"
    ),
    "checkpoint.background": Key(True, _YES_NO, "whether a checkpoint is written while training goes on"),
    "checkpoint.deadline": Key(25.0, _SECONDS, "seconds after SIGTERM by which the process has ended, saved or not"),
    "checkpoint.keep": Key("all", _KEEP, "what one holds: all, or trainable: all but what never trains, a small delta"),
    "cache.activations": Key(
        "none", one_of("none", "float32", "bfloat16"), "keeps activations at the freeze boundary, in this type; or none"
    ),
    "cache.views": Key(0, whole(0), "fixed augmented views of each training example that are cached; 0: none"),
    "cache.disk_share": Key(0.5, _DISK_SHARE, "largest share of the free disk that cached activations may take"),
    "log.every": Key(50, whole(1), "steps per line of metrics and per timing window"),
    "log.seconds": Key(10.0, _SECONDS, "seconds between lines of progress where there is no terminal"),
    "log.tensorboard": Key(True, _YES_NO, "whether event files for TensorBoard are written"),
    "log.wandb": Key("", _ANY_TEXT, "project of Weights & Biases to log to; empty logs nothing there"),
    "parallel.mode": Key("jit", one_of("jit", "pmap"), "how a step runs over devices"),
    "parallel.batch_per_device": Key(
        0, whole(0), "examples per device and step, which makes global_batch_size; 0: that is what it says"
    ),
    "parallel.fsdp": Key(1, whole(1), "devices that one copy of the parameters is spread over"),
    "experiments.workers": Key(1, whole(1), "runs trained at once in this process"),
    "experiments.batch_runs": Key(
        1, whole(1), "runs of one shape (seeds, budgets, trials) that one vmapped program trains together"
    ),
}

# Keys of one group, under `groups.NAME`; what is not set is as the strategy and the optimizer have it.
_OPEN = "that of the strategy or the optimizer"
GROUP_KEYS: dict[str, Key] = {
    "learning_rate_factor": Key(_OPEN, _POSITIVE, "factor on the learning rate"),
    "weight_decay": Key(_OPEN, _NOT_NEGATIVE, "decoupled weight decay"),
    "decays": Key(_OPEN, one_of("kernels", "all"), "what decays"),
    "optimizer": Key(_OPEN, _OPTIMIZER, "update rule"),
    "schedule": Key(_OPEN, _SCHEDULE, "shape after the warm-up"),
    "schedule_steps": Key(_OPEN, whole(1), "length of the schedule"),
    "warmup": Key(_OPEN, _WARMUP, "linear warm-up, in steps, epochs or examples"),
    "norm_mode": Key(_OPEN, one_of("frozen", "adapt", "train"), "what norms do: adapt moves statistics, not weights"),
    "dropout": Key(_OPEN, _YES_NO, "whether dropout and stochastic depth are on"),
}

# What `tuning.space.KEY` takes, whatever the key.
SPACE = Key("not tuned", _RANGE, "the range or the values that trials of an arm draw from")

FREE: dict[str, str] = {
    "model.settings": "sizes of the model, checked by its family; beside a source, what differs from it",
    "model.preprocessing": "mean, std, resample, resize_to and keep_aspect of images, where not the source's or data's",
    "groups": f"settings of single groups, {{group: {{{', '.join(GROUP_KEYS)}}}}}; `tlj plan` lists the groups",
    "pretrain": "overrides that make the run of the source, trained once into WORKDIR/source; empty is no source run",
    "tuning.space": "ranges by key that trials draw from; an arm's own under declared.ARM.tuning.space",
    "declared": "declared differences of an arm from its twin: {arm: overrides}",
}
