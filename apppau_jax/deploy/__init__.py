"""Results for other systems: DICOM objects, and a DICOM server's round trip."""
