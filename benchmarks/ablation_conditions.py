"""What runs of benchmarks/ablate.py differ in, in one table, and which of them are compared."""

from benchmarks.ablation import Condition
from embedonce.models.losses.registry import loss_terms
from embedonce.models.names import ATTENTION, MEAN, PROJECTIONS

SEVERAL, ONE = (0, 1, 2), (0,)
FULL = Condition("all")


def only(**weights: float) -> dict[str, float]:
    """Weights of loss terms, by option; 0 for all other registered terms."""
    return {term.weight.name: 0.0 for term in loss_terms()} | weights


IN_TIME = [(ATTENTION, 0.1), (MEAN, 0.0), (MEAN, 0.1)]  # "all, K=0" has attention and is not moved
OTHER_FEATURES = ("clip_distance", "frame_distance", "smooth_l1", "centered", "relational")  # in place of alpha's term

CONDITIONS: list[tuple[Condition, tuple[int, ...]]] = [
    (FULL, SEVERAL),
    *((Condition(f"all, K={views}", views=views), SEVERAL) for views in (0, 1, 4, 8)),
    (Condition("labels only", weights=only(gamma=1.0)), SEVERAL),
    (Condition("response only", weights={"alpha": 0.0, "gamma": 0.0}), ONE),
    (Condition("feature only", weights={"beta": 0.0, "gamma": 0.0}), ONE),
    (Condition("feature and response", weights={"gamma": 0.0}), ONE),
    (Condition("feature and labels", weights={"beta": 0.0}), ONE),
    *((Condition(f"beta={beta:g}", weights={"beta": beta}), ONE) for beta in (0.03, 0.3, 1.0)),
    (Condition("gamma=2", weights={"gamma": 2.0}), ONE),
    (Condition("10 % of labels, labels only", labels=0.1, weights=only(gamma=1.0)), SEVERAL),
    (Condition("10 % of labels, all", labels=0.1), SEVERAL),
    (Condition("teacher in the loop, same views", teacher="live"), SEVERAL),
    (Condition("teacher in the loop, fresh views", teacher="fresh"), SEVERAL),
    *((Condition(f"projection {name}", projection=name), ONE) for name in PROJECTIONS[1:]),
    *((Condition(name, weights={"alpha": 0.0, f"{name}_weight": 1.0}), ONE) for name in OTHER_FEATURES),
    *((Condition(f"{pool}, shift={s:g}", views=0, pooling=pool, time_shift=s), SEVERAL) for pool, s in IN_TIME),
    *((Condition(f"T={t:g}", temperature=t), ONE) for t in (1.0, 2.0)),
    (Condition("int8 blocks", blocks=True), ONE),
]
COMPARED = [  # differences reported: first minus second
    *((condition.name, FULL.name) for condition, _ in CONDITIONS if condition is not FULL),
    *((f"all, K={views}", "all, K=0") for views in (1, 4, 8)),
    *((f"all, K={views}", "all, K=1") for views in (4, 8)),
    ("10 % of labels, all", "10 % of labels, labels only"),
    *((name, "labels only") for name in ("feature and labels", "beta=0.03", "beta=0.3", "beta=1", "gamma=2")),
    *((f"{pool}, shift={share:g}", "all, K=0") for pool, share in IN_TIME),
]


def chosen_runs(only: str, num_seeds: int) -> list[tuple[Condition, int]]:
    """(condition, seed) of the condition with this name, or of those whose names contain it; at most so many seeds."""
    is_name = any(condition.name == only for condition, _ in CONDITIONS)
    return [
        (condition, seed)
        for condition, seeds in CONDITIONS
        if (condition.name == only if is_name else only in condition.name)
        for seed in seeds[:num_seeds]
    ]
