"""What every store keeps to: subclass ``StoreContract`` and say how to open one."""

from tests.contracts.store_conversations import ConversationsContract
from tests.contracts.store_keys import KeysContract
from tests.contracts.store_responses import ResponsesContract
from tests.contracts.store_upkeep import UpkeepContract


class StoreContract(ResponsesContract, ConversationsContract, UpkeepContract, KeysContract):
    """All checks; `tests.contracts.store_machine` has the random ones."""
