"""The loss landscape of each class: Hessian spectra of trained models, escape from saddle points, and plots."""

from ltzoo.landscape.analysis import AnalysedImages, Analysis
from ltzoo.landscape.checkpoints import RunCheckpoint, read_checkpoint, read_checkpoints
from ltzoo.landscape.curvature import Curvature
from ltzoo.landscape.document import DOCUMENT, read_document
from ltzoo.landscape.escape import Escape, escape_tables, measure_escape
from ltzoo.landscape.lanczos import Eigenpair, Lanczos
from ltzoo.landscape.plane import Plane, loss_plane
from ltzoo.landscape.plots import plots_of
from ltzoo.landscape.records import ratio
from ltzoo.landscape.settings import ClassSet, Settings, parse_class_sets
from ltzoo.landscape.spectrum import Density, Spectrum, measure_spectrum

__all__ = [
    "DOCUMENT",
    "AnalysedImages",
    "Analysis",
    "ClassSet",
    "Curvature",
    "Density",
    "Eigenpair",
    "Escape",
    "Lanczos",
    "Plane",
    "RunCheckpoint",
    "Settings",
    "Spectrum",
    "escape_tables",
    "loss_plane",
    "measure_escape",
    "measure_spectrum",
    "parse_class_sets",
    "plots_of",
    "ratio",
    "read_checkpoint",
    "read_checkpoints",
    "read_document",
]
