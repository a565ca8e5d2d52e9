"""Recipes as documents: dictionaries and YAML, there and back, with every field checked by its type."""

import copy
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import yaml

from ltzoo.data import SAMPLERS, Sampler
from ltzoo.errors import InputError
from ltzoo.losses import LOSSES, REWEIGHTINGS, Loss, Reweighting
from ltzoo.recipes.parts import HEADS, STARTS, Head, Start
from ltzoo.recipes.recipe import Recipe
from ltzoo.sharpness import PERTURBATIONS, RADIUS_SCHEDULES, Perturbation, RadiusSchedule

_KINDS: dict[type, Mapping[str, type]] = {
    Start: STARTS,
    Head: HEADS,
    Sampler: SAMPLERS,
    Loss: LOSSES,
    Reweighting: REWEIGHTINGS,
    Perturbation: PERTURBATIONS,
    RadiusSchedule: RADIUS_SCHEDULES,
}
"""Fields that hold one of several records; its `name` says which."""

_IDENTITY = ("name", "protocol", "source", "published")
"""What a recipe is; `override` leaves it alone."""

_COMPUTING = "precision"
"""The field that says how a run computes, not what: every figure names it, and it is no override."""

_YAML_FAULTS = (yaml.YAMLError, ValueError, AttributeError, RecursionError)
"""What PyYAML raises; a date or a tag that makes no sense is no YAMLError."""

Document = dict[str, Any]


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
        InputError: a key is unknown or missing, or a value has the wrong type or makes no sense; its path is named.
    """
    if isinstance(document, Mapping) and "classifier" in document and "head" not in document:
        raise InputError(
            "this recipe was written by ltzoo 0.1, whose form is no longer read: print it anew with "
            "`ltzoo show NAME`, and train it again or load it with ltzoo 0.1"
        )
    return _record(Recipe, document, "")


def _record(kind: type, document: Any, path: str) -> Any:
    """Build a dataclass, or one of the records that a field can hold, from a mapping."""
    if not isinstance(document, Mapping):
        raise InputError(f"{path or 'the recipe'} must be a mapping, not {document!r}")
    values = dict(document)
    if kind in _KINDS:
        name = values.pop("name", None)
        if not isinstance(name, str) or name not in _KINDS[kind]:
            raise InputError(f"{path}.name must be one of {', '.join(_KINDS[kind])}, not {name!r}")
        kind = _KINDS[kind][name]
    hints = {field.name: get_type_hints(kind)[field.name] for field in fields(kind)}
    # A field that comes later has a default, so that documents written before it can still be read.
    required = {field.name for field in fields(kind) if field.default is MISSING}
    where = f"{path}." if path else ""
    for key in [*values, *hints]:
        if key not in hints:
            raise InputError(
                f"unknown key {where}{key}; there are {', '.join(where + name for name in hints) or 'none'}"
            )
        if key not in values and key in required:
            raise InputError(f"{where}{key} is missing")
    built = {key: _value(hint, values[key], where + key) for key, hint in hints.items() if key in values}
    try:
        return kind(**built)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{path or 'recipe'}: {error}") from error


def _value(hint: Any, value: Any, path: str) -> Any:
    """Check a value against the type of its field; a float field takes whole numbers too."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        # A number or text is written as it is, a record as a mapping.
        record = isinstance(value, Mapping) and any(is_dataclass(kind) for kind in arguments)
        fitting = [a for a in arguments if a is not type(None) and (not record or is_dataclass(a))]
        return _value(fitting[0], value, path)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InputError(f"{path} must be a list, not {value!r}")
        return tuple(_value(arguments[0], item, f"{path}[{k}]") for k, item in enumerate(value))
    if origin is Literal:
        if value not in arguments:
            raise InputError(f"{path} must be one of {', '.join(arguments)}, not {value!r}")
        return value
    if is_dataclass(hint):
        return _record(cast(type, hint), value, path)
    if hint is float:
        return _number(value, path)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise InputError(f"{path} must be {_WORDS[hint]}, not {value!r}")
    return value


def _number(value: Any, path: str) -> float:
    """Read a finite number. YAML takes 1e-3, without a point, for text; people do not."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{path} must be a number, not {value!r}")
    return number


_WORDS = {int: "a whole number", bool: "true or false", str: "text"}


def to_yaml(document: Mapping[str, Any]) -> str:
    """Write a document as YAML, keys in their order, short lists on one line."""
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
        InputError: the file is missing, is no YAML, or is no recipe.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, *_YAML_FAULTS) as error:
        raise InputError(f"{path} cannot be read as a recipe: {' '.join(str(error).split())[:160]}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path} holds no recipe: it must be a mapping, as `python -m ltzoo show NAME` prints it")
    # What a run adds to its recipe.yaml describes the run, not the recipe.
    recipe_part = {key: value for key, value in document.items() if key not in ("overrides", "run")}
    try:
        return recipe_from_dict(recipe_part)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def parse_setting(text: str, flag: str = "--set") -> tuple[str, Any]:
    """Split `key=value`, the value being YAML.

    Args:
        text: the setting.
        flag: the option that it was given to.

    Raises:
        InputError: there is no `=`, or the value is no YAML.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise InputError(f"{flag} wants key=value, as in {flag} optimizer.lr=0.05, not {text!r}")
    try:
        return key, yaml.safe_load(value)
    except _YAML_FAULTS as error:
        raise InputError(f"{flag} {key}: {value!r} is not a value ({' '.join(str(error).split())[:80]})") from error


def override(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """Change fields of a recipe.

    Args:
        recipe: the recipe.
        settings: dotted keys, such as `perturbation.rho_tail`, to values. A whole record is a mapping with its `name`.

    Raises:
        InputError: a key is unknown or belongs to the recipe's identity, or a value does not fit.
    """
    document = recipe_to_dict(recipe)
    for key, value in settings.items():
        *parents, last = key.split(".")
        if key.split(".")[0] in _IDENTITY:
            raise InputError(f"{key} says what the recipe is and cannot be set; write a recipe of your own instead")
        place: Any = document
        for parent in parents:
            place = _by_key(place).get(parent)
        if last not in _by_key(place):
            known = ", ".join(k for k in flatten(recipe_to_dict(recipe)) if k.split(".")[0] not in _IDENTITY)
            raise InputError(f"unknown key {key}; there are {known}")
        place[int(last) if isinstance(place, list) else last] = copy.deepcopy(value)
    return recipe_from_dict(document)


def flatten(document: Mapping[str, Any], prefix: str = "") -> Document:
    """Flatten nested mappings, and lists of them, to dotted keys: `views.0.crop_padding`."""
    flat: Document = {}
    for key, value in document.items():
        within = _by_key(value)
        flat |= flatten(within, f"{prefix}{key}.") if within else {prefix + key: value}
    return flat


def _by_key(value: Any) -> Document:
    """Give the entries of a mapping, or of a list of mappings by their index; nothing of any other value."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return {str(index): item for index, item in enumerate(value)}
    return {}


def differences(used: Recipe, registered: Recipe) -> dict[str, list[Any]]:
    """List where two recipes differ: dotted key to [registered, used]; None where one has no such field.

    Precision is left out: each run chooses its own and records it.
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
