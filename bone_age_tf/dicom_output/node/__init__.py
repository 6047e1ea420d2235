"""The DICOM node: receives radiographs, queues them on disk, and sends the results on."""
