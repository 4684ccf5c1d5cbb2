"""MQTT topic filters as pure functions: whether one is legal, what it matches, and whether two can match the same."""

from __future__ import annotations

import re

MAX_TOPIC_BYTES = 65_535

_FORBIDDEN = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


def filter_fault(topic_filter: str) -> str | None:
    """Say what is wrong with a topic filter.

    Parameters
    ----------
    topic_filter : str
        Levels divided by ``/``; ``+`` stands for one level, ``#`` at the end for all that follow.

    Returns
    -------
    fault : str or None
        None when a broker accepts it.

    Examples
    --------
    >>> filter_fault("plant/+/temperature")
    >>> filter_fault("plant/#/temperature")
    '"#" stands only at the end, after a "/"'
    """
    if not topic_filter:
        return "is empty; write the topic that the source publishes on"
    if len(topic_filter.encode("utf-8", "surrogatepass")) > MAX_TOPIC_BYTES:
        return f"is longer than {MAX_TOPIC_BYTES} bytes"
    if _FORBIDDEN.search(topic_filter):
        return "holds a control character"
    levels = topic_filter.split("/")
    if any("#" in level and (level != "#" or index != len(levels) - 1) for index, level in enumerate(levels)):
        return '"#" stands only at the end, after a "/"'
    if any("+" in level and level != "+" for level in levels):
        return '"+" stands only for a whole level'
    return None


def filter_matches(topic_filter: str, topic: str) -> bool:
    """Tell whether a broker delivers a topic to a subscriber of a filter.

    Parameters
    ----------
    topic_filter : str
        A legal filter.
    topic : str
        A topic without wildcards.

    Returns
    -------
    matches : bool
        Topics that begin with ``$`` match no filter that begins with a wildcard.

    Examples
    --------
    >>> filter_matches("plant/#", "plant"), filter_matches("plant/+", "plant/a/b"), filter_matches("#", "$SYS/x")
    (True, False, False)
    """
    if topic.startswith("$") and topic_filter[:1] in {"+", "#"}:
        return False
    return filters_overlap(topic_filter, topic)


def filters_overlap(first: str, second: str) -> bool:
    """Tell whether some topic matches both of two filters.

    Parameters
    ----------
    first, second : str
        Legal filters.

    Returns
    -------
    overlap : bool
        Whether a message could belong to both.

    Examples
    --------
    >>> filters_overlap("a/+/c", "a/b/#"), filters_overlap("a/+", "a/b/c"), filters_overlap("a/#", "a")
    (True, False, True)
    """
    left, right = first.split("/"), second.split("/")
    for mine, theirs in zip(left, right, strict=False):
        if "#" in (mine, theirs):
            return True
        if mine != theirs and "+" not in (mine, theirs):
            return False
    if len(left) == len(right):
        return True
    shorter, longer = sorted((left, right), key=len)
    return longer[len(shorter) :] == ["#"]
