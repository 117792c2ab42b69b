"""Where conversations are kept: values, changes to them, and stores that keep them."""

from callboard.store.changes import (
    AppendEvents,
    AppendItems,
    BeginResponse,
    Change,
    DeleteConversation,
    DeleteItem,
    DeleteResponse,
    EndResponse,
    FinishReply,
    ForgetReply,
    PutConversation,
    RememberReply,
    UpdateConversation,
)
from callboard.store.hidden_rounds import HiddenRounds
from callboard.store.in_memory import InMemoryStore
from callboard.store.records import (
    LIVE,
    ConversationRecord,
    ItemRecord,
    Order,
    ResponseRecord,
    RetentionPolicy,
    Segment,
    Status,
    StoredReply,
    StoreReport,
    TurnRecord,
)
from callboard.store.store import Store

__all__ = [
    "LIVE",
    "AppendEvents",
    "AppendItems",
    "BeginResponse",
    "Change",
    "ConversationRecord",
    "DeleteConversation",
    "DeleteItem",
    "DeleteResponse",
    "EndResponse",
    "FinishReply",
    "ForgetReply",
    "HiddenRounds",
    "InMemoryStore",
    "ItemRecord",
    "Order",
    "PutConversation",
    "RememberReply",
    "ResponseRecord",
    "RetentionPolicy",
    "Segment",
    "Status",
    "Store",
    "StoreReport",
    "StoredReply",
    "TurnRecord",
    "UpdateConversation",
]
