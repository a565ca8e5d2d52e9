"""Recipes as documents: to dictionaries and YAML and back, with every field checked against its type."""

import copy
import difflib
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import yaml

from ltzoo.data import SAMPLERS, Sampler
from ltzoo.errors import InputError, printable, shown
from ltzoo.losses import LOSSES, REWEIGHTINGS, Loss, Reweighting
from ltzoo.reading.errors import ContentError
from ltzoo.reading.yaml_text import read_yaml
from ltzoo.recipes.parts import HEADS, STARTS, Head, Start
from ltzoo.recipes.recipe import Recipe
from ltzoo.sharpness import PERTURBATIONS, RADIUS_SCHEDULES, Perturbation, RadiusSchedule
from ltzoo.versions import NewerError, named_if_newer

_KINDS: dict[type, Mapping[str, type]] = {
    Start: STARTS,
    Head: HEADS,
    Sampler: SAMPLERS,
    Loss: LOSSES,
    Reweighting: REWEIGHTINGS,
    Perturbation: PERTURBATIONS,
    RadiusSchedule: RADIUS_SCHEDULES,
}
"""Types of fields that hold one of several records; the record's `name` says which."""

_IDENTITY = ("name", "protocol", "source", "published")
"""Fields that identify a recipe; `override` refuses them."""

_COMPUTING = "precision"
"""Each run chooses this field itself and records it beside its figures; a change of it is not an override."""

_YAML_FAULTS = (yaml.YAMLError, ValueError, AttributeError, RecursionError)
"""What PyYAML raises; for an impossible date or tag it is not a YAMLError."""

Document = dict[str, Any]


class _UnknownKeyError(InputError):
    """A document has a key that its record lacks."""


def recipe_to_dict(recipe: Recipe) -> Document:
    """Turn a recipe into plain dictionaries, lists, numbers and strings."""
    return _plain(recipe)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        named = {"name": cast(Any, value).name} if isinstance(value, tuple(_KINDS)) else {}
        return named | {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def recipe_from_dict(document: Mapping[str, Any]) -> Recipe:
    """Build a recipe from a document.

    Raises:
        InputError: a key is unknown or missing, or a value has the wrong type or is not allowed, each named by its
            path; or the document was written by version 0.1.
    """
    if isinstance(document, Mapping) and "classifier" in document and "head" not in document:
        name = str(document.get("name", "NAME"))[:80]
        raise InputError(
            f"the recipe {shown(name)} was written by ltzoo 0.1, and this version cannot read its format; copy its "
            f"settings into the output of `ltzoo show {name}`, or use ltzoo 0.1"
        )
    try:
        return _record(Recipe, document, "")
    except _UnknownKeyError as error:
        raise InputError(f"{error}; a newer version of ltzoo may have written it") from error


def _record(kind: type, document: Any, path: str) -> Any:
    """Build a dataclass, or one of the records that a field can hold, from a mapping."""
    if not isinstance(document, Mapping):
        raise InputError(f"{path or 'the recipe'} must be a mapping, not {shown(document)}")
    values = dict(document)
    if kind in _KINDS:
        name = values.pop("name", None)
        if not isinstance(name, str) or name not in _KINDS[kind]:
            raise InputError(f"{path}.name must be one of {', '.join(_KINDS[kind])}, not {shown(name)}")
        kind = _KINDS[kind][name]
    hints = _field_types(kind)
    # Fields added later have defaults, so that documents written before can still be read.
    required = {field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING}
    where = f"{path}." if path else ""
    for key in [*values, *hints]:
        if key not in hints:
            known = ", ".join(where + name for name in hints) or "none"
            raise _UnknownKeyError(f"unknown key {where}{printable(str(key)[:80])}; there are {known}")
        if key not in values and key in required:
            raise InputError(f"{where}{key} is missing")
    built = {key: _value(hint, values[key], where + key) for key, hint in hints.items() if key in values}
    try:
        return kind(**built)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path or 'recipe'}: {str(error)[:400]}") from error


@cache
def _field_types(kind: type) -> dict[str, Any]:
    """Resolve the types of a dataclass's fields."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _value(hint: Any, value: Any, path: str) -> Any:
    """Check a value against the type of its field; a float field accepts whole numbers too."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        # A mapping is a record; a number or text is not.
        record = isinstance(value, Mapping) and any(is_dataclass(kind) for kind in arguments)
        fitting = [a for a in arguments if a is not type(None) and (not record or is_dataclass(a))]
        return _value(fitting[0], value, path)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{path} must be a list, not {shown(value)}")
        return tuple(_value(arguments[0], item, f"{path}[{k}]") for k, item in enumerate(value))
    if origin is Literal:
        if value not in arguments:
            raise InputError(f"{path} must be one of {', '.join(arguments)}, not {shown(value)}")
        return value
    if is_dataclass(hint):
        return _record(cast(type, hint), value, path)
    if hint is float:
        return _number(value, path)
    if hint not in _WORDS:
        kind = hint.__name__ if isinstance(hint, type) else hint
        raise InputError(
            f"{path}: a field of type {kind} cannot be written in a recipe; "
            "use int, float, bool, str, Literal, tuple[...] or a record"
        )
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise InputError(f"{path} must be {_WORDS[hint]}, not {shown(value)}")
    return value


def _number(value: Any, path: str) -> float:
    """Parse a finite number; also text such as 1e-3, which YAML does not read as a number."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{path} must be a number, not {shown(value)}")
    return number


_WORDS = {int: "a whole number", bool: "true or false", str: "text"}


def to_yaml(document: Mapping[str, Any]) -> str:
    """Format a document as YAML, with keys in their order and short lists on one line."""
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """YAML with lists of numbers or words on one line."""


def _represent_list(dumper: _Dumper, items: list[Any]) -> yaml.Node:
    short = all(not isinstance(item, list | dict) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=short)


_Dumper.add_representer(list, _represent_list)


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from YAML, as `ltzoo show` and a run's `recipe.yaml` write it.

    Raises:
        InputError: the file is missing, is not YAML, or is not a recipe.
        NewerError: it is a run's, of a newer version of ltzoo, and has what this one does not know.
    """
    try:
        document = read_yaml(path)
    except ContentError as error:
        raise InputError(f"{path} cannot be read as a recipe: {error}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} is not a recipe: it must be a mapping, as `ltzoo show NAME` prints it")
    # A run adds these keys to its recipe.yaml; they describe the run, not the recipe.
    recipe_part = {key: value for key, value in document.items() if key not in ("overrides", "run")}
    run = document.get("run")
    try:
        with named_if_newer(path, run.get("versions") if isinstance(run, Mapping) else None):
            return recipe_from_dict(recipe_part)
    except NewerError:
        raise
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def parse_setting(text: str, flag: str = "--set") -> tuple[str, Any]:
    """Parse `key=value`, where the value is YAML.

    Args:
        text: the setting.
        flag: the option that it was given to, for the error message.

    Raises:
        InputError: there is no `=`, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise InputError(f"{flag} must be key=value, as in {flag} optimizer.lr=0.05, not {text!r}")
    try:
        return key, yaml.safe_load(value)
    except _YAML_FAULTS as error:
        raise InputError(f"{flag} {key}: {value!r} is not YAML ({' '.join(str(error).split())[:80]})") from error


def override(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """Change fields of a recipe.

    Args:
        recipe: the recipe.
        settings: values by dotted keys, such as `perturbation.rho_tail`. A whole record is a mapping with its `name`.

    Raises:
        InputError: a key is unknown or identifies the recipe, or a value is not allowed.
    """
    document = recipe_to_dict(recipe)
    for key, value in settings.items():
        *parents, last = key.split(".")
        if key.split(".")[0] in _IDENTITY:
            raise InputError(f"{key} identifies the recipe and cannot be set; register a custom recipe instead")
        place: Any = document
        for depth, parent in enumerate(parents, 1):
            within = _by_key(place)
            place = within.get(parent)
            if place is None and parent in within:
                whole = ".".join(parents[:depth])
                raise InputError(f"{key} cannot be set, since {whole} is null; set it whole, {whole}={{name: ...}}")
        if last not in _by_key(place):
            known = [k for k in flatten(recipe_to_dict(recipe)) if k.split(".")[0] not in _IDENTITY]
            near = ", ".join(difflib.get_close_matches(key, known, n=3, cutoff=0))
            raise InputError(f"unknown key {key}; the nearest are {near}; `ltzoo show {recipe.name}` prints all keys")
        place[int(last) if isinstance(place, list) else last] = copy.deepcopy(value)
    return _record(Recipe, document, "")


def flatten(document: Mapping[str, Any], prefix: str = "") -> Document:
    """Flatten nested mappings, and lists of them, to dotted keys: `views.0.crop_padding`."""
    flat: Document = {}
    for key, value in document.items():
        within = _by_key(value)
        flat |= flatten(within, f"{prefix}{key}.") if within else {prefix + key: value}
    return flat


def _by_key(value: Any) -> Document:
    """Return the entries of a mapping, or of a list of mappings by their index; none for any other value."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return {str(index): item for index, item in enumerate(value)}
    return {}


def differences(used: Recipe, registered: Recipe) -> dict[str, list[Any]]:
    """List the fields in which two recipes differ: dotted key to [registered, used], None where a field is missing.

    Precision is left out, since each run chooses its own and records it.
    """
    found = _differing(recipe_to_dict(registered), recipe_to_dict(used), "")
    found.pop(_COMPUTING, None)
    return found


def _differing(a: Document, b: Document, prefix: str) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for key in [*a, *(key for key in b if key not in a)]:
        x, y = a.get(key), b.get(key)
        if _by_key(x) and _by_key(y):
            found |= _differing(_by_key(x), _by_key(y), f"{prefix}{key}.")
        elif x != y:
            found[prefix + key] = [x, y]
    return found
