"""The command line: which verbs there are, the words that each takes, and the exit code."""

from __future__ import annotations

import argparse
import dataclasses
import gc
import os
import pathlib
import shlex
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence

from tlj import verbs
from tlj.cli_flags import ADVISE, AUDIT, BENCH, EXPORT, PLAN, PREDICT, PROCESSES, RATES, REPORT, STEP, SWEEP, take
from tlj.config_keys import FREE, KEYS
from tlj.config_kinds import spell
from tlj.distributed import SAVED_AND_STOPPED, PreemptedError, end_together
from tlj.errors import InputError, RunError, nearest_name, one_line, unknown_name
from tlj.evidence.advice.verb import advise
from tlj.evidence.report_verb import report
from tlj.experiments.sweep_verb import sweep

_EXIT_CODES = "exit codes: 0 done, 2 bad input, 75 stopped by SIGTERM (run again to go on), 1 anything else"


@dataclasses.dataclass(frozen=True)
class Verb:
    """One verb: what it does, an example, the function that does it, and the arguments it takes."""

    summary: str
    example: str
    run: Callable[[argparse.Namespace], int | None]
    flags: Mapping[str, Mapping] = dataclasses.field(default_factory=dict)
    folder: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one verb.

    Args:
      argv: the words after ``tlj``; by default those of this process.

    Returns:
      The exit code: 0 done, 2 bad input, 75 stopped by SIGTERM, 1 stopped by Ctrl-C, by what is not the input, or, of a
      strict audit, by a leak. Any other exception passes through: exit code 1 too.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    return end_together(lambda: _exit_code(argv))


def _exit_code(argv: list[str]) -> int:
    """Runs one verb, and says in a line what stopped it."""
    # Importing and tracing make hundreds of thousands of objects that stay: looking for garbage among them every 700 is
    # a sixth of the time to the first step.
    gc.set_threshold(50_000, 20, 50)
    try:
        arguments = parse(argv)
        with warnings.catch_warnings():
            _show_warnings_as_lines()
            code = VERBS[arguments.verb].run(arguments)
    except InputError as error:
        print(f"tlj: {error}", file=sys.stderr)
        return 2
    except PreemptedError as error:
        print(f"tlj: {error}", file=sys.stderr)
        return SAVED_AND_STOPPED
    except RunError as error:
        print(f"tlj: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tlj: stopped; run the same command again to resume", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of a pipe, such as head, has seen enough; Python must not complain at its exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception:
        if not (line := _why_no_devices()):
            raise
        print(f"tlj: {line}", file=sys.stderr)
        return 1
    return code or 0


def _why_no_devices() -> str:
    """Says why JAX has no devices, which it tells in different ways; nothing where it has some, or was not asked."""
    jax = sys.modules.get("jax")
    try:
        if jax is not None and hasattr(jax, "devices"):
            jax.devices()
    except Exception as error:
        asked = os.environ.get("JAX_PLATFORMS", "")
        why = one_line(str(error).partition(" (set JAX_PLATFORMS")[0]) or "nothing that it could ask is installed"
        do = "unset JAX_PLATFORMS, or install tlj[cuda] or tlj[tpu]"
        return f"JAX has no device with JAX_PLATFORMS={asked}: {why}; {do}"
    return ""


def _show_warnings_as_lines() -> None:
    """What tlj warns of is one line, like its errors: whose code it came from is nothing to a user."""
    show = warnings.showwarning
    ours = str(pathlib.Path(__file__).parent)

    def show_as_line(message, category, filename, lineno, file=None, line=None):
        if filename.startswith(ours):
            print(f"tlj: {one_line(str(message).removeprefix('tlj: '))}", file=sys.stderr)
        else:
            show(message, category, filename, lineno, file, line)

    warnings.showwarning = show_as_line


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Returns the parsed words: ``verb``, its flags, ``overrides`` (``a.b=value``) and the whole ``command``.

    Raises:
      InputError: the verb, a flag or an argument is missing or unknown.
      SystemExit: with 0, after ``--help`` and ``--version``.
    """
    words, overrides = _take_overrides(argv)
    if not words or not (words[0] in VERBS or words[0] in ("-h", "--help", "--version")):
        if words and not words[0].startswith("-"):
            raise unknown_name("verb", words[0], VERBS)
        raise InputError("no verb", do=f"write one of {', '.join(VERBS)} first, or --help")
    arguments, rest = _parser().parse_known_args(words)
    if rest:
        raise _unknown_word(rest[0], arguments.verb)
    # Asked for here and not by argparse, which would not name a misspelt flag but call the right one missing.
    if getattr(arguments, "config", "") is None and not _may_do_without(arguments):
        raise InputError("no configuration", where=arguments.verb, do="give --config=FILE, such as configs/digits.py")
    if overrides and "--config" not in VERBS[arguments.verb].flags:
        name = overrides[0].partition("=")[0]
        raise InputError(f"{arguments.verb} takes no configuration", where=f"--config.{name}", do="leave it out")
    arguments.overrides = overrides
    arguments.command = shlex.join(["tlj", *argv])
    return arguments


def _may_do_without(arguments: argparse.Namespace) -> bool:
    """Whether a verb that takes a configuration file was asked for what the defaults are enough for."""
    return arguments.verb in ("audit", "predict") or getattr(arguments, "input_only", False)


def _take_overrides(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits the words into those for argparse and the overrides, from `--config.a.b=value` or `--config.a.b value`."""
    words, overrides = [], []
    rest = iter(argv)
    for word in rest:
        if not word.startswith("--config."):
            words.append(word)
            continue
        if "=" not in word:
            value = next(rest, None)
            if value is None or value.startswith("--"):
                raise InputError("no value", where=word, do=f"write {word}=VALUE")
            word = f"{word}={value}"
        overrides.append(word.removeprefix("--config."))
    return words, overrides


def _unknown_word(word: str, verb: str) -> InputError:
    if not word.startswith("-"):
        return InputError(f"unexpected argument {word!r}", where=verb, do=f"see `tlj {verb} --help`")
    flag, flags = word.partition("=")[0], VERBS[verb].flags
    keys = [name for name in KEYS if name.split(".")[-1] == flag.lstrip("-")] if "--config" in flags else []
    near = f"--config.{keys[0]}" if keys else nearest_name(flag, flags)
    do = f"use one of {', '.join((*flags, '--help'))}"
    return InputError(f"unknown flag {flag!r}", where=verb, nearest=near, do=do)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, like all others."""

    def error(self, message: str):
        raise InputError(message, where=self.prog.removeprefix("tlj "), do=f"see `{self.prog} --help`")


class _Version(argparse.Action):
    """Prints the version; looking it up takes time that the other verbs should not pay."""

    def __call__(self, parser, namespace, values, option_string=None):
        import importlib.metadata

        try:
            print(f"tlj {importlib.metadata.version('tlj')}")
        except importlib.metadata.PackageNotFoundError:
            print("tlj, from source and not installed")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    layout = dict(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    examples = "\n".join(f"  {verb.example}" for verb in VERBS.values())
    parser = _Parser(
        prog="tlj",
        description="Should I transfer a pretrained backbone or train from scratch, and how much of it should I train?",
        epilog=f"examples:\n{examples}\n\n{_EXIT_CODES}",
        **layout,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for name, verb in VERBS.items():
        summary = f"{verb.summary[0].upper()}{verb.summary[1:]}."
        epilog = f"example:\n  {verb.example}" + (_keys_help() if "--config" in verb.flags else "")
        subparser = subparsers.add_parser(name, help=verb.summary, description=summary, epilog=epilog, **layout)
        if verb.folder:
            subparser.add_argument("folder", metavar=verb.folder, type=pathlib.Path)
        for flag, meaning in verb.flags.items():
            subparser.add_argument(flag, **meaning)
    return parser


def _keys_help() -> str:
    rows = [(f"--config.{name}={spell(key.default)}", key.meaning) for name, key in KEYS.items()]
    rows += [(f"--config.{name}.KEY=", meaning) for name, meaning in FREE.items()]
    return "\n\nkeys, with their defaults:\n" + "\n".join(f"  {key:40} {meaning}" for key, meaning in rows)


VERBS: dict[str, Verb] = {
    "compare": Verb(
        "train every arm at every label budget and seed, and report which helps; resumes",
        "tlj compare --config=configs/digits.py --workdir=runs/digits",
        verbs.compare,
        {**take("--config", "--workdir", "--dry-run", "--no-compile-cache"), **PROCESSES},
    ),
    "train": Verb(
        "train one run; resumes",
        "tlj train --config=configs/digits.py --workdir=runs/one --config.strategy=full "
        "--config.model.source=runs/digits/source",
        verbs.train,
        {**take("--config", "--workdir", "--dry-run", "--no-compile-cache"), **PROCESSES},
    ),
    "report": Verb(
        "rebuild the report of a comparison from its run files",
        "tlj report runs/digits",
        report,
        REPORT,
        folder="DIR",
    ),
    "plan": Verb(
        "show what each phase would train, and its cost, without training",
        "tlj plan --config=configs/digits.py --config.strategy=last_blocks:1",
        verbs.plan,
        {**take("--config", "--workdir", "--json"), **PLAN},
    ),
    "find-lr": Verb(
        "try learning rates that grow on the first steps of a run, and suggest one; leaves the run as it is",
        "tlj find-lr --config=configs/digits.py --config.strategy=scratch --highest=10",
        verbs.find_rate,
        {**take("--config", "--workdir", "--json", "--no-compile-cache"), **RATES, **PROCESSES},
    ),
    "bench": Verb(
        "measure the step time of each phase of strategies beside its FLOPs, or what the training loop costs besides",
        "tlj bench --config=configs/digits.py --strategies=linear_probe,last_blocks:1,full",
        verbs.bench,
        {**take("--config"), **BENCH, **PROCESSES},
    ),
    "audit": Verb(
        "say what is wrong with labelled data before any training: leaks, duplicates, conflicts, what cannot be read",
        "tlj audit --data=folder:photographs --config.data.test=val",
        verbs.audit,
        AUDIT,
    ),
    "predict": Verb(
        "write what a trained model says of labelled data",
        "tlj predict runs/digits/runs/full/538/0 --data=digits:5-9",
        verbs.predict,
        {**PREDICT, **take("--no-compile-cache")},
        folder="RUN",
    ),
    "inspect": Verb(
        "show what a checkpoint holds, and what moved: of a run, its checkpoints folder, or one by itself",
        "tlj inspect runs/digits/runs/full/10/0",
        verbs.inspect,
        {"--step": STEP, **take("--json")},
        folder="DIR",
    ),
    "export": Verb(
        "write a model for others: the layout of transformers, torch names, or a program that runs without tlj",
        "tlj export runs/digits/runs/full/10/0 --to=exported --format=huggingface",
        verbs.export,
        EXPORT,
        folder="RUN",
    ),
    "advise": Verb(
        "say what to train, with how many labels, for how much, and what to run next",
        "tlj advise runs/digits --label-cost=0.05 --budget=500 --target=0.9",
        advise,
        {**ADVISE, **take("--json")},
        folder="DIR",
    ),
    "sweep": Verb(
        "run each member that a file's sweep() declares, and show a table of them; resumes",
        "tlj sweep --config=configs/strategies.py --workdir=runs/each --config.model.source=runs/digits/source",
        sweep,
        {**take("--config", "--workdir"), **SWEEP},
    ),
}
