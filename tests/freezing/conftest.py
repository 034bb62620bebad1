"""One tiny model of every family, and the complete phases of a strategy on a model."""

import pytest

from tlj.freezing.phases import Group, Layout, Plateau
from tlj.freezing.settings import Timing, apply_settings
from tlj.freezing.strategies import parse_strategy
from tlj.models.bert import BERTSpec
from tlj.models.lora import Adapters
from tlj.models.resnet import ResNetSpec
from tlj.models.vit import ViTSpec
from tlj.training.setup import model_layout

SPECS = {
    "vit": ViTSpec(num_classes=3, image_size=8, patch_size=4, width=16, depth=3, heads=2),
    "resnet": ResNetSpec(
        num_classes=3,
        image_size=8,
        stem="cifar",
        stem_width=8,
        block="basic",
        stage_depths=(1, 1),
        stage_widths=(8, 16),
    ),
    "bert": BERTSpec(num_classes=3, vocabulary=50, width=16, depth=4, heads=2, positions=12, types=2),
}
DEFAULTS = dict(
    learning_rate=0.01, weight_decay=0.1, optimizer="adamw", schedule="cosine", schedule_steps=20, warmup_steps=2
)


@pytest.fixture(scope="session")
def layouts():
    """The layout of a tiny model of every family, by its name."""
    return {family: model_layout(spec) for family, spec in SPECS.items()}


@pytest.fixture(scope="session")
def specs():
    """A tiny model of every family, by its name."""
    return SPECS


@pytest.fixture(scope="session")
def settle():
    """Completes groups: ``settle(phases, layout, {"head": {"dropout": False}}, learning_rate=0.5)``."""

    def apply(phases, layout, of_groups=None, **defaults):
        return apply_settings(phases, layout, Group("", **{**DEFAULTS, **defaults}), of_groups or {})

    return apply


@pytest.fixture(scope="session")
def phases_of(settle):
    """Returns the complete phases of a strategy: ``phases_of(spec, "gradual:5", steps=20, **groups)``."""

    def phases(spec, text, *, steps=20, rules=(), groups=None, **defaults):
        strategy = parse_strategy(text)
        if isinstance(spec, Layout):
            layout = spec
        else:
            layout = model_layout(spec, Adapters(strategy.rank) if strategy.rank else None)
        yielded = strategy.phases(layout, Timing(steps, Plateau()), rules)
        return settle(yielded, layout, groups, schedule_steps=steps, **defaults)

    return phases


@pytest.fixture(scope="session")
def phase_of(phases_of):
    """Returns the one phase of a strategy that has one."""

    def phase(*arguments, **settings):
        (only,) = phases_of(*arguments, **settings)
        return only

    return phase


@pytest.fixture(scope="session")
def refusal():
    """Returns the error that a call raises, which prints as one line: ``refusal(function, *arguments)``."""
    from tlj.errors import InputError

    def raised(function, *arguments, **settings):
        with pytest.raises(InputError) as caught:
            function(*arguments, **settings)
        assert "\n" not in str(caught.value)
        return caught.value

    return raised
