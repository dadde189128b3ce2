"""The docs page as HTML: what stands between backticks is code, and nothing in the document is markup."""

from __future__ import annotations

from webhooks_app import docs_page, openapi
from webhooks_app.routes import ROUTES


def test_docs_page_shows_code_when_text_has_backticks() -> None:
    """No reader sees a raw backtick."""
    page = docs_page.render(openapi.build(ROUTES, "1"))
    assert "<code>Retry-After</code> seconds" in page
    assert "`" not in page


def test_docs_page_escapes_markup_when_it_stands_in_code() -> None:
    """Escaping comes first: backticks open no way for a tag."""
    document = openapi.build((), "1")
    document["info"]["description"] = "say `<b>` & `x`"
    assert "say <code>&lt;b&gt;</code> &amp; <code>x</code>" in docs_page.render(document)
