"""Why that number, and what it would be if the layers were built otherwise. No torch."""
