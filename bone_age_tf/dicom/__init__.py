"""DICOM files: what their header says, and their pixels as 16-bit grey, bone bright.

`reader` is the way in; `header` and `admission` tell what needs no pixels. Nothing here knows of the
network or of preparation.
"""
