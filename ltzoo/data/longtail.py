"""Imbalance profiles: how many training images of each class a benchmark keeps."""


def exponential_counts(num_classes: int, n_max: int, imbalance_factor: float) -> tuple[int, ...]:
    """Compute the class counts of the exponential profile: n_j = int(n_max * (1 / IF)^(j / (C - 1))) (Cao 2019).

    Args:
        num_classes: C, at least 2.
        n_max: images of class 0.
        imbalance_factor: IF = n_max / n_min.
    """
    return tuple(int(n_max * (1 / imbalance_factor) ** (j / (num_classes - 1))) for j in range(num_classes))


def step_counts(num_classes: int, n_max: int, imbalance_factor: float) -> tuple[int, ...]:
    """Compute the class counts of the step profile: n_max in the first half of the classes, n_max / IF in the second.

    Args:
        num_classes: C, even.
        n_max: images of each class of the first half.
        imbalance_factor: IF = n_max / n_min.
    """
    half = num_classes // 2
    return (n_max,) * half + (int(n_max / imbalance_factor),) * (num_classes - half)
