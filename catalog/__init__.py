"""Everything that is known, as plain text, and the small typed reader for it.

>>> from octavo import catalog
>>> catalog.papers()["synflow"].arxiv
'2006.05467'
"""

from octavo.catalog import identity as identity
from octavo.catalog.expectations import EXPECTATIONS as EXPECTATIONS
from octavo.catalog.expectations import VERDICTS as VERDICTS
from octavo.catalog.expectations import verdict as verdict
from octavo.catalog.ledger import code_hash as code_hash
from octavo.catalog.ledger import implementation as implementation
from octavo.catalog.ledger import implemented as implemented
from octavo.catalog.ledger import kernel_runs as kernel_runs
from octavo.catalog.ledger import latest as latest
from octavo.catalog.ledger import model_runs as model_runs
from octavo.catalog.ledger import page_runs as page_runs
from octavo.catalog.ledger import scale_runs as scale_runs
from octavo.catalog.ledger import search_runs as search_runs
from octavo.catalog.ledger import stale as stale
from octavo.catalog.ledger import tagger_runs as tagger_runs
from octavo.catalog.ledger import theme_runs as theme_runs
from octavo.catalog.reader import ROOT as ROOT
from octavo.catalog.reader import check as check
from octavo.catalog.reader import check_papers as check_papers
from octavo.catalog.reader import methods as methods
from octavo.catalog.reader import paper_from_json as paper_from_json
from octavo.catalog.reader import papers as papers
from octavo.catalog.reader import results as results
from octavo.catalog.reader import sources as sources
from octavo.catalog.reader import taxonomy as taxonomy
from octavo.catalog.records import Claim as Claim
from octavo.catalog.records import Facet as Facet
from octavo.catalog.records import Followed as Followed
from octavo.catalog.records import Formula as Formula
from octavo.catalog.records import Method as Method
from octavo.catalog.records import Paper as Paper
from octavo.catalog.records import Result as Result
from octavo.catalog.records import Source as Source
from octavo.catalog.records import Tag as Tag
from octavo.catalog.records import Taxonomy as Taxonomy
from octavo.catalog.records import Technique as Technique
from octavo.catalog.records import Theme as Theme
from octavo.catalog.records import Trend as Trend
from octavo.catalog.records import paper_to_json as paper_to_json
