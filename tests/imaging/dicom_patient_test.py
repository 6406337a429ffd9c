import hashlib

import pytest
from fixtures import dicom_files
from pydicom import uid

from apppau_jax.imaging import dicom_patient


@pytest.mark.parametrize(
  "syntax",
  [
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
  ],
)
def test_a_patient_has_one_digest_that_does_not_state_the_name(syntax):
  files = [
    dicom_files.make(syntax=syntax, PatientID=name)
    for name in ("SECRET-17", " SECRET-17 ", "SECRET-18")
  ]
  heads = [content[: dicom_patient.HEAD] for content in files]
  first, same, other = (dicom_patient.digest(h, name="a") for h in heads)
  assert first == same == hashlib.sha256(b"SECRET-17").hexdigest()[:16]
  assert other != first


@pytest.mark.parametrize(
  "head",
  [
    b"",
    b"\x89PNG",
    dicom_files.make(PatientID=None),
    dicom_files.make(PatientID=""),
    dicom_files.make()[:150],
    bytes(400),
  ],
)
def test_no_patient(head):
  assert dicom_patient.digest(head, name="a") == ""
