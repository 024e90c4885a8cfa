"""One asyncio loop in a thread, shared by all slixmpp clients of a test run."""

from __future__ import annotations

import asyncio
import threading

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def loop() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()

            def serve():
                asyncio.set_event_loop(_loop)
                _loop.run_forever()

            threading.Thread(target=serve, daemon=True, name="slixmpp").start()
    return _loop


def run(coroutine, timeout: float = 60):
    """Run it on the loop and give back its result, from any other thread."""
    future = asyncio.run_coroutine_threadsafe(coroutine, loop())
    try:
        return future.result(timeout)
    except TimeoutError:
        future.cancel()
        raise AssertionError(f"no answer within {timeout} s from {coroutine}") from None
