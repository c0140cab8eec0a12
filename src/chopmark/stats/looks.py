"""A plan of a few looks at a running comparison, and what each of them decides: a frozen value that is carried from look to look.

Bounds, futility and conditional power come from `chopmark.stats.group_sequential`, `futility` and `conditional_power`; p-values and
intervals are the repeated ones of Jennison and Turnbull (1989), "Interim analyses: the repeated confidence interval approach",
JRSS B 51(3): they hold at every look, whether one stops there or not.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, Self, get_args

import msgspec

from chopmark.errors import InvalidRequest
from chopmark.stats.checks import check_count, check_number, check_positive, check_share
from chopmark.stats.conditional_power import conditional_power
from chopmark.stats.crossing import GROWTH_LEAST, LOOKS_MOST, check_information, check_looks, crossing
from chopmark.stats.futility import futility_bounds
from chopmark.stats.group_sequential import ClassicRule, classic_bounds, classic_level, spending_bounds
from chopmark.stats.results import Interval
from chopmark.stats.roots import find_root
from chopmark.stats.spending import SpendingRule, check_sided, check_spending, spent

__all__ = ["BetaSpending", "Look", "LookRule", "LowPower", "PlannedLooks"]

LookRule = Literal[ClassicRule, SpendingRule]
"""How the error is shared out over the looks; those of `SpendingRule` allow looks that were not planned."""

_LEAST_P = 1e-300
_MOST_P = 1 - 1e-9
_SAME_INFORMATION = 0.005  # a look within half a per cent of the planned information is the planned one


class LowPower(msgspec.Struct, frozen=True, tag="low_power"):
    """Futile, when the conditional power under the minimum detectable effect is low.

    Attributes
    ----------
    drift
        Mean of the statistic at full information under the minimum detectable effect; above 0
        (`chopmark.stats.group_sequential.characteristics` and `chopmark.stats.conditional_power.planned_drift` have it).
    least
        Conditional power below which it is futile, in (0, 1).
    """

    drift: float
    least: float = 0.1


class BetaSpending(msgspec.Struct, frozen=True, tag="beta_spending"):
    """Futile, when the statistic is below a bound that spends the type II error; one-sided plans only.

    Attributes
    ----------
    drift
        Mean of the statistic at full information under the minimum detectable effect; above 0
        (`chopmark.stats.futility.with_futility` has it).
    beta
        Type II error, in (0, 1).
    rule, parameter
        See `chopmark.stats.spending.spent`.
    """

    drift: float
    beta: float = 0.2
    rule: SpendingRule = "lan_demets_obrien_fleming"
    parameter: float | None = None


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen at a look, and what it decided.

    Attributes
    ----------
    information
        Share of the planned information that was there.
    z
        The statistic, of all that was seen until then.
    boundary
        The bound it had to reach (two-sided: its size).
    alpha_spent
        Error spent up to and with this look, of both sides together.
    p_value
        Smallest repeated p-value of this look and those before; at most α if and only if the plan has decided.
    crossed
        Whether the bound was reached, and so the null hypothesis is rejected.
    futility_bound, conditional_power
        Of a plan with futility by `BetaSpending`, by `LowPower`; None otherwise and at the last look.
    futile
        Whether going on is futile. It is advice: α is kept if one goes on.
    last
        Whether the plan ends here.
    """

    information: float
    z: float
    boundary: float
    alpha_spent: float
    p_value: float
    crossed: bool
    futility_bound: float | None = None
    conditional_power: float | None = None
    futile: bool = False
    last: bool = False


class PlannedLooks(msgspec.Struct, frozen=True, kw_only=True):
    """A comparison that is looked at no more than 20 times, at one error rate over all of them.

    Attributes
    ----------
    planned
        Information at each planned look, as a share of that at the end, which is 1; for a comparison of equally large batches, the
        units seen by those planned.
    rule, parameter
        How α is shared out; the parameter is Kim and DeMets' ρ or Hwang, Shih and DeCani's γ.
    alpha, sided
        Error of all looks together, in (0, 1), and whether it lies at one end (treatment is larger) or both.
    futility
        When going on is futile; None for never. It never changes the upper bounds (non-binding).
    looks
        What was seen so far.

    Notes
    -----
    The statistic and the information of a look are those of all data up to it, so that neither the batches they came in nor the
    replicas that merged them matter; the looks do.

    Examples
    --------
    >>> plan = PlannedLooks.evenly(4)
    >>> plan = plan.observe(0.25, 1.2).observe(0.5, 3.1)
    >>> plan.decided, round(plan.looks[-1].boundary, 3)
    (True, 2.963)
    """

    planned: tuple[float, ...]
    rule: LookRule = "lan_demets_obrien_fleming"
    parameter: float | None = None
    alpha: float = 0.05
    sided: Literal[1, 2] = 2
    futility: LowPower | BetaSpending | None = None
    looks: tuple[Look, ...] = ()

    def __post_init__(self) -> None:
        check_information(self.planned)
        if not math.isclose(self.planned[-1], 1.0):
            raise InvalidRequest(
                f"The last planned look has {self.planned[-1]:g} of the information.", hint="End the plan at 1."
            )
        check_share("alpha", self.alpha)
        check_sided(self.sided)
        if not self._fixed:
            check_spending(self.rule, self.parameter)
        elif self.parameter is not None:
            raise InvalidRequest(f"The rule {self.rule} takes no parameter.", hint="Leave the parameter out.")
        _check_futility(self.futility, self.sided)

    @classmethod
    def evenly(
        cls,
        looks: int,
        *,
        rule: LookRule = "lan_demets_obrien_fleming",
        parameter: float | None = None,
        alpha: float = 0.05,
        sided: Literal[1, 2] = 2,
        futility: LowPower | BetaSpending | None = None,
    ) -> Self:
        """A plan of 1 to 20 looks with the same information between them.

        Raises
        ------
        InvalidRequest
            For more or fewer looks, or numbers out of range.
        """
        check_count("looks", looks)
        check_looks(looks)
        planned = tuple((k + 1) / looks for k in range(looks))
        return cls(planned=planned, rule=rule, parameter=parameter, alpha=alpha, sided=sided, futility=futility)

    @property
    def decided(self) -> bool:
        """Whether a look reached its bound."""
        return bool(self.looks) and self.looks[-1].crossed

    @property
    def futile(self) -> bool:
        """Whether the last look found that going on is futile."""
        return bool(self.looks) and self.looks[-1].futile

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to look at: a bound was reached, or the plan's last look was had."""
        return bool(self.looks) and (self.looks[-1].crossed or self.looks[-1].last)

    @property
    def p_value(self) -> float:
        """Smallest repeated p-value so far; 1 before the first look."""
        return self.looks[-1].p_value if self.looks else 1.0

    @property
    def boundaries(self) -> tuple[float, ...]:
        """Bounds at the planned looks, if all of them are had as planned."""
        return _bounds(self, self.planned, self.alpha, ended=True)

    def interval(self, estimate: float, standard_error: float) -> Interval:
        """Repeated confidence interval of the last look, from its estimate and standard error.

        Two-sided, all looks' intervals hold the true value together with a confidence of 1 - α or more; of a one-sided plan the
        upper end is infinite. Before the first look nothing is known.
        """
        check_number("estimate", estimate)
        check_number("standard_error", standard_error, least=0.0)
        if not self.looks:
            return Interval(-math.inf, math.inf)
        reach = self.looks[-1].boundary * standard_error
        return Interval(estimate - reach, math.inf if self.sided == 1 else estimate + reach)

    def observe(self, information: float, z: float, *, last: bool = False) -> Self:
        """The plan after one more look.

        Parameters
        ----------
        information
            Share of the planned information that is there now. Fixed rules (``pocock``, ``obrien_fleming``) allow the planned
            looks only (some may be left out); the others allow any that is above the one before by 0.1 % or more.
        z
            The statistic now, normal with variance 1; its sign is that of treatment minus control. A z of 0 where nothing varies.
        last
            With a spending rule: there will be no more looks although less was seen than planned, so that all of α may be spent.
            A look at full information, and the twentieth, are the last ones anyway.

        Raises
        ------
        InvalidRequest
            When the look was not planned, is one too many, comes after the end, or has no new information or no finite z. The
            plan stays what it was.
        """
        if self.ended:
            raise InvalidRequest(
                f"The plan ended at its look {len(self.looks)}.", hint="Plan another comparison; its data start anew."
            )
        check_number("z", z)
        check_number("information", information)
        shares = self._shares(information, last=last)
        ended = last or shares[-1] * (1 + GROWTH_LEAST) >= 1 or len(shares) == LOOKS_MOST
        boundary = _bounds(self, shares, self.alpha, ended=ended)[-1]
        reached = z if self.sided == 1 else abs(z)
        crossed = reached >= boundary
        low, power = (None, None) if crossed or ended else self._futility(shares, z)
        look = Look(
            information=shares[-1],
            z=z,
            boundary=boundary,
            alpha_spent=_spent(self, shares, ended=ended),
            p_value=min(self.p_value, _level(self, shares, reached, ended=ended)),
            crossed=crossed,
            futility_bound=low,
            conditional_power=power,
            futile=(low is not None and z <= low) or (power is not None and power < _least_power(self.futility)),
            last=ended,
        )
        return msgspec.structs.replace(self, looks=(*self.looks, look))

    @property
    def _fixed(self) -> bool:
        return self.rule in get_args(ClassicRule)

    def _shares(self, information: float, *, last: bool) -> tuple[float, ...]:
        """Information of all looks with the new one."""
        seen = tuple(look.information for look in self.looks)
        if not self._fixed:
            check_information((*seen, information))
            return (*seen, information)
        nearest = min(self.planned, key=lambda share: abs(share - information))
        if abs(nearest - information) > _SAME_INFORMATION or (seen and nearest <= seen[-1]):
            left = ", ".join(f"{share:g}" for share in self.planned if not seen or share > seen[-1])
            raise InvalidRequest(
                f"No look is planned at {information:g} of the information.",
                hint=f"Look at {left}; or plan with a spending rule, which allows any.",
            )
        if last and nearest != self.planned[-1]:
            raise InvalidRequest(
                f"A plan by {self.rule} cannot end early.", hint="Plan with a spending rule, which can spend the rest."
            )
        return (*seen, nearest)

    def _futility(self, shares: tuple[float, ...], z: float) -> tuple[float | None, float | None]:
        """Futility bound and conditional power of a look that is not the last."""
        match self.futility:
            case None:
                return None, None
            case BetaSpending(drift, beta, rule, parameter):
                upper = [*(look.boundary for look in self.looks), _bounds(self, shares, self.alpha, ended=False)[-1]]
                betas = [spent(rule, beta, share, parameter=parameter) for share in shares]
                return futility_bounds(shares, upper, betas, drift=drift)[-1], None
            case LowPower(drift):
                final = (
                    self.boundaries[-1] if self._fixed else _bounds(self, (*shares, 1.0), self.alpha, ended=True)[-1]
                )
                reached = z if self.sided == 1 else abs(z)  # two-sided: an effect at the end where the statistic is
                return None, conditional_power(shares[-1], reached, drift=drift, critical_value=final)


def _bounds(plan: PlannedLooks, shares: tuple[float, ...], alpha: float, *, ended: bool) -> tuple[float, ...]:
    """Upper bounds at looks with this information; ``ended`` says that the last of them may spend everything."""
    match plan.rule:
        case "pocock" | "obrien_fleming" as rule:
            bounds = classic_bounds(rule, plan.planned, alpha=alpha, sided=plan.sided)
            return tuple(bounds[plan.planned.index(share)] for share in shares)
        case rule:
            times = (*shares[:-1], 1.0) if ended else shares
            errors = tuple(spent(rule, alpha, t, sided=plan.sided, parameter=plan.parameter) for t in times)
            return _spending_bounds(shares, errors, plan.sided)


@lru_cache(maxsize=256)
def _spending_bounds(shares: tuple[float, ...], errors: tuple[float, ...], sided: Literal[1, 2]) -> tuple[float, ...]:
    return spending_bounds(shares, errors, sided=sided)


def _spent(plan: PlannedLooks, shares: tuple[float, ...], *, ended: bool) -> float:
    """Error spent up to the last of these looks."""
    if ended:
        return plan.alpha
    match plan.rule:
        case "pocock" | "obrien_fleming" as rule:
            high = classic_bounds(rule, plan.planned, alpha=plan.alpha, sided=plan.sided)
            low = [-math.inf if plan.sided == 1 else -bound for bound in high]
            above = crossing(plan.planned, low, high).above
            return plan.sided * sum(above[: plan.planned.index(shares[-1]) + 1])
        case rule:
            return spent(rule, plan.alpha, shares[-1], sided=plan.sided, parameter=plan.parameter)


def _level(plan: PlannedLooks, shares: tuple[float, ...], reached: float, *, ended: bool) -> float:
    """Repeated p-value: the smallest α whose bound at the last of these looks is reached."""
    match plan.rule:
        case "pocock" | "obrien_fleming" as rule:
            return classic_level(rule, plan.planned, plan.planned.index(shares[-1]), reached, sided=plan.sided)
        case _:
            pass

    def missing(log_alpha: float) -> float:
        return _bounds(plan, shares, math.exp(log_alpha), ended=ended)[-1] - reached

    low, high = math.log(_LEAST_P), math.log(_MOST_P)
    if missing(high) > 0:
        return 1.0
    return math.exp(find_root(missing, low, high)) if missing(low) > 0 else _LEAST_P


def _check_futility(futility: LowPower | BetaSpending | None, sided: int) -> None:
    if futility is None:
        return
    check_positive("drift", futility.drift)
    match futility:
        case LowPower(least=least):
            check_share("least", least)
        case BetaSpending(beta=beta, rule=rule, parameter=parameter):
            check_share("beta", beta)
            check_spending(rule, parameter)
            if sided != 1:
                raise InvalidRequest(
                    "Spending the type II error makes bounds for one-sided plans only.",
                    hint="Plan with sided=1, or let futility go by LowPower.",
                )


def _least_power(futility: LowPower | BetaSpending | None) -> float:
    return futility.least if isinstance(futility, LowPower) else 0.0
