"""CompatibilityLayer: conversations in the shapes that the front's first edition gave its pages."""

from __future__ import annotations

import msgspec

from callboard.chats.conversation import Conversation


class CompatibilityLayer:
    """Pure conversions; files of the first edition are migrated by `callboard.chats.archive`."""

    def format_message_list(self, conversation: Conversation) -> list[dict[str, str]]:
        """The messages, each with its role and its text and nothing else."""
        return [{"role": each.role, "text": each.text} for each in conversation.messages]

    def format_conversation_metadata(self, conversation: Conversation) -> dict[str, object]:
        """The conversation as a list shows it: ``data``, ``chat_name`` and ``last_update``; no messages."""
        data = conversation.data
        return {
            "data": {
                "id": data.id,
                "created_at": data.created_at,
                "metadata": {name: msgspec.json.decode(value) for name, value in data.metadata.items()},
                "object": data.object,
            },
            "chat_name": conversation.chat_name,
            "last_update": conversation.last_update,
        }
