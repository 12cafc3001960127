import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher

from access_control.credentials import (
    HashingCost,
    SecretHasher,
    is_plain_row,
    new_passcode,
    new_password,
    new_token,
    token_hash,
)


def test_a_hash_matches_its_secret_and_no_other(hasher: SecretHasher) -> None:
    stored = hasher.hash("correct horse")
    assert hasher.matches(stored, "correct horse")
    assert not hasher.matches(stored, "correct horsf")
    assert not hasher.matches(stored, "")


def test_equal_secrets_have_different_hashes(hasher: SecretHasher) -> None:
    assert hasher.hash("secret") != hasher.hash("secret")


def test_nothing_matches_when_nothing_is_stored(hasher: SecretHasher) -> None:
    assert not hasher.matches(None, "")
    assert not hasher.matches("", "")
    assert not hasher.matches("not a hash", "not a hash")


@pytest.mark.parametrize("secret", ["\ud800", "\x00", "密码" * 100, "x" * 1_000_000])
def test_any_text_can_be_compared(hasher: SecretHasher, secret: str) -> None:
    assert not hasher.matches(hasher.hash("other"), secret)


def test_an_endless_secret_never_matches_even_its_own_beginning(hasher: SecretHasher) -> None:
    stored = hasher.hash("x" * 1024)
    assert hasher.matches(stored, "x" * 1024)
    assert not hasher.matches(stored, "x" * 1025)


def test_full_width_typing_is_the_same_secret(hasher: SecretHasher) -> None:
    assert hasher.matches(hasher.hash("Pass123"), "Ｐａｓｓ１２３")


def test_a_hash_of_another_cost_is_outdated(hasher: SecretHasher) -> None:
    dearer = SecretHasher(HashingCost(time_cost=2, memory_kib=8))
    assert hasher.is_outdated(dearer.hash("secret"))
    assert not hasher.is_outdated(hasher.hash("secret"))


def test_comparing_with_nothing_takes_as_long_as_comparing_with_a_hash() -> None:
    hasher = SecretHasher()
    stored = hasher.hash("secret")

    def fastest(stored_hash: str | None) -> float:
        taken = []
        for _ in range(7):
            begun = time.thread_time()
            hasher.matches(stored_hash, "wrong")
            taken.append(time.thread_time() - begun)
        return min(taken)

    unknown, known = fastest(None), fastest(stored)
    assert 0.3 < unknown / known < 3


def test_tokens_are_256_bits_never_alike_and_fit_an_address() -> None:
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_a_token_hash_says_nothing_and_takes_any_text() -> None:
    assert token_hash("a") != token_hash("b")
    assert re.fullmatch(r"[0-9a-f]{64}", token_hash("\ud800\x00"))


def test_a_password_can_be_read_aloud() -> None:
    passwords = {new_password() for _ in range(200)}
    assert len(passwords) == 200
    assert all(re.fullmatch(r"([a-hjkmnp-z2-9]{5}-){2}[a-hjkmnp-z2-9]{5}", p) for p in passwords)


@pytest.mark.parametrize("digits", [6, 7, 8])
def test_a_passcode_is_that_many_digits_and_none_that_people_try_first(digits: int) -> None:
    passcodes = [new_passcode(digits) for _ in range(200)]
    assert all(re.fullmatch(rf"[0-9]{{{digits}}}", passcode) for passcode in passcodes)
    assert not any(map(is_plain_row, passcodes))
    assert len(set(passcodes)) > 190


@pytest.mark.parametrize(
    ("passcode", "plain"),
    [
        ("000000", True),
        ("123456", True),
        ("98765432", True),
        ("121212", False),
        ("482913", False),
        ("135791", False),
        ("246802", False),
    ],
)
def test_rows_are_recognised(passcode: str, *, plain: bool) -> None:
    assert is_plain_row(passcode) is plain


def test_no_more_than_two_hashes_are_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hasher = SecretHasher(HashingCost(1, 8))
    both_inside, running, most = threading.Barrier(2), 0, 0
    lock, verify = threading.Lock(), PasswordHasher.verify

    def watched(argon2: PasswordHasher, stored: str, secret: bytes) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both_inside.wait(timeout=30)
        try:
            return verify(argon2, stored, secret)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(PasswordHasher, "verify", watched)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: hasher.matches(None, "x"), range(8))) == [False] * 8
    assert most == 2
