"""Which columns of a table are used for what: as the config says, or by their usual names."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tlj.data.settings import DataSettings
from tlj.errors import InputError, nearest_name

# Of a table without data.columns, the one entry that fits is used; of labels, the first name wins over the others.
PAIRS = (("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"), ("question", "sentence"))
TEXTS = ("text", "sentence")
IMAGES = ("image", "img", "path", "file")
LABELS = ("label", "class", "target")


@dataclasses.dataclass(frozen=True)
class Columns:
    """Names of the columns in use; empty where there is none.

    Attributes:
      text: one, or two of a pair; empty for images.
    """

    text: tuple[str, ...]
    image: str
    label: str
    group: str = ""
    id: str = ""

    @property
    def kind(self) -> str:
        """``"text"`` or ``"images"``."""
        return "text" if self.text else "images"

    @property
    def content(self) -> tuple[str, ...]:
        """Columns with what a model sees."""
        return self.text or (self.image,)

    @property
    def content_key(self) -> str:
        """The key of ``data.columns`` that names the content."""
        return "text" if self.text else "image"

    @property
    def names(self) -> list[str]:
        """Every column in use, each once."""
        return list(dict.fromkeys(name for name in (*self.content, self.label, self.group, self.id) if name))


def choose_columns(names: Sequence[str], settings: DataSettings, where: str) -> Columns:
    """Returns the columns that ``data.columns`` names, or those with usual names.

    Args:
      names: of the table.
      settings: of the data.
      where: the table, for messages.

    Raises:
      InputError: for a column that is not there, or a choice that only the user can make.
    """
    if settings.text and settings.image:
        raise InputError(
            "both data.columns.text and data.columns.image are named", where="config.data.columns", do="name one"
        )
    if len(settings.text) > 2:
        raise InputError(
            f"{len(settings.text)} columns of text: {', '.join(settings.text)}",
            where="config.data.columns.text",
            do="give one, or two for pairs",
        )
    for key in ("text", "image", "label", "group", "id"):
        given = getattr(settings, key)
        for name in given if key == "text" else (given,):
            require_column(name, names, where, key)
    text, image = settings.text, settings.image
    if not text and not image:
        text, image = _usual_content(names, where)
    return Columns(text, image, settings.label or _usual_label(names, where), settings.group, settings.id)


def require_column(name: str, names: Sequence[str], where: str, key: str) -> None:
    """Raises InputError where a table lacks a column that is asked for by ``data.columns.KEY``."""
    if name and name not in names:
        raise InputError(
            f"there is no column {name!r}",
            where=where,
            nearest=nearest_name(name, names),
            do=f"set data.columns.{key} to one of {', '.join(names)}",
        )


def _usual_content(names: Sequence[str], where: str) -> tuple[tuple[str, ...], str]:
    pairs = [pair for pair in PAIRS if set(pair) <= set(names)]
    paired = {name for pair in pairs for name in pair}
    texts = [*pairs, *((name,) for name in TEXTS if name in names and name not in paired)]
    images = [name for name in IMAGES if name in names]
    if texts and images:
        raise InputError(
            f"it has text ({', '.join(texts[0])}) and images ({images[0]})",
            where=where,
            do="name the one to use in data.columns.text or data.columns.image",
        )
    if len(texts) + len(images) == 1:
        return (texts[0], "") if texts else ((), images[0])
    found = ", ".join("+".join(text) for text in texts) or ", ".join(images)
    raise InputError(
        f"several columns could be the {'text' if texts else 'image'}: {found}"
        if found
        else "no column of a usual name",
        where=where,
        do=f"set data.columns.text or data.columns.image to one of {', '.join(names)}",
    )


def _usual_label(names: Sequence[str], where: str) -> str:
    found = [name for name in LABELS if name in names]
    if found[:1] == ["label"] or len(found) == 1:
        return found[0]
    raise InputError(
        f"several columns could be the label: {', '.join(found)}" if found else "there is no column 'label'",
        where=where,
        do=f"set data.columns.label to one of {', '.join(names)}",
    )
