"""The papers' own tables: what was published, what the same convention computes, and why they differ.

`tables` describes the data and reads it, `printed` compares numbers as they stand in print, `quantities`
takes them from a report, and `computing` fills a table. Nothing here imports torch: whoever calls measures.
"""
