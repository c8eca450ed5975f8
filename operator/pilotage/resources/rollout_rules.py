"""What a PilotRollout must not say although each of its fields alone is right: CEL for the API server.

Each rule's message names the place and the remedy; where it can, CEL builds it from the values that the user wrote.
"""

from pilotage.resources.cel import Validation, each, formatted, literal
from pilotage.resources.grammar import INDICATOR

PERCENT_PATTERN = r"^(100|[0-9]{1,2}(\.[0-9]{1,6})?)$"

PERCENT = Validation(
    f"(type(self) == int || string(self).matches({literal(PERCENT_PATTERN)}))"
    " && double(self) > 0.0 && double(self) <= 100.0",
    'percent must be more than 0 and at most 100, such as 30, or a string such as "0.5" for fractions',
)

ONE_SIZE = (
    Validation("!(has(self.users) && has(self.percent))", "give users or percent, not both", field=".percent"),
    Validation(
        "has(self.users) || has(self.percent) || size(self.cohorts) > 0",
        "a step must say whom it lets in: give users, percent or cohorts",
    ),
)
"""Rules of one step."""

BACK = "take users back by a rollback, not by a step"
"""Remedy of what would shrink a step."""


def percent_of(step: str, otherwise: float) -> str:
    """CEL for a step's percent of its cohorts; what lets in all of them counts as 100, what counts users as 0.

    A percent that is no number has its own rule and counts as `otherwise` here: if it failed the evaluation, the user
    would read about a type conversion instead.
    """
    number = f"string({step}.percent).matches({literal(PERCENT_PATTERN)}) ? double({step}.percent) : {otherwise}"
    return f"(has({step}.percent) ? ({number}) : has({step}.users) ? 0.0 : 100.0)"


def _smaller(
    than: str, *, what: str, value: str, before: str, remedy: str = BACK, listed: str = "self", field: str = ""
) -> Validation:
    """A rule that no step `s` lets in less than a step `p` before it.

    Args:
        than: CEL that is true where `p` lets in more than `s`.
        what: the field that shrinks.
        value: CEL of what `s` lets in.
        before: CEL of what `p` lets in.
        remedy: ends the message.
        listed: CEL of the steps.
        field: as in `Validation`.
    """
    larger = f"{listed}.transformList(j, p, j < i && {than}, {formatted('%s of step %s', before, 'p.name')})[0]"
    return each(
        f"{listed}.exists(j, p, j < i && {than})",
        f"steps[%d] %s: {what} %s is less than %s; {remedy}",
        *("i", "s.name", value, larger),
        message=f"{what} must not shrink from one step to the next: {remedy}",
        listed=listed,
        field=field,
    )


ORDER = (
    _smaller(
        f"has(s.users) && (has(p.users) ? p.users > s.users : size(p.cohorts) == 0 && {percent_of('p', 0.0)} >= 100.0)",
        what="users",
        value="s.users",
        before="has(p.users) ? string(p.users) : 'everybody'",
    ),
    _smaller(
        # Of more cohorts, a smaller percent can be more users: who is in by the earlier step stays in.
        f"!has(s.users) && s.cohorts == p.cohorts && {percent_of('p', 0.0)} > {percent_of('s', 100.0)}",
        what="percent",
        value="s.percent",
        before="has(p.percent) ? string(p.percent) : '100'",
    ),
    each(
        "i > 0 && size(s.cohorts) > 0 && size(self[i-1].cohorts) == 0",
        "steps[%d] %s: cohorts leave out users of step %s, which lets in everybody: remove cohorts",
        *("i", "s.name", "self[i-1].name"),
        message="cohorts must not shrink: after a step without cohorts (everybody) no step may name cohorts",
    ),
    each(
        "i > 0 && size(s.cohorts) > 0 && !self[i-1].cohorts.all(c, c in s.cohorts)",
        "steps[%d] %s: cohorts leave out %s of step %s: add it",
        *("i", "s.name", "self[i-1].cohorts.filter(c, !(c in s.cohorts))[0]", "self[i-1].name"),
        message="cohorts must not shrink: a step names the cohorts of the step before, or none (everybody)",
    ),
)
"""Rules of the list of steps: growing never drops anyone."""

COUNTING = (
    _smaller(
        "!has(self.audience.directory) && !has(s.users) && s.cohorts != p.cohorts"
        f" && {percent_of('p', 0.0)} > {percent_of('s', 100.0)}",
        what="percent",
        value="s.percent",
        before="has(p.percent) ? string(p.percent) : '100'",
        remedy="where cohorts differ, only audience.directory can tell who stays in: add it, or raise percent",
        listed="self.steps",
        field=".steps",
    ),
    each(
        "has(s.users) && !has(self.audience.directory) && !has(self.audience.population)",
        "steps[%d] %s: users can't be counted: add audience.directory (exact) or audience.population (an estimate)",
        *("i", "s.name"),
        message="users can't be counted: add audience.directory (exact) or audience.population (an estimate)",
        listed="self.steps",
        field=".steps",
    ),
    each(
        "has(s.users) && size(s.cohorts) > 0 && !has(self.audience.directory) && has(self.audience.population)",
        "steps[%d] %s: users of cohorts can't be counted by population alone: add audience.directory, or use percent",
        *("i", "s.name"),
        message="users of cohorts can't be counted by population alone: add audience.directory, or use percent",
        listed="self.steps",
        field=".steps",
    ),
    each(
        "has(s.users) && size(s.cohorts) == 0 && has(self.audience.population) && has(self.audience.population.users)"
        " && s.users > self.audience.population.users",
        "steps[%d] %s: users %d is more than the population of %d: lower it or correct audience.population",
        *("i", "s.name", "s.users", "self.audience.population.users"),
        message="a step has more users than audience.population",
        listed="self.steps",
        field=".steps",
    ),
)
"""Rules of the spec: steps by users can be carried out."""

KEEPS_ENFORCING = Validation(
    "self.spec.mode != 'observe' || oldSelf.spec.mode == 'observe' || !has(self.status) || !has(self.status.cohort)",
    "mode can't go back to observe once users may be in: to stop growth, set paused; to observe, make another"
    " PilotRollout",
    field=".spec.mode",
)
"""Rule of the whole object: what touches users does not become what touches nobody."""

ONE_LIST = Validation(
    "!self.include.exists(u, u in self.exclude)",
    "a user is both included and excluded: remove it from one list",
    field=".exclude",
    says=formatted(
        "%s is both included and excluded: remove it from one list", "self.include.filter(u, u in self.exclude)[0]"
    ),
)
"""Rule of the audience."""


# The names are bound once by a literal list: searching the indicators for every criterion costs 30 times more. What
# starts like no name at all is told by the criterion's own rule. `lift(x)` names the indicator x; score(...) and
# incidents(...) name none.
_NAMES = "[self.indicators.map(d, d.name)]"
_NAMED = f"c.find({literal('^(lift[(])?' + INDICATOR)}).replace('lift(', '')"
_UNKNOWN = f"!({_NAMED} in names) && {_NAMED} != '' && !c.matches({literal('^(score|incidents)[(]')})"


def _known(path: str, *, field: str = "", given: str = "true") -> Validation:
    """A rule that the criteria of a list name only indicators that are defined.

    Args:
        path: of the list.
        field: that the error points to; the list if empty.
        given: CEL that is true where the list is there.
    """
    says = formatted(f"{path}[%d]: indicator %s is not defined: add it to indicators", "i", _NAMED)
    return Validation(
        (f"!({given}) || " if field else "") + f"{_NAMES}.all(names, self.{path}.all(c, !({_UNKNOWN})))",
        f"{path} names an indicator that indicators does not define",
        field=field or f".{path}",
        says=f"{_NAMES}.map(names, self.{path}.transformList(i, c, {_UNKNOWN}, {says})[0])[0]",
    )


_STEP_SAYS = formatted(
    "steps[%d] %s: the indicator of `%s` is not defined: add it to indicators",
    *("i", "s.name", f"s.go.filter(c, {_UNKNOWN})[0]"),
)
_KNOWN_IN_STEPS = Validation(
    f"{_NAMES}.all(names, self.steps.all(s, s.go.all(c, !({_UNKNOWN}))))",
    "the go of a step names an indicator that indicators does not define",
    field=".steps",
    says=f"{_NAMES}.map(names, self.steps.transformList(i, s, s.go.exists(c, {_UNKNOWN}), {_STEP_SAYS})[0])[0]",
)


def _bears_no_score(path: str) -> Validation:
    """A rule that no score takes users away: it would look at a mean."""
    remedy = "a mean hides what is bad in it: put the score under go or noGo, and its worst inputs here"
    return Validation(
        f"self.{path}.all(c, !c.startsWith('score('))", f"{path} can't name a score: {remedy}", field=f".{path}"
    )


REFERENCES = (
    each(
        "s.cohorts.exists(c, !self.audience.cohorts.exists(d, d.name == c))",
        "steps[%d] %s: cohort %s is not defined: add it to audience.cohorts",
        *("i", "s.name", "s.cohorts.filter(c, !self.audience.cohorts.exists(d, d.name == c))[0]"),
        message="a step names a cohort that audience.cohorts does not define",
        listed="self.steps",
        field=".steps",
    ),
    each(
        "!self.indicators.exists(d, d.name == s.indicator)",
        "objectives[%d]: indicator %s is not defined: add it to indicators",
        *("i", "s.indicator"),
        message="an objective names an indicator that indicators does not define",
        listed="self.objectives",
        field=".objectives",
    ),
    Validation(
        "!has(self.audience.population) || !has(self.audience.population.indicator)"
        " || self.indicators.exists(d, d.name == self.audience.population.indicator)",
        "population.indicator is not defined: add it to indicators",
        field=".audience.population.indicator",
    ),
    each(
        "!self.indicators.exists(d, d.name == s.indicator)",
        "burnRates[%d]: indicator %s is not defined: add it to indicators",
        *("i", "s.indicator"),
        message="a burn rate names an indicator that indicators does not define",
        listed="self.burnRates",
        field=".burnRates",
    ),
    each(
        "s.inputs.exists(n, !self.indicators.exists(d, d.name == n.indicator))",
        "scores[%d] %s: indicator %s is not defined: add it to indicators",
        *("i", "s.name", "s.inputs.filter(n, !self.indicators.exists(d, d.name == n.indicator))[0].indicator"),
        message="a score names an indicator that indicators does not define",
        listed="self.scores",
        field=".scores",
    ),
    Validation(
        "!has(self.audience.assignment) || self.indicators.exists(d, d.name == self.audience.assignment.indicator)",
        "assignment.indicator is not defined: add it to indicators",
        field=".audience.assignment.indicator",
    ),
    Validation(
        "!has(self.delivery.flags.evaluators)"
        " || self.indicators.exists(d, d.name == self.delivery.flags.evaluators.indicator)",
        "evaluators.indicator is not defined: add it to indicators",
        field=".delivery.flags.evaluators.indicator",
    ),
    each(
        "s.gates.exists(g, !self.gates.exists(d, d.name == g))",
        "steps[%d] %s: gate %s is not defined: add it to gates",
        *("i", "s.name", "s.gates.filter(g, !self.gates.exists(d, d.name == g))[0]"),
        message="a step names a gate that gates does not define",
        listed="self.steps",
        field=".steps",
    ),
    *(_known(path) for path in ("go", "noGo", "rollback", "throttle")),
    *(
        _known(f"readiness.{path}", field=f".readiness.{path}", given="has(self.readiness)")
        for path in ("blockers", "warnings")
    ),
    each(
        f"{_NAMES}.exists(names, [s.criterion].exists(c, {_UNKNOWN}))",
        "observe[%d]: the indicator of `%s` is not defined: add it to indicators",
        *("i", "s.criterion"),
        message="observe names an indicator that indicators does not define",
        listed="self.observe",
        field=".observe",
    ),
    *(_bears_no_score(path) for path in ("rollback", "throttle")),
    _KNOWN_IN_STEPS,
)
"""Rules of the spec: a name that is used is defined."""
