"""CPU cost of the limiter's operations, in microseconds; run as ``python benchmarks/micro/limiter.py``.

The clock is an argument and moves 1 ms per operation, as on a server that handles 1,000 requests a second.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import process_time

from callboard.domain.model import Price
from callboard.domain.usage import Usage
from callboard.limits import Admitted, Ask, Attempt, Ledger, LimitSpec, MemoryLimits
from callboard.limits.bucket import Bucket

MS = 1_000_000
ROUNDS = 7
COUNT = 50_000
PLENTY = LimitSpec(requests_per_minute=1_000_000, tokens_per_minute=1_000_000_000, parallel=1_000)
ALL_FOUR = LimitSpec(
    requests_per_minute=1_000_000,
    tokens_per_minute=1_000_000_000,
    cost_per_day_picousd=10**18,
    parallel=1_000,
)


def microseconds(run: Callable[[int], None]) -> float:
    """CPU time per operation of ``run(COUNT)``, the median of several rounds."""
    samples = []
    for _ in range(ROUNDS):
        begin = process_time()
        run(COUNT)
        samples.append((process_time() - begin) / COUNT * 1e6)
    return median(samples)


def bucket_take(count: int) -> None:
    bucket = Bucket(1_000_000, 1_000_000, 0)
    for step in range(count):
        bucket.try_take(1, step, step * MS)


def bucket_take_and_settle(count: int) -> None:
    bucket = Bucket(1_000_000, 1_000_000, 0)
    for step in range(count):
        bucket.try_take(1, step, step * MS)
        bucket.settle(step, 0, step * MS + MS // 2)


def bucket_fits(count: int) -> None:
    bucket = Bucket(1_000_000, 1_000_000, 0)
    for step in range(count):
        bucket.fits(1, step * MS)


def offer_and_settle(spec: LimitSpec, *, keys: int = 1) -> Callable[[int], None]:
    """Admissions that never wait: one key scope and one model scope each."""
    asks = [
        Ask(scopes=(("key", f"k{n}"), ("model", "m")), tokens=1_000, cost_picousd=10**9) for n in range(keys)
    ]

    def run(count: int) -> None:
        limits = MemoryLimits(lambda _: spec)
        for step in range(count):
            now = step * MS
            admitted = limits.offer(asks[step % keys], now)
            if not isinstance(admitted, Admitted):
                raise TypeError(admitted)
            limits.settle(admitted.reservation_id, tokens=200, cost_picousd=10**8, now=now + MS // 2)

    return run


def offer_refused(count: int) -> None:
    limits = MemoryLimits(lambda _: LimitSpec(requests_per_minute=0, parallel=1))
    ask = Ask(scopes=(("key", "k"), ("model", "m")), deadline_ns=0)
    for step in range(count):
        limits.offer(ask, step)


def ledger_line(count: int) -> None:
    ledger = Ledger()
    estimate, usage, price = (
        Usage(input_tokens=900, output_tokens=100),
        Usage(input_tokens=5),
        Price(input_picousd=3),
    )
    for step in range(count):
        name = str(step)
        attempt = Attempt(
            attempt_id=name,
            request_id=name,
            response_id=name,
            key="k",
            provider="p",
            model="m",
            estimate=estimate,
            price=price,
            started_ns=step,
        )
        ledger.reserve(attempt)
        ledger.settle(
            name,
            outcome="completed",
            usage=usage,
            prompt_basis="reported",
            output_basis="reported",
            ended_ns=step,
        )


def main() -> None:
    """Print one line per operation."""
    requests_only = LimitSpec(requests_per_minute=1_000_000)
    cases: dict[str, Callable[[int], None]] = {
        "bucket: fits": bucket_fits,
        "bucket: take": bucket_take,
        "bucket: take and settle": bucket_take_and_settle,
        "offer + settle, key and model: requests": offer_and_settle(requests_only),
        "offer + settle, key and model: requests, tokens, parallel": offer_and_settle(PLENTY),
        "offer + settle, key and model: all four limits": offer_and_settle(ALL_FOUR),
        "the same over 10,000 keys": offer_and_settle(ALL_FOUR, keys=10_000),
        "offer refused at once": offer_refused,
        "ledger: reserve + settle": ledger_line,
    }
    for name, run in cases.items():
        print(f"{name:60} {microseconds(run):6.2f} us")


if __name__ == "__main__":
    main()
