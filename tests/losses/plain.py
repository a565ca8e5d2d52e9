"""Contrastive losses written out in numpy, image by image, and derivatives by complex steps; no line of ltzoo's."""

import numpy as np
from scipy.special import ive

COUNTS = [60, 30, 9, 4]
SIZES = {"hidden_size": 7, "projection_size": 6}


def derivative(function, x):
    """The gradient of a function of an array; it must be analytic. Exact to rounding: nothing is subtracted."""
    found, x = np.zeros(x.shape), x.astype(complex)
    for place in np.ndindex(x.shape):
        kept = x[place]
        x[place] = kept + 1e-20j
        found[place] = function(x).imag / 1e-20
        x[place] = kept
    return found


def layers_of(head):
    """A projection head's weights, as arrays by name."""
    return {name: value.detach().numpy().copy() for name, value in head.layers.named_parameters()}


def unit(vector):
    return vector / np.sqrt((vector * vector).sum())


def project(layers, vectors):
    """Linear, BatchNorm with the vectors' own statistics, ReLU, linear, unit length."""
    hidden = np.array([layers["0.weight"] @ vector + layers["0.bias"] for vector in vectors])
    mean = hidden.mean(axis=0)
    variance = ((hidden - mean) ** 2).mean(axis=0)
    hidden = (hidden - mean) / np.sqrt(variance + 1e-5) * layers["1.weight"] + layers["1.bias"]
    hidden = np.where(hidden.real > 0, hidden, 0)
    return np.array([unit(layers["3.weight"] @ vector + layers["3.bias"]) for vector in hidden])


def project_views(layers, features):
    """Of (B, V, F), with one BatchNorm for all."""
    flat = project(layers, features.reshape(-1, features.shape[-1]))
    return flat.reshape(*features.shape[:2], -1)


def adjusted(logits, label):
    """Logit-adjusted cross-entropy, tau = 1, of one image."""
    z = [logits[j] + np.log(COUNTS[j] / sum(COUNTS)) for j in range(len(COUNTS))]
    return log_sum(z) - z[label]


def log_sum(z):
    largest = max(value.real for value in z)
    return largest + np.log(sum(np.exp(value - largest) for value in z))


def log_bessel(order, x):
    """log(I(x) / x^order) by scipy's real Bessel functions; its complex ones are too coarse for complex steps."""
    real = x.real
    value = np.log(ive(order, real)) + real - order * np.log(real)
    return value + ive(order + 1, real) / ive(order, real) * (x - real)


def concentration(mean):
    length = np.sqrt((mean * mean).sum())
    return 1e5 if length >= 1 else min(1e5, len(mean) * length / (1 - length**2))


def proco_logit(u, mean, temperature):
    """log C(kappa) - log C(|kappa * mu + u / T|)."""
    kappa, order = concentration(mean), len(mean) / 2 - 1
    tilted = kappa * unit(mean) + u / temperature
    return log_bessel(order, np.sqrt((tilted * tilted).sum())) - log_bessel(order, np.float64(kappa))


def add_to_means(means, counts, vectors, labels):
    """Running means of the classes, one vector after the other."""
    means, counts = means.copy(), counts.copy()
    for vector, j in zip(vectors.real, labels, strict=True):
        means[j] = (means[j] * counts[j] + vector) / (counts[j] + 1) if counts[j] else vector
        counts[j] += 1
    return means, counts


def proco(logits, features, labels, layers, means, counts, temperature, scale, weight):
    """One value per image."""
    u = project_views(layers, features)
    losses = [adjusted(scale * logits[i, 0], labels[i]) for i in range(len(labels))]
    for view in (1, 2):
        means, counts = add_to_means(means, counts, u[:, view], labels)
        for i in range(len(labels)):
            g = [proco_logit(u[i, view], mean, temperature) for mean in means]
            losses[i] += weight * adjusted(g, labels[i]) / 2
    return losses


def bcl(logits, features, labels, layers, prototype_layers, classifier, temperature, scale, ce_weight, contrast_weight):
    """One value per image."""
    u, prototypes = project_views(layers, features), project(prototype_layers, classifier)
    sets = [[prototypes[j]] + [u[i, v] for i in range(len(labels)) for v in (1, 2) if labels[i] == j] for j in range(4)]
    losses = []
    for i, y in enumerate(labels):
        contrast = 0
        for view in (1, 2):
            anchor = u[i, view]
            without = [[k for k in members if not np.array_equal(k, anchor)] for members in sets]
            spread = sum(
                sum(np.exp((anchor * k).sum() / temperature) for k in members) / len(members) for members in without
            )
            terms = [np.log(spread) - (anchor * p).sum() / temperature for p in without[y]]
            contrast += sum(terms) / len(terms) / 2
        losses.append(ce_weight * adjusted(scale * logits[i, 0], y) + contrast_weight * contrast)
    return losses


def paco(logits, features, labels, layers, keys, queue, queue_labels, temperature, alpha):
    """One value per image; keys (B, P) and the queue are given."""
    q = project(layers, features)
    losses = []
    for i, y in enumerate(labels):
        others = [(q[j], labels[j]) for j in range(len(labels)) if j != i]
        others += list(zip(keys, labels, strict=True)) + list(zip(queue, queue_labels, strict=True))
        z = [logits[i, j] + np.log(COUNTS[j] / sum(COUNTS)) for j in range(len(COUNTS))]
        v = [float(j == y) for j in range(len(COUNTS))]
        for x, label in others:
            z.append((q[i] * x).sum() / temperature)
            v.append(alpha * (label == y))
        total = log_sum(z)
        losses.append(-sum(weight * (value - total) for weight, value in zip(v, z, strict=True)) / sum(v))
    return losses
