"""The chat front: conversations of users, turns with any Responses server, and the page's event stream.

conversations    ConversationManager: a user's conversations over the store
client           ResponsesAPIClient: asks a Responses server
processor        StreamEventProcessor: its events in, the page's events out
turns            ChatTurns: one turn, kept
frames, events   the page's wire
failures         what a user is told when something goes wrong
user_file        one user's conversations as a file; archive brings it in and out

docs/chats.md
"""

from callboard.chats.client import ResponsesAPIClient, ResponsesSettings
from callboard.chats.compatibility import CompatibilityLayer
from callboard.chats.conversation import (
    ChatMessage,
    Conversation,
    ConversationData,
    ConversationSummary,
)
from callboard.chats.conversations import ConversationManager
from callboard.chats.frames import FrameParser
from callboard.chats.processor import StreamEventProcessor
from callboard.chats.turns import ChatTurns

__all__ = [
    "ChatMessage",
    "ChatTurns",
    "CompatibilityLayer",
    "Conversation",
    "ConversationData",
    "ConversationManager",
    "ConversationSummary",
    "FrameParser",
    "ResponsesAPIClient",
    "ResponsesSettings",
    "StreamEventProcessor",
]
