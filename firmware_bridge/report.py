"""Verifications and plans as text for people and as JSON for machines."""

from __future__ import annotations

from typing import Any

from firmware_bridge.build import Prepared
from firmware_bridge.verify import Agreement, Verification


def _agreement_json(agreement: Agreement) -> dict[str, Any]:
    found: dict[str, Any] = {
        "place": agreement.place,
        "reference": agreement.reference,
        "agrees": agreement.agrees,
        "records": agreement.n_records,
        "values": agreement.n_values,
        "different": agreement.n_different,
        "largest": agreement.largest,
        "allowed": agreement.allowed,
    }
    if agreement.counts:
        found["instructions"] = max(count.instructions for count in agreement.counts)
        found["stack_bytes"] = max(count.stack_bytes for count in agreement.counts)
        found["flash_bytes"] = agreement.flash_bytes
        found["kernel_bytes"] = agreement.kernel_bytes
    return found


def verification_json(verification: Verification) -> dict[str, Any]:
    """Return a verification as a tree for ``--json``."""
    return {
        "name": verification.manifest.name,
        "target": verification.manifest.target,
        "contract": verification.manifest.contract,
        "agreements": [_agreement_json(agreement) for agreement in verification.agreements],
        "litert": [
            {
                "kernels": difference.kernels,
                "problem": difference.problem,
                "values": difference.n_values,
                "different": difference.n_different,
                "largest": difference.largest,
            }
            for difference in verification.differences
        ],
    }


def verification_text(verification: Verification) -> str:
    """Return a verification as lines for people."""
    lines = [f"{verification.manifest.name} ({verification.manifest.target})"]
    for agreement in verification.agreements:
        if agreement.largest == 0:
            verdict = "exact"
        elif agreement.agrees:
            verdict = f"within {agreement.allowed}: {agreement.n_different} differ, by up to {agreement.largest}"
        else:
            verdict = f"DIFFERS: {agreement.n_different} values, by up to {agreement.largest}"
        line = f"  {agreement.place}: {agreement.n_records} inputs, {agreement.n_values} values against "
        lines.append(f"{line}{agreement.reference}: {verdict}")
        if agreement.counts:
            most = max(count.instructions for count in agreement.counts)
            stack = max(count.stack_bytes for count in agreement.counts)
            lines.append(
                f"    {most} instructions, stack {stack} bytes, flash {agreement.flash_bytes} bytes "
                f"of which kernels {agreement.kernel_bytes}"
            )
    for difference in verification.differences:
        measured = f"{difference.n_different} of {difference.n_values} values differ, by up to {difference.largest:g}"
        lines.append(f"  for information, LiteRT {difference.kernels} kernels: {difference.problem or measured}")
    return "\n".join(lines)


def plan_json(prepared: Prepared) -> dict[str, Any]:
    """Return a plan as a tree for ``--json``."""
    program, plan = prepared.program, prepared.plan
    return {
        "arena_bytes": plan.arena_bytes,
        "lower_bound": plan.lower_bound,
        "state_bytes": plan.state_bytes,
        "order": [program.steps[index].operator for index in plan.order],
        "buffers": [
            {"name": program.buffers[index].name, "offset": offset, "bytes": program.buffers[index].nbytes}
            for index, offset in sorted(plan.offset_of.items(), key=lambda item: item[1])
        ],
        "peak": [{"what": what, "bytes": nbytes} for what, nbytes in plan.peak],
    }


def plan_text(prepared: Prepared) -> str:
    """Return a plan as lines for people."""
    program, plan = prepared.program, prepared.plan
    excess = 100.0 * (plan.arena_bytes - plan.lower_bound) / max(plan.lower_bound, 1)
    lines = [
        f"arena {plan.arena_bytes} bytes, lower bound {plan.lower_bound} (+{excess:.1f} %)",
        f"state {plan.state_bytes} bytes",
        "live at the peak:",
        *(f"  {nbytes:8d}  {what}" for what, nbytes in plan.peak),
        "steps:",
    ]
    for position, index in enumerate(plan.order):
        step = program.steps[index]
        lines.append(
            f"  {step.operator:4d} {step.name}: {step.macs} MACs, scratch {step.scratch_bytes} "
            f"at {plan.scratch_of[position]}"
        )
    return "\n".join(lines)
