"""The table of routes."""

from __future__ import annotations

from callboard.serving.chat.completions import chat_completions
from callboard.serving.chats import routes as chats
from callboard.serving.chats.forms import forms
from callboard.serving.health import health, ready, root
from callboard.serving.idempotency import idempotent
from callboard.serving.models import models
from callboard.serving.responses import conversations
from callboard.serving.responses.compact import compact
from callboard.serving.responses.create import responses
from callboard.serving.responses.input_tokens import input_tokens
from callboard.serving.responses.socket_message import MESSAGES
from callboard.serving.responses.stored import cancel, delete, list_input_items, retrieve
from callboard.serving.responses.websocket import create, open_socket
from callboard.serving.routing import Route

CONVERSATION = "/v1/conversations/{conversation_id}"

ROUTES = (
    Route(method="GET", path="/", handle=root, scope=None),
    Route(method="GET", path="/health", handle=health, scope=None),
    Route(method="GET", path="/ready", handle=ready, scope=None),
    Route(method="GET", path="/v1/models", handle=models),
    Route(method="POST", path="/v1/chat/completions", handle=idempotent(chat_completions), works=True),
    Route(method="POST", path="/v1/responses", handle=idempotent(responses), works=True),
    Route(method="POST", path="/responses", handle=idempotent(responses), works=True),
    Route(method="GET", path="/v1/responses", handle=open_socket),
    Route(method="GET", path="/responses", handle=open_socket),
    Route(method=MESSAGES, path="/v1/responses", handle=create, works=True),
    Route(method=MESSAGES, path="/responses", handle=create, works=True),
    Route(method="GET", path="/v1/responses/{response_id}", handle=retrieve),
    Route(method="DELETE", path="/v1/responses/{response_id}", handle=delete),
    Route(method="POST", path="/v1/responses/{response_id}/cancel", handle=cancel),
    Route(method="GET", path="/v1/responses/{response_id}/input_items", handle=list_input_items),
    Route(method="POST", path="/v1/responses/input_tokens", handle=input_tokens),
    Route(method="POST", path="/v1/responses/compact", handle=compact, works=True),
    Route(method="POST", path="/responses/compact", handle=compact, works=True),
    Route(method="POST", path="/v1/conversations", handle=idempotent(conversations.create)),
    Route(method="GET", path=CONVERSATION, handle=conversations.retrieve),
    Route(method="POST", path=CONVERSATION, handle=conversations.update),
    Route(method="DELETE", path=CONVERSATION, handle=conversations.delete),
    Route(method="POST", path=f"{CONVERSATION}/items", handle=conversations.add_items),
    Route(method="GET", path=f"{CONVERSATION}/items", handle=conversations.list_items),
    Route(method="GET", path=f"{CONVERSATION}/items/{{item_id}}", handle=conversations.retrieve_item),
    Route(method="DELETE", path=f"{CONVERSATION}/items/{{item_id}}", handle=conversations.delete_item),
    Route(method="POST", path="/chat", handle=forms(idempotent(chats.converse)), works=True),
    Route(method="GET", path="/chat", handle=chats.retrieve),
    Route(method="GET", path="/get-all-conversations", handle=chats.list_all),
    Route(method="POST", path="/update-conversation-title", handle=forms(idempotent(chats.retitle))),
)
