"""Reading STUDY.yaml: everything in it is checked when it is opened."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from cmd_speaker.errors import UsageError
from cmd_speaker.study.recipe_keys import RESERVED, RecipeKeys
from cmd_speaker.study.source import Source, Where
from cmd_speaker.study.spec import (
    CHOSEN,
    CONTROL,
    EVERYTHING,
    Configuration,
    Phase,
    Study,
    control_name,
    folder_name,
    slug,
)
from cmd_speaker.study.values import merge, nested, short, text_of
from cmd_speaker.training.options import read_options, suggest

KEYS = {
    "recipe", "title", "set", "seeds", "configurations", "baseline", "controls", "conditions", "screen", "final",
    "pairs", "noise",
}  # fmt: skip
SCREEN_KEYS, FINAL_KEYS = {"seeds", "set"}, {"best", "seeds", "always", "set"}
LONGEST = 100
"""Characters of a name, which becomes part of a folder's."""


def load_study(path: str | Path, arguments: Sequence[str] = ()) -> Study:
    """Read a study file; `arguments` are `--key value ...` of the recipe, which replace what `set` says.

    Raises `DataError` with row, key, what was expected and what was found, and `UsageError` for an option that
    the study varies itself.
    """
    return _Reader(Source(Path(path), "study"), arguments).study()


class _Reader:
    """Turns the checked file into a `Study`, in the order of its keys."""

    def __init__(self, source: Source, arguments: Sequence[str]) -> None:
        self.source, self.value = source, source.value
        for key in self.value:
            if key not in KEYS:
                raise source.unknown((key,), sorted(KEYS))
        recipe = self._need("recipe", str, "the path of a recipe's YAML, relative to this file")
        self.recipe = source.path.parent / recipe
        self.keys = RecipeKeys(source, self.recipe)
        run_opts, overrides = read_options(self.recipe, arguments)
        self.options = overrides | {key: getattr(run_opts, key) for key in sorted(run_opts.overridden_args)}
        if reserved := sorted(RESERVED & self.options.keys()):
            raise UsageError(f"--{reserved[0]}: set by the study itself")

    def study(self) -> Study:
        """The whole study, checked key by key."""
        configurations = self._configurations()
        conditions = self._conditions(configurations)
        families = {configuration.family for configuration in configurations.values()}
        baseline = self._need("baseline", str, "the name of the audio-only configuration")
        if baseline not in configurations:
            raise self.source.wrong(
                ("baseline",), "no such configuration", ", ".join(configurations), baseline
            )
        seeds = self._seeds(self.value, (), [1, 2, 3])
        screen = None
        if "screen" in self.value:
            found = self._mapping(("screen",), {}, SCREEN_KEYS)
            screen = Phase(self._seeds(found, ("screen",), seeds[:1]), self._set("screen", found))
            self.keys.need("test", ("screen",))
        final = self._mapping(("final",), {}, FINAL_KEYS)
        if screen is None and "best" in final:
            raise self.source.wrong(
                ("final", "best"), "nothing is screened", "a `screen:` too", final["best"]
            )
        study = Study(
            path=self.source.path,
            title=str(self.value.get("title", self.source.path.stem.replace("_", " "))),
            recipe=self.recipe,
            values={**self._set(None, self.value), **self.options},
            configurations=configurations,
            baseline=baseline,
            controls=self._controls(families | configurations.keys()),
            conditions=conditions,
            screen=screen,
            final=Phase(self._seeds(final, ("final",), seeds), self._set("final", final)),
            best=self._count(("final", "best"), final.get("best", 4)),
            always=self._names(("final", "always"), final.get("always", []), configurations),
            pairs=self._pairs(configurations),
            noise=self._noise(),
        )
        self._refuse_options(study)
        return study

    def _configurations(self) -> dict[str, Configuration]:
        found: dict[str, Configuration] = {}
        given = self._mapping(("configurations",), {})
        if not given:
            raise self.source.wrong(
                ("configurations",), "no configuration", "NAME: {recipe key: value}", "none"
            )
        for family, values in given.items():
            where: Where = ("configurations", family)
            values = self._as_mapping(values, where)
            grid = self._grid(values.pop("grid", {}), (*where, "grid"))
            base = self._recipe_values(values, where)
            for point in product(*grid.values()):
                varied = dict(zip(grid, point, strict=True))
                name = " ".join(
                    [family, *(f"{short(key, grid)}={text_of(value)}" for key, value in varied.items())]
                )
                merged = merge(base, *(nested(key, value) for key, value in varied.items()))
                configuration = Configuration(name, merged, family, varied)
                self._check_name(where, configuration, found)
                found[name] = configuration
        return found

    def _conditions(self, configurations: Mapping[str, Configuration]) -> dict[str, dict[str, Any]]:
        given = self._mapping(("conditions",), {EVERYTHING: {}})
        if not given:
            raise self.source.wrong(("conditions",), "no condition", "NAME: {recipe key: value}", "none")
        taken: dict[str, str] = {}
        for condition in given:
            where: Where = ("conditions", condition)
            self._check_printable(where, "a condition", condition)
            if slug(condition) in map(slug, set(given) - {condition}):
                # The corpora that recipes make have a folder for each condition.
                raise self.source.wrong(
                    where, "two conditions would share a folder", "another name", condition
                )
            for name in (each for known in configurations for each in (known, control_name(known))):
                folder, run = folder_name(name, condition), f"{name}, {condition}"
                if folder in taken:
                    both = f"{taken[folder]} and {run}"
                    raise self.source.wrong(where, "two runs would share a folder", "another name", both)
                taken[folder] = run
        return {name: self._recipe_values(values, ("conditions", name)) for name, values in given.items()}

    def _check_printable(self, where: Where, what: str, name: str) -> None:
        if not slug(name) or not name.isprintable() or len(name) > LONGEST:
            expected = f"at most {LONGEST} characters with letters or digits among them"
            raise self.source.wrong(where, f"bad name of {what}", expected, f"'{name}'")

    def _check_name(self, where: Where, new: Configuration, found: Mapping[str, Configuration]) -> None:
        self._check_printable(where, "a configuration", new.name)
        taken = {slug(each) for name in found for each in (name, control_name(name))}
        if taken & {slug(new.name), slug(control_name(new.name))}:
            raise self.source.wrong(
                where, "two configurations would share a folder", "another name", new.name
            )

    def _grid(self, grid: Any, where: Where) -> dict[str, list[Any]]:
        found = {}
        for key, values in self._as_mapping(grid, where).items():
            if not isinstance(values, list) or not values:
                raise self.source.wrong((*where, key), "not a list", "the values to try, [0.8, 1.0]", values)
            self.source.rows[(*where, *key.split("."))] = self.source.rows[(*where, key)]
            for value in values:
                self.keys.check(nested(key, value), where)
            texts = [text_of(value) for value in values]
            if len(set(texts)) < len(texts):
                raise self.source.wrong((*where, key), "a value stands twice", "each once", ", ".join(texts))
            found[key] = values
        return found

    def _recipe_values(self, values: Any, where: Where) -> dict[str, Any]:
        """Recipe keys, known to the recipe."""
        values = self._as_mapping(values, where)
        self.keys.check(values, where)
        return values

    def _set(self, part: str | None, found: Mapping[str, Any]) -> dict[str, Any]:
        where: Where = (part, "set") if part else ("set",)
        values = self._recipe_values(found.get("set", {}), where)
        # What is said on the command line is nearer.
        return {key: value for key, value in values.items() if key not in self.options}

    def _controls(self, known: set[str]) -> list[str]:
        given = self.value.get("controls", [])
        names = [CHOSEN] if given == CHOSEN else self._names(("controls",), given, known)
        if names:
            self.keys.need(CONTROL, ("controls",))
        return names

    def _names(self, where: Where, given: Any, known: Collection[str]) -> list[str]:
        if not isinstance(given, list):
            raise self.source.wrong(where, "not a list", "[NAME, ...] of configurations", given)
        for place, name in enumerate(given):
            if name not in known:
                raise self.source.wrong(
                    (*where, place), f"no such configuration{suggest(str(name), known)}",
                    ", ".join(sorted(known)), name,
                )  # fmt: skip
        return given

    def _pairs(self, known: Collection[str]) -> list[tuple[str, str]]:
        given, found = self.value.get("pairs", []), []
        if not isinstance(given, list):
            raise self.source.wrong(("pairs",), "not a list", "[[NAME, NAME], ...]", given)
        for place, pair in enumerate(given):
            names = self._names(("pairs", place), pair, known)
            if len(names) != 2 or names[0] == names[1]:
                raise self.source.wrong(("pairs", place), "not a pair", "two configurations", pair)
            found.append((names[0], names[1]))
        return found

    def _noise(self) -> list[float]:
        given = self.value.get("noise", [])
        if not isinstance(given, list) or not all(_is_number(value) for value in given):
            raise self.source.wrong(("noise",), "not a list of SNRs", "decibels, [20, 10, 0]", given)
        return given

    def _seeds(self, given: Mapping[str, Any], where: Where, default: Sequence[int]) -> list[int]:
        seeds = given.get("seeds", list(default))
        good = isinstance(seeds, list) and seeds and all(type(seed) is int and seed >= 0 for seed in seeds)
        if not good or len(set(seeds)) < len(seeds):
            expected = "different whole numbers, [1, 2, 3]"
            raise self.source.wrong((*where, "seeds"), "bad seeds", expected, seeds)
        return list(seeds)

    def _count(self, where: Where, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.source.wrong(where, "bad number", "a whole number, at least 1", value)
        return value

    def _need(self, key: str, kind: type, expected: str) -> Any:
        value = self.value.get(key)
        if not isinstance(value, kind):
            raise self.source.wrong((key,), "missing" if value is None else "bad value", expected, value)
        return value

    def _mapping(
        self, where: Where, default: dict[str, Any], known: set[str] | None = None
    ) -> dict[str, Any]:
        (key,) = where
        values = self._as_mapping(self.value[key], where) if key in self.value else default
        for name in values:
            if known is not None and name not in known:
                raise self.source.unknown((*where, name), sorted(known))
        return values

    def _as_mapping(self, value: Any, where: Where) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.source.wrong(where, "not a mapping", "{key: value, ...}", value)
        return dict(value)

    def _refuse_options(self, study: Study) -> None:
        varied = [configuration.values for configuration in study.configurations.values()]
        for values in [*varied, *study.conditions.values()]:
            if both := sorted(values.keys() & self.options.keys()):
                raise UsageError(f"--{both[0]}: the study varies this key itself")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
