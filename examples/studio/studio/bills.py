"""Bills of a band and its members, in whole cents."""

from studio.prices import discount, price


def bill(spans, size="small"):
    """Cents that a band owes for a month of rehearsals, less the discount for regulars."""
    total = sum(price(span, size) for span in spans)
    hours = sum(end - start for start, end in spans) / 60
    return total - total * discount(hours) // 100


def split_bill(total, members):
    """What each member pays of `total` cents: a dict from name to cents, as even as can be."""
    share = total // len(members)
    return {member: share for member in members}


def format_cents(cents):
    """An amount such as "12.05"."""
    return f"{cents // 100}.{cents % 100:02d}"
