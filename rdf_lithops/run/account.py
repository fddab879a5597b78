"""What a run has set aside of its budget: every submission draws on it, and how long its calls may run follows. Pure.

Attempts, backups, calls that were divided, rounds of the fold and the merging of files draw alike. What is set aside is the
most that a submission can cost, so however they go, all of them together cost no more than the budget.
"""

from __future__ import annotations

from ..errors import RunError
from ..planning.cost import Bill
from ..planning.outlook import Outlook

__all__ = ["Account"]

LEAST_S = 1.0  # a call that is ended sooner is money for nothing


class Account:
    """The budget of one run, or of none: then calls may run as long as the backend lets them."""

    def __init__(self, outlook: Outlook | None) -> None:
        self.outlook = outlook
        self.set_aside_usd = 0.0

    def draw(self, calls: int) -> float | None:
        """Set aside what ``calls`` calls and a reducer can cost; the longest that each may run. None: nothing limits it.

        Raises RunError where what is left does not pay for them.
        """
        outlook = self.outlook
        if outlook is None or outlook.budget_usd is None or outlook.usd_per_s is None:
            return None
        fixed_usd = self._usd(0.0, calls + 1) + (outlook.offer.timeout_s or 0.0) * outlook.usd_per_s
        left_usd = outlook.budget_usd - self.set_aside_usd - fixed_usd
        limit_s = min(left_usd / (calls * outlook.usd_per_s), outlook.call_limit_s or float("inf"))
        if limit_s < LEAST_S:
            raise RunError(
                f"the budget of {outlook.budget_usd:g} USD does not pay for {calls} calls more",
                why=f"{self.set_aside_usd:.3g} USD are set aside for what was submitted, at the longest that it may run",
                next_command="raise options.budget_usd, or use smaller ranges (npartitions) so that no call is divided",
            )
        self.set_aside_usd += fixed_usd + calls * limit_s * outlook.usd_per_s
        return limit_s

    def _usd(self, seconds: float, requests: int) -> float:
        assert self.outlook is not None
        return Bill.of(seconds, requests, self.outlook.offer, self.outlook.prices, starts=requests).cost_usd or 0.0
