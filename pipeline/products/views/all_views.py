"""Everything that is derived from a store. A new view is a module of its own and a line here.

Each takes the path of the store and a `ViewContext`, writes where the context's
`ProductFiles` say, and returns the files it wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.products.view_context import ViewContext
from pipeline.products.views.card import write_card
from pipeline.products.views.cog import write_cogs
from pipeline.products.views.page import write_page
from pipeline.products.views.pictures import write_pictures

View = Callable[[Path, ViewContext], list[Path]]

VIEWS: Mapping[str, View] = {
    "cog": write_cogs,
    "pictures": write_pictures,
    "card": write_card,
    "page": write_page,
}
