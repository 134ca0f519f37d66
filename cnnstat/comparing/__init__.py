"""Networks side by side: totals, layers aligned, stages. No torch."""
