"""TeX to MathML at build time: no script, no font and no host is needed to read a formula."""

from __future__ import annotations

import logging
import re
from functools import lru_cache

from latex2mathml.converter import convert

from octavo.site.markup import text

log = logging.getLogger(__name__)


@lru_cache(maxsize=4096)
def mathml(latex: str, display: str = "block") -> str:
    """One formula as MathML with its TeX as a label; what cannot be read is shown as TeX.

    >>> mathml("x^2", "inline")[:5]
    '<math'
    """
    try:
        made = convert(latex.strip(), display=display)
    except Exception as error:  # the converter raises many kinds; the reader still gets the TeX
        log.warning("formula shown as TeX (%s): %s", type(error).__name__, latex)
        return f'<code class="tex">{text(latex)}</code>'
    made = re.sub(r'\sstyle="[^"]*"', "", made)
    return made.replace("<math ", f'<math aria-label="{text(latex.strip())}" ', 1)
