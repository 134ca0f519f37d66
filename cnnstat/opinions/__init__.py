"""Second opinions: what engines that others wrote count for the same model, and why it differs."""
