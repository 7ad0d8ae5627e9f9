import pytest

from contracts import Certainty, Code

# From gRPC's list of status codes; 0 is OK, which is no error.
NUMBERS = [
    ("CANCELLED", 1),
    ("UNKNOWN", 2),
    ("INVALID_ARGUMENT", 3),
    ("DEADLINE_EXCEEDED", 4),
    ("NOT_FOUND", 5),
    ("ALREADY_EXISTS", 6),
    ("PERMISSION_DENIED", 7),
    ("RESOURCE_EXHAUSTED", 8),
    ("FAILED_PRECONDITION", 9),
    ("ABORTED", 10),
    ("OUT_OF_RANGE", 11),
    ("UNIMPLEMENTED", 12),
    ("INTERNAL", 13),
    ("UNAVAILABLE", 14),
    ("DATA_LOSS", 15),
    ("UNAUTHENTICATED", 16),
]


@pytest.mark.parametrize(("name", "number"), NUMBERS)
def test_a_code_has_grpcs_name_and_number(name, number):
    code = Code(name)

    assert (code.name, code.value, str(code), code.number) == (name, name, name, number)


def test_there_are_no_other_codes():
    assert [code.value for code in Code] == [name for name, _ in NUMBERS]


def test_certainties_are_three():
    assert [str(certainty) for certainty in Certainty] == ["NOT_EXECUTED", "EXECUTED", "UNKNOWN"]
