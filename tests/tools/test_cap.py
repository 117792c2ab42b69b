"""A tool that says too much is cut, and the cut is marked."""

from __future__ import annotations

import pytest

from callboard.domain.block import Base64Source, ImageBlock, TextBlock, UrlSource
from callboard.domain.tools import ToolOutcome
from callboard.tools.cap import capped


def said(*texts: str) -> ToolOutcome:
    return ToolOutcome(content=tuple(TextBlock(text=text) for text in texts))


def texts(outcome: ToolOutcome) -> list[str]:
    return [block.text for block in outcome.content if isinstance(block, TextBlock)]


def test_what_fits_stays_as_it_is() -> None:
    assert capped(said("abc", "de"), 5) == said("abc", "de")


def test_what_does_not_fit_is_cut_and_marked() -> None:
    assert texts(capped(said("abcdef"), 4)) == ["abcd\n[2 bytes of this result were cut]"]


def test_the_limit_holds_for_all_texts_together() -> None:
    assert texts(capped(said("abc", "def"), 4)) == ["abc", "d\n[2 bytes of this result were cut]"]


@pytest.mark.parametrize("limit", range(1, 9))
def test_no_character_is_cut_in_half(limit: int) -> None:
    (text,) = texts(capped(said("äöü€"), limit))
    shown = text.partition("\n[")[0]
    assert "äöü€".startswith(shown)
    assert len(shown.encode()) <= limit


def test_an_error_stays_an_error_and_an_image_an_image() -> None:
    image = ImageBlock(source=UrlSource(url="https://example.com/a.png"))
    outcome = ToolOutcome(content=(image, TextBlock(text="abc")), is_error=True)
    cut = capped(outcome, 1)
    assert cut.is_error
    assert cut.content[0] is image


def test_attachments_are_left_out_whole_where_they_are_too_much() -> None:
    image = ImageBlock(source=Base64Source(media_type="image/png", data="A" * 3_000_000))
    small = ImageBlock(source=Base64Source(media_type="image/png", data="A" * 1000))
    shown = capped(ToolOutcome(content=(image, image, small))).content
    assert shown == (image, TextBlock(text="[an attachment of 3000000 bytes was left out]"), small)
