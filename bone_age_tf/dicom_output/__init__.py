"""Results as DICOM objects in the study of the radiograph, and the node that makes them in a hospital.

Needs the extra `[dicom-output]`. Objects are functions of a `result.Result` alone: the same file and the same model give the
same bytes. The unit of all lengths in an image is the pixel of the file as received.
"""
