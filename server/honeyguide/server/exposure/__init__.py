"""What was shown to whom, for learning and for looking into it: Parquet files that roll."""
