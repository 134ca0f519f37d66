"""Where models come from: torchvision, timm, cnnstat's own zoo, a Python file, a module.

Sources build models and say what they take; they count nothing.
"""
