"""Pages as Markdown, and ``llms.txt``: what a program that reads prose is given."""

from __future__ import annotations

import html
import re

from octavo.site.doors import address
from octavo.site.holdings import Holdings
from octavo.site.markup import Page

DROPPED = re.compile(r"<(svg|button|form)\b.*?</\1>", re.S)
MATH = re.compile(r'<math\b[^>]*aria-label="([^"]*)"[^>]*>.*?</math>', re.S)
FACT = re.compile(r"<div([^>]*)><dt>(.*?)</dt>\s*<dd>(.*?)</dd></div>", re.S)
LISTS = re.compile(r"<(/?)dl\b[^>]*>")
NEEDLESS = re.compile(  # code, a mark that would start a list: as they are; else the bare mark
    r"(```.*?\n\s*```|`[^`\n]*`|\\`|^\s*\d*\\.)|\\([-+=.)])", re.S | re.M
)
LINE_NUMBER = re.compile(r'<span class="line-no"[^>]*>\d+</span>')


def markdown(page: Page) -> str:
    r"""The page's Markdown twin: what it says, links kept, pictures and forms left out.

    >>> print(markdown(Page("x", "X", "<h1>X</h1><p>1 &lt; 2 <b>so</b></p>")))
    # X
    <BLANKLINE>
    1 \< 2 **so**
    <BLANKLINE>
    """
    from html_to_markdown import ConversionOptions, convert

    options = ConversionOptions(
        escape_misc=True, escape_asterisks=True, escape_underscores=True, extract_metadata=False
    )
    said = str(convert(_simple(page.body), options).content).strip()
    return NEEDLESS.sub(lambda found: found[1] or found[2], said) + "\n"


def _simple(body: str) -> str:
    """Our HTML with formulas as TeX and lists of terms as plain lists."""
    said = LINE_NUMBER.sub("", DROPPED.sub("", body))
    said = MATH.sub(lambda found: f"<code>${html.unescape(found[1])}$</code>", said)
    said = FACT.sub(r"<li\1><b>\2</b>: \3</li>", said)
    return LISTS.sub(r"<\1ul>", said)


def llms(holdings: Holdings) -> str:
    """The map of the site for a language model: what is here, what is not, where to read it."""
    counts = (
        f"{len(holdings.papers):,} papers, {len(holdings.methods)} methods "
        f"({len(holdings.implemented)} of them run here), {holdings.claims} claims"
    )
    lines = [
        "# Octavo",
        "",
        f"> Neural-network compression, from paper to kernel: {counts}. Each claim has what the "
        "paper reports beside what was measured.",
        "",
        "Every page has a Markdown twin, `index.md` beside it. Papers outside neural-network "
        "compression and efficient deep learning are not here, and no paper's full text is.",
        "",
        "## Methods that run",
        "",
        *(_line(f"methods/{m}", holdings.methods[m].name) for m in holdings.implemented),
        "",
        "## Themes",
        "",
        *(
            _line(f"themes/{theme.id}", theme.name, theme.description)
            for theme in holdings.taxonomy.themes.values()
        ),
        "",
        "## Lists",
        "",
        _line("papers", "Papers", "by year and by theme"),
        _line("methods", "Methods", "all, with those that are only described"),
        _line("benchmarks", "Benchmarks", "every claim with its verdict"),
        _line("kernels", "Kernels", "what stands under a compressed layer"),
        _line("facets", "Facets", "methods by what they need and leave behind"),
        "",
        "## Optional",
        "",
        _line("data", "Data and feeds", "the whole catalog as files; feeds; the MCP server"),
    ]
    return "\n".join(lines) + "\n"


def _line(path: str, name: str, about: str = "") -> str:
    target = address.file(f"{path}/index.md")
    return f"- [{name}]({target})" + (f": {' '.join(about.split())}" if about else "")
