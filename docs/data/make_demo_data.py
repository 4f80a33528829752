"""Makes the demo data inside the package from the Online Retail table (UCI, DOI 10.24432/C5BW33).

    python docs/data/make_demo_data.py online_retail.parquet

The table has the columns InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID. What is taken
and changed stands in training/honeyguide/training/demo_data/NOTICE.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

FOLDER = Path(__file__).parents[2] / "training/honeyguide/training/demo_data"
CUSTOMERS = 1_000
LONGEST = 400  # events: a few wholesalers would otherwise be a tenth of the data


def main(table: str) -> None:
    """Writes the two files from the table."""
    lines = (
        pl.read_parquet(table)
        .filter(
            pl.col("CustomerID").is_not_null(),
            ~pl.col("InvoiceNo").str.starts_with("C"),  # cancelled
            pl.col("Quantity") > 0,
            pl.col("UnitPrice") > 0,
            pl.col("StockCode").str.contains(r"^\d{5}[A-Za-z]*$"),  # no postage, fees or manual entries
        )
        .select(
            pl.col("CustomerID").cast(pl.Int32).alias("customer_id"),
            pl.col("StockCode").alias("stock_code"),
            pl.col("InvoiceDate").str.to_datetime(time_unit="ms").alias("time"),
            pl.col("Quantity").cast(pl.Int32).alias("quantity"),
            pl.col("UnitPrice").cast(pl.Float32).alias("unit_price"),
            pl.col("Description").str.strip_chars().alias("title"),
        )
    )
    customers = (
        lines.group_by("customer_id")
        .agg(pl.col("time").n_unique().alias("baskets"), pl.len().alias("events"))
        .filter((pl.col("baskets") >= 3) & (pl.col("events") <= LONGEST))
        .sort("customer_id")
        .sample(CUSTOMERS, seed=1)
    )
    chosen = lines.join(customers.select("customer_id"), on="customer_id", how="semi")
    events = chosen.drop("title").sort("time", "customer_id", maintain_order=True)
    titles = lines.group_by("stock_code", "title").len().sort("len", "title", descending=[True, False])
    items = (
        titles.unique("stock_code", keep="first", maintain_order=True)
        .join(events.select("stock_code").unique(), on="stock_code", how="semi")
        .select("stock_code", "title")
        .sort("stock_code")
    )
    for name, frame in (("events", events), ("items", items)):
        path = FOLDER / f"online_retail_{name}.parquet"
        frame.write_parquet(path, compression="zstd", compression_level=19, statistics=False)
        print(f"{path.name}: {frame.height} rows, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
