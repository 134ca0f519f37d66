"""A budget that CI can hold: configuration, baseline, verdict. No torch."""
