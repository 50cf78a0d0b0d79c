"""TeX to MathML at build time: no script, no font and no host is needed to read a formula."""

from __future__ import annotations

import logging
from functools import lru_cache
from xml.etree import ElementTree as Tree

from latex2mathml.converter import convert

from octavo.site.markup import text

log = logging.getLogger(__name__)
SPACE = "http://www.w3.org/1998/Math/MathML"
BOLD_DIGITS = {str(d): chr(0x1D7CE + d) for d in range(10)}
WITH_LIMITS = "∏∑⋃⋂∐"


@lru_cache(maxsize=4096)
def mathml(latex: str, display: str = "block") -> str:
    r"""One formula as MathML with its TeX as a label; what cannot be read is shown as TeX.

    >>> mathml("x^2", "inline")[:5]
    '<math'
    >>> "<mi>KL</mi>" in mathml("\\mathrm{KL}")
    True
    """
    try:
        tree = Tree.fromstring(convert(latex.strip(), display=display))
    except Exception as error:  # the converter raises many kinds; the reader still gets the TeX
        log.warning("formula shown as TeX (%s): %s", type(error).__name__, latex)
        return f'<code class="tex">{text(latex)}</code>'
    for node in tree.iter():
        _mend(node, display == "block")
    tree.set("aria-label", latex.strip())
    Tree.register_namespace("", SPACE)
    return Tree.tostring(tree, encoding="unicode")


def _mend(node: Tree.Element, block: bool) -> None:
    """What browsers leave undone: words in one element, bold digits, limits above and below."""
    node.attrib.pop("style", None)
    if node.get("mathvariant") == "bold" and node.text:
        node.text = "".join(BOLD_DIGITS.get(c, c) for c in node.text)
    if block and node.tag == f"{{{SPACE}}}msubsup" and (node[0].text or "") in WITH_LIMITS:
        node.tag = f"{{{SPACE}}}munderover"
    word: Tree.Element | None = None
    for child in list(node):
        upright = child.tag == f"{{{SPACE}}}mi" and child.get("mathvariant") == "normal"
        if upright and word is not None:
            word.text = (word.text or "") + (child.text or "")
            word.attrib.pop("mathvariant", None)
            node.remove(child)
        else:
            word = child if upright else None
