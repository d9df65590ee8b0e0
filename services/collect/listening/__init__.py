"""The DICOM port: processes, associations, and the way of the bytes from the network into a file."""
