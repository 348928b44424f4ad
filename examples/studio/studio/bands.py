"""Bands and their members, as they are written in the booking form."""


def parse_members(text):
    """The names in a list such as "Ann, Bo, Cy", in its order."""
    return [name.strip() for name in text.split(",")]


def initials(name):
    """The first letters of a name's words: "Ann Lee" is "AL"."""
    return "".join(word[0].upper() for word in name.split())
