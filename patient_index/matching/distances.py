"""How far two short texts are apart: one slip of the pen, two neighbours swapped, similar words."""

from rapidfuzz.distance import OSA, JaroWinkler


def one_slip(first: str, second: str) -> bool:
    """Say whether one character was lost, added, exchanged, or swapped with its neighbour."""
    return abs(len(first) - len(second)) <= 1 and OSA.distance(first, second, score_cutoff=1) == 1


def neighbours_swapped(first: str, second: str) -> bool:
    """Say whether the texts differ by one swap of neighbouring characters."""
    if len(first) != len(second):
        return False
    different = [i for i, pair in enumerate(zip(first, second, strict=True)) if pair[0] != pair[1]]
    if len(different) != 2 or different[1] != different[0] + 1:
        return False
    left, right = different
    return first[left] == second[right] and first[right] == second[left]


def characters_that_differ(first: str, second: str) -> int:
    """Return in how many places texts of the same length differ."""
    return sum(a != b for a, b in zip(first, second, strict=True))


def similarity(first: str, second: str) -> float:
    """Return the similarity of Jaro and Winkler, 0 to 1."""
    return JaroWinkler.similarity(first, second)


def edit_similarity(first: str, second: str) -> float:
    """Return 1 minus the edit distance as a share of the longer text."""
    return OSA.normalized_similarity(first, second)
