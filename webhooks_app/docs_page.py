"""The OpenAPI document as one HTML page that loads nothing: no script, no font, no other host."""

from __future__ import annotations

import re
from html import escape
from typing import Any

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}
h2{margin-top:2.5rem;border-bottom:1px solid #ccc}
h3{margin:2rem 0 .3rem;font-family:ui-monospace,monospace;font-size:1rem}
table{border-collapse:collapse;margin:.5rem 0;width:100%}td,th{text-align:left;vertical-align:top;padding:.2rem .6rem;
border-top:1px solid #ddd;font-size:.9rem}code{font-family:ui-monospace,monospace;font-size:.9em}
.method{display:inline-block;min-width:4em;font-weight:700}.scopes{color:#555}p{margin:.3rem 0}
"""


def render(document: dict[str, Any]) -> str:
    """The page."""
    schemas = document["components"]["schemas"]
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{escape(document['info']['title'])}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(document['info']['title'])} {escape(document['info']['version'])}</h1>",
        f"<p>{_prose(document['info']['description'])}</p>",
        "<p>The same for machines: <a href='/openapi.json'>/openapi.json</a></p><h2>Operations</h2>",
    ]
    for path, operations in document["paths"].items():
        parts += [_operation(path, method, operation) for method, operation in operations.items()]
    parts += ["<h2>Kinds of alarm</h2>", _kinds(document["x-kinds"]), "<h2>Providers</h2>"]
    parts += [_provider(name, provider) for name, provider in document["x-providers"].items()]
    parts += ["<h2>Problems</h2>"]
    parts += [_problem(name, problem) for name, problem in document["x-problems"].items()]
    parts += ["<h2>Bodies and answers</h2>"]
    parts += [_schema(name, schema) for name, schema in schemas.items()]
    return "\n".join([*parts, "</body></html>"])


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    scopes = " or ".join(operation.get("x-scopes", [])) or "no key"
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    rows = [
        (parameter["in"], f"<code>{escape(parameter['name'])}</code>", _prose(parameter["description"]))
        for parameter in operation["parameters"]
    ]
    if body:
        rows.append(("body", _type(body), _prose(body.get("description", ""))))
    for status, response in operation["responses"].items():
        content: dict[str, Any] = next(iter(response.get("content", {}).values()), {})
        rows.append((status, _type(content.get("schema", {})), _prose(response["description"])))
    return (
        f"<h3><span class=method>{method.upper()}</span>{escape(path)}</h3>"
        f"<p>{_prose(operation['summary'])}. <span class=scopes>Scope: {escape(scopes)}.</span></p>{_table(rows)}"
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        (
            f"<code>{escape(field)}</code>{'' if field in required else '?'}",
            _type(value),
            _prose(" ".join(filter(None, [value.get("description", ""), _bounds(value)]))),
        )
        for field, value in schema.get("properties", {}).items()
    ]
    words = ", ".join(f"<code>{escape(str(word))}</code>" for word in schema.get("enum", []))
    text = _prose(schema.get("description", ""))
    return f"<h3 id='schema-{escape(name)}'>{escape(name)}</h3><p>{text}</p><p>{words}</p>{_table(rows)}"


def _bounds(value: dict[str, Any]) -> str:
    names = {"maxLength": "characters at most", "maxItems": "items at most", "minimum": "or more", "maximum": "at most"}
    inner: dict[str, Any] = next((item for item in value.get("anyOf", []) if item.get("type") != "null"), {})
    both = inner | value
    return "; ".join(f"{both[key]} {text}" for key, text in names.items() if key in both)


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#schema-{name}'>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(_type(item) for item in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(word))}</code>" for word in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    kind = schema.get("format") or schema.get("type") or "anything"
    return escape(str(kind))


def _kinds(kinds: dict[str, Any]) -> str:
    return _table(
        [
            (f"<code>{escape(name)}</code>", escape(", ".join(kind["services"]) or "nobody"), _prose(kind["why"]))
            for name, kind in kinds.items()
        ]
    )


def _provider(name: str, provider: dict[str, Any]) -> str:
    rows = [(f"<code>{escape(what)}</code>", _prose(why), "") for what, why in provider["cannot"].items()]
    needs = "Answers alarms of registered sites only. " if provider["needs_site"] else ""
    return f"<h3>{escape(name)}</h3><p>{needs}What it cannot do (409):</p>{_table(rows)}"


def _problem(name: str, problem: dict[str, Any]) -> str:
    return f"<h3 id='{escape(name)}'>{escape(name)}</h3><p>{problem['status']}: {escape(problem['title'])}.</p>"


def _prose(text: str) -> str:
    """Text as HTML, with `words between backticks` as code. Escaped first, so that nothing in it can be markup."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _table(rows: list[tuple[str, str, str]]) -> str:
    """Cells are HTML already."""
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{cells}</table>" if rows else ""
