"""Bills of a band and its members, in whole cents."""

from studio.prices import price


def discount(hours):
    """Per cent off for a band with that many hours in a month."""
    if hours > 20:
        return 20
    if hours > 10:
        return 10
    return 0


def bill(spans, size="small"):
    """Cents that a band owes for a month of rehearsals, less the discount for regulars."""
    total = sum(price(span, size) for span in spans)
    hours = sum(end - start for start, end in spans) / 60
    return total - total * discount(hours) // 100


def split_bill(total, members):
    """What each member pays of `total` cents: a dict from name to cents, the first ones a cent more if need be."""
    share, rest = divmod(total, len(members))
    return {member: share + (place < rest) for place, member in enumerate(members)}
