"""Which optimizer trains a student, and with which learning rate and weight decay. Imports nothing that computes."""

from dataclasses import dataclass

from embedonce.models.names import ADAMW, MUON


@dataclass(frozen=True)
class OptimizerChoice:
    """name: MUON or ADAMW. lr: the peak learning rate. weight_decay: of matrices and kernels."""

    name: str
    lr: float
    weight_decay: float

    def __str__(self) -> str:
        return f"{self.name}, learning rate {self.lr:g}, weight decay {self.weight_decay:g}"


# Measured with students from scratch, on photographs and on synthetic clips (docs/distillation.md); AdamW's are those
# with which pretrained weights have been trained on so far.
DEFAULTS = {MUON: OptimizerChoice(MUON, lr=2e-3, weight_decay=0.3), ADAMW: OptimizerChoice(ADAMW, 1e-3, 0.05)}


def choose_optimizer(
    name: str | None, lr: float | None, weight_decay: float | None, pretrained: bool
) -> OptimizerChoice:
    """The options of train-student, with what was not given filled in. pretrained: whether the student starts so."""
    usual = DEFAULTS[name or (ADAMW if pretrained else MUON)]
    return OptimizerChoice(
        usual.name,
        usual.lr if lr is None else lr,
        usual.weight_decay if weight_decay is None else weight_decay,
    )


def default_text(field: str) -> str:
    """The defaults of a field of OptimizerChoice, by optimizer."""
    return ", ".join(f"{getattr(usual, field):g} with {name}" for name, usual in DEFAULTS.items())
