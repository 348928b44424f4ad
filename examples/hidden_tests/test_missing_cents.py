import pytest
from studio import split_bill


def test_the_examples():
    assert split_bill(1000, ["Ann", "Bo", "Cy"]) == {"Ann": 334, "Bo": 333, "Cy": 333}
    assert split_bill(1001, ["Ann", "Bo", "Cy"]) == {"Ann": 334, "Bo": 334, "Cy": 333}


@pytest.mark.parametrize("total", [0, 1, 2, 99, 100, 999, 12345])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_no_cent_is_lost(total, count):
    members = [f"m{index}" for index in range(count)]
    shares = split_bill(total, members)
    assert list(shares) == members
    assert sum(shares.values()) == total
    assert max(shares.values()) - min(shares.values()) <= 1
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert all(isinstance(share, int) for share in shares.values())


def test_the_argument_is_left_alone():
    members = ["Zoe", "Ann"]
    assert split_bill(3, members) == {"Zoe": 2, "Ann": 1}
    assert members == ["Zoe", "Ann"]
