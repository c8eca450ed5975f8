"""Colours of a report: named roles, drawn as placeholders and resolved by the page's style sheet.

Charts are drawn once and must be read on white paper and on a dark screen. So matplotlib draws in placeholder colours,
one for each role, and `resolve` turns them into `var(--role)`; the page defines the roles for light, dark and print.
The hues are those of Okabe and Ito, which people with any kind of colour blindness tell apart; what matters most is
told by shape as well (treatment is solid, control dashed, bounds dotted).
"""

ROLES = (
    "ink",
    "muted",
    "grid",
    "paper",
    "treatment",
    "treatment-soft",
    "control",
    "good",
    "bad",
    "bad-soft",
    "caution",
)

PLACEHOLDERS = {role: f"#0a0b{index + 16:02x}" for index, role in enumerate(ROLES)}

INK = PLACEHOLDERS["ink"]
MUTED = PLACEHOLDERS["muted"]
GRID = PLACEHOLDERS["grid"]
PAPER = PLACEHOLDERS["paper"]
TREATMENT = PLACEHOLDERS["treatment"]
TREATMENT_SOFT = PLACEHOLDERS["treatment-soft"]
CONTROL = PLACEHOLDERS["control"]
GOOD = PLACEHOLDERS["good"]
BAD = PLACEHOLDERS["bad"]
BAD_SOFT = PLACEHOLDERS["bad-soft"]
CAUTION = PLACEHOLDERS["caution"]


def resolve(svg: str) -> str:
    """Replace each placeholder by the style sheet's variable for its role."""
    for role, placeholder in PLACEHOLDERS.items():
        svg = svg.replace(placeholder, f"var(--{role})")
    return svg
