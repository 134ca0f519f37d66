"""Reports as text: what people and programs read. Nothing here sees a model, a trace or torch."""
