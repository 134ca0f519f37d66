"""What stands for a letter that the terminal's encoding does not have: bars and rules in ASCII.

A letter takes the place of a letter, so that columns stay aligned.
"""

from __future__ import annotations

import codecs

ERRORS = "cnnstat-look-alikes"
"""Name of the handler, for `errors=`."""

_FROM = "▁▂▃▄▅▆▇█▏▎▍▌▋▊▉▓▒░▚▪▬▫▲─├┼│×·…–—−≥≤→÷Δ"
_TO = "_.-:=+*#||||###%=-o.~,^-++|x-.---><>/d"
_LOOK_ALIKES = dict(zip(_FROM, _TO, strict=True))


def look_alikes(error: UnicodeError) -> tuple[str, int]:
    """The handler: letters that look alike, and a question mark where there is none."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_LOOK_ALIKES.get(letter, "?") for letter in missing), error.end


codecs.register_error(ERRORS, look_alikes)
