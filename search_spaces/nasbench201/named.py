"""Cells that the paper names."""

from __future__ import annotations

NAMED = {
    # The cell that is a residual block (arXiv 2001.00326, section 5); number 11472 of the tables.
    "NB201_ResNet": (
        "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"
    ),
}
