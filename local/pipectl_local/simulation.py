# SPDX-License-Identifier: Apache-2.0
"""Give ministack's policy simulation the context that a caller sends.

ministack 1.5.33 leaves out `ContextEntries` (ministack/services/iam.py, `_build_simulate_results_real`), so whatever
a policy allows on a condition looks denied. AWS evaluates them:
https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""
from __future__ import annotations

import dataclasses
from contextvars import ContextVar
from typing import Any

SIMULATED = ("SimulatePrincipalPolicy", "SimulateCustomPolicy")

_context: ContextVar[dict[str, Any] | None] = ContextVar("simulated_context", default=None)


def context_of(parameters: dict[str, Any]) -> dict[str, Any]:
    """The context entries of a request in the query protocol, keys in lower case."""

    def text(name: str) -> str | None:
        value = parameters.get(name)
        return value[0] if isinstance(value, list) else value

    found: dict[str, Any] = {}
    number = 1
    while key := text(f"ContextEntries.member.{number}.ContextKeyName"):
        values: list[str] = []
        while value := text(f"ContextEntries.member.{number}.ContextKeyValues.member.{len(values) + 1}"):
            values.append(value)
        found[key.lower()] = values[0] if len(values) == 1 else values
        number += 1
    return found


def install() -> None:
    """Wraps the two operations and the evaluator they call."""
    from ministack.core import iam_evaluator
    from ministack.services import iam

    evaluate = iam_evaluator.evaluate

    def evaluate_with_context(ctx: Any, *rest: Any, **named: Any) -> Any:
        if simulated := _context.get():
            ctx = dataclasses.replace(ctx, service_context={**ctx.service_context, **simulated})
        return evaluate(ctx, *rest, **named)

    def with_context(handler: Any) -> Any:
        def handle(parameters: dict[str, Any]) -> Any:
            token = _context.set(context_of(parameters))
            try:
                return handler(parameters)
            finally:
                _context.reset(token)

        return handle

    iam_evaluator.evaluate = evaluate_with_context
    for operation in SIMULATED:
        iam._IAM_HANDLERS[operation] = with_context(iam._IAM_HANDLERS[operation])
