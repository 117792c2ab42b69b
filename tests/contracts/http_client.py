"""What every ``HttpClient`` keeps to: subclass ``HttpClientContract`` and say how to build a client."""

from tests.contracts.http_answers import AnswersContract
from tests.contracts.http_cancellation import CancellationContract
from tests.contracts.http_connections import ConnectionsContract
from tests.contracts.http_hostility import HostilityContract
from tests.contracts.http_uploads import UploadsContract


class HttpClientContract(
    AnswersContract, ConnectionsContract, CancellationContract, HostilityContract, UploadsContract
):
    """All checks."""
