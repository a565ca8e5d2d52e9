"""The landscape of each class: Hessian spectra of trained models, what they say of saddle points, and pictures."""

from ltzoo.landscape.analysis import DOCUMENT, Analysis, read_document
from ltzoo.landscape.class_sets import ClassSet, parse_class_sets
from ltzoo.landscape.curvature import Curvature
from ltzoo.landscape.escape import Escape, escape_tables, measure_escape
from ltzoo.landscape.lanczos import Eigenpair, Lanczos
from ltzoo.landscape.pictures import pictures_of
from ltzoo.landscape.plane import Plane, loss_plane
from ltzoo.landscape.rows import ratio
from ltzoo.landscape.settings import Settings
from ltzoo.landscape.spectrum import Density, Spectrum, measure_spectrum
from ltzoo.landscape.subject import Subject, read_subject, read_subjects

__all__ = [
    "DOCUMENT",
    "Analysis",
    "ClassSet",
    "Curvature",
    "Density",
    "Eigenpair",
    "Escape",
    "Lanczos",
    "Plane",
    "Settings",
    "Spectrum",
    "Subject",
    "escape_tables",
    "loss_plane",
    "measure_escape",
    "measure_spectrum",
    "parse_class_sets",
    "pictures_of",
    "ratio",
    "read_document",
    "read_subject",
    "read_subjects",
]
