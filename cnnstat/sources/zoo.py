"""cnnstat's own reference models: the papers' networks that no maintained library ships."""

from __future__ import annotations

from cnnstat.inputs import Inputs, InputSpec
from cnnstat.sources.base import Spec, Subject
from cnnstat.sources.factory import call_factory
from cnnstat.zoo import MODELS


def names() -> list[str]:
    """All names of `cnnstat.zoo.MODELS`."""
    return list(MODELS)


def subject(spec: Spec) -> Subject:
    """The model that `spec` names."""
    entry = MODELS[spec.name]
    return Subject(
        name=spec.name,
        spec=spec.pinned,
        source="zoo",
        build=lambda: call_factory(entry.load(), spec.args, spec.pinned),
        inputs=Inputs((InputSpec(entry.input),)),
    )
