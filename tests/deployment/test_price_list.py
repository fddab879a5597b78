"""Prices of AWS' own list, asked for when a runtime is deployed: those of the region, or else the table's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lithops
import pytest
from lambda_standin import Service, account

from rdf_lithops.deployment import price_list
from rdf_lithops.planning import list_prices
from rdf_lithops.planning.cost import Offer, prices_of

TABLE = prices_of(Offer("aws_lambda", account.REGION))
assert TABLE is not None


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept here is of this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def products(aws_service: Service) -> Iterator[list[dict[str, Any]]]:
    """AWS' price list, as it is written there: what is wanted among what is not."""
    wanted = [product("AWS-Lambda-Duration", ("0", "0.0000123400"), ("6000000000", "0.0000111100"))]
    wanted.append(product("AWS-Lambda-Requests", ("0", "0.0000003000")))
    others = [
        product("AWS-Lambda-Duration-ARM", ("0", "0.0000000001")),
        product("AWS-Lambda-Storage-Duration", ("0", "1e-9")),
    ]
    elsewhere = [product(each["product"]["attributes"]["group"], ("0", "0.9"), region="eu-west-1") for each in wanted]
    aws_service.products = [*others, *elsewhere, *wanted]
    yield aws_service.products
    aws_service.products = None


def product(group: str, *tiers: tuple[str, str], region: str = account.REGION) -> dict[str, Any]:
    """A product of the list, with its tiers: from how many on, and the price of one."""
    dimensions = {
        f"T.R.{number}": {"unit": "Second", "beginRange": begin, "endRange": "Inf", "pricePerUnit": {"USD": price}}
        for number, (begin, price) in enumerate(reversed(tiers))
    }
    attributes = {"servicecode": "AWSLambda", "regionCode": region, "group": group, "usagetype": f"{region}-{group}"}
    terms = {"OnDemand": {"T.R": {"priceDimensions": dimensions, "effectiveDate": "2026-11-01T00:00:00Z"}}}
    return {"product": {"productFamily": "Serverless", "attributes": attributes}, "terms": terms}


def fetched(executor: lithops.FunctionExecutor) -> str:
    """What is said of prices when a runtime is deployed."""
    return price_list.fetched(executor.compute_handler.backend, executor.config["aws_lambda"])


def test_the_list_counts(aws: lithops.FunctionExecutor, products: list[dict[str, Any]]) -> None:
    """What the list says of this region, in its first tier, is what later plans reckon with, and its day is named."""
    assert "1.234e-05 USD per GB-s, 0.3 per million requests" in fetched(aws)
    found = prices_of(Offer("aws_lambda", account.REGION))
    assert found is not None
    assert TABLE is not None
    assert (0.00001234, 0.0000003) == (found.gb_s, found.request)
    assert found.as_of > TABLE.as_of
    assert (TABLE.storage_write, TABLE.storage_read) == (found.storage_write, found.storage_read)
    assert f"as of {found.as_of}" in str(found)
    other = prices_of(Offer("aws_lambda", "eu-central-1"))
    assert other is not None
    assert other.as_of == TABLE.as_of


@pytest.mark.parametrize("missing", ["AWS-Lambda-Requests", "all"])
def test_the_table_stands(aws: lithops.FunctionExecutor, products: list[dict[str, Any]], missing: str) -> None:
    """A list that may not be read, or that lacks a price, changes nothing, and it is said why."""
    aws_service_products = [each for each in products if each["product"]["attributes"]["group"] != missing]
    products[:] = [] if missing == "all" else aws_service_products
    assert "prices are those of the table" in fetched(aws)
    assert TABLE == prices_of(Offer("aws_lambda", account.REGION))


def test_a_list_that_may_not_be_read(aws: lithops.FunctionExecutor, aws_service: Service) -> None:
    """Without the right to read the list the table stands, and AWS' own words are told."""
    assert aws_service.products is None
    said = fetched(aws)
    assert "prices are those of the table" in said
    assert "not authorized" in said
    assert TABLE == prices_of(Offer("aws_lambda", account.REGION))


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"as_of": "2020-01-01", "prices": {"gb_s": 0.5, "request": 0.5}}),
        json.dumps({"as_of": "2030-01-01", "prices": {"gb_s": -1.0}}),
        json.dumps({"as_of": "2030-01-01", "prices": {"gb_s": "much"}}),
        json.dumps([1, 2]),
        "{",
        "",
    ],
    ids=["older than the table", "negative", "no number", "another thing", "cut short", "empty"],
)
def test_what_is_no_price_is_not_used(tmp_path: Path, text: str) -> None:
    """A file of the cache that is old or damaged is as if it were not there."""
    list_prices.keep("aws_lambda", account.REGION, "2030-01-01", {"gb_s": 1e-5, "request": 1e-7})
    (path,) = tmp_path.rglob("prices-*.json")
    path.write_text(text)
    assert TABLE == prices_of(Offer("aws_lambda", account.REGION))
