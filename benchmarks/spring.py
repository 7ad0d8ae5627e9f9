"""Spring's template as a contender; none unless it was built."""


def commands():
    return {}
