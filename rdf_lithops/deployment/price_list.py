"""What AWS asks for Lambda in a region today, from its own price list: it needs no more than the right to read that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from ..planning import list_prices

__all__ = ["fetched"]

BACKEND, LIST_REGION = "aws_lambda", "us-east-1"  # the list of all regions is there
GROUPS = {"AWS-Lambda-Duration": "gb_s", "AWS-Lambda-Requests": "request"}  # of products, and what a table calls them


def fetched(backend: Any, section: dict[str, Any]) -> str:
    """Ask AWS' price list for the region of ``section``, keep what it says for later plans, and return that in words;
    "" for another back end. ``backend`` is Lithops'. Where it may not be read, the words say why the table stands."""
    session, region = getattr(backend, "aws_session", None), str(section.get("region") or section.get("region_name") or "")
    if session is None or not region or not hasattr(backend, "lambda_client"):
        return ""
    try:
        prices = {name: price for group, name in GROUPS.items() for price in _prices(session, region, group)}
    except Exception as problem:  # of boto3's kinds: refused, no network, no such service where this runs
        return f"prices are those of the table: AWS' price list cannot be read ({str(problem).partition(chr(10))[0]})"
    if set(prices) != set(GROUPS.values()):
        return f"prices are those of the table: AWS' price list does not name all of {region}'s"
    today = datetime.now(timezone.utc).date().isoformat()
    list_prices.keep(BACKEND, region, today, prices)
    per = f"{prices['gb_s']:g} USD per GB-s, {1e6 * prices['request']:g} per million requests"
    return f"prices of {region} as AWS' price list has them today: {per}"


def _prices(session: Any, region: str, group: str) -> Iterator[float]:
    """What the products of a group cost in a region, in their first tier."""
    client = session.client("pricing", region_name=LIST_REGION)
    wanted = {"regionCode": region, "group": group}
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
    for page in client.get_paginator("get_products").paginate(ServiceCode="AWSLambda", Filters=filters):
        for product in map(json.loads, page["PriceList"]):
            if product["product"]["attributes"].get("group") == group:
                yield from _first_tier(product["terms"].get("OnDemand", {}))


def _first_tier(terms: dict[str, Any]) -> Iterator[float]:
    for term in terms.values():
        for dimension in term["priceDimensions"].values():
            price = float(dimension["pricePerUnit"].get("USD", 0.0))
            if dimension.get("beginRange") == "0" and price > 0:
                yield price
