import asyncio
import socket
import threading
import time

import anyio
import anyio.to_thread
import pytest
from aiolimiter import AsyncLimiter

from b24oauth.testing import VirtualClock, VirtualClockLoop, run_virtual
from b24oauth.testing.clock import EPOCH, as_clock


def real_seconds(main):
    started = time.monotonic()
    result = run_virtual(main)
    return time.monotonic() - started, result


def test_sleeping_a_year_takes_no_time():
    async def main():
        await asyncio.sleep(365 * 86400)
        return asyncio.get_running_loop().time()

    seconds, virtual = real_seconds(main())
    assert seconds < 5
    assert virtual == pytest.approx(365 * 86400)


def test_throttled_acquisitions_take_virtual_time_and_no_real_time():
    async def main():
        limiter = AsyncLimiter(50, 25)
        await asyncio.gather(*[limiter.acquire() for _ in range(500)])
        return asyncio.get_running_loop().time()

    seconds, virtual = real_seconds(main())
    assert virtual == pytest.approx(225, abs=0.1)
    assert seconds < 20


def test_fractional_costs_do_not_stop_the_clock():
    async def main():
        limiter = AsyncLimiter(50, 25)
        for _ in range(200):
            await limiter.acquire(2 / 1.5)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx((200 * 2 / 1.5 - 50) / 2, abs=0.1)


def test_timers_run_in_the_order_of_their_time():
    async def main():
        order = []

        async def after(seconds):
            await asyncio.sleep(seconds)
            order.append(seconds)

        await asyncio.gather(after(300), after(1), after(20))
        return order, asyncio.get_running_loop().jumps

    order, jumps = run_virtual(main())
    assert order == [1, 20, 300]
    assert jumps == pytest.approx([1, 19, 280])


def test_a_deadline_in_virtual_time_cuts_what_never_comes():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()

    assert real_seconds(main())[0] < 5


def test_advance_makes_timers_due_without_a_jump():
    async def main():
        loop = asyncio.get_running_loop()
        sleeping = asyncio.create_task(asyncio.sleep(10))
        await asyncio.sleep(0)
        loop.advance(10)
        await sleeping
        return loop.jumps

    assert run_virtual(main()) == []


def test_time_does_not_go_backwards():
    async def main():
        with pytest.raises(ValueError, match="backwards"):
            asyncio.get_running_loop().advance(-1)
        with pytest.raises(ValueError, match="backwards"):
            VirtualClock().advance(-1)

    run_virtual(main())


def test_a_deadlock_is_an_error_that_names_the_waiting_task():
    async def forever():
        await asyncio.Event().wait()

    async def main():
        await asyncio.create_task(forever(), name="the stuck one")

    with pytest.raises(RuntimeError, match=r"deadlock.*the stuck one in .*forever"):
        run_virtual(main())


def test_a_deadlock_is_found_although_an_idle_thread_is_alive(monkeypatch):
    monkeypatch.setattr(VirtualClockLoop, "patience", 0.05)

    async def main():
        await anyio.to_thread.run_sync(int)
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_virtual(main())


def test_an_executor_job_is_waited_for_and_not_overtaken_by_a_timeout():
    async def main():
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(5):
            await loop.run_in_executor(None, time.sleep, 0.05)
        return loop.jumps, loop.time()

    jumps, virtual = run_virtual(main())
    assert jumps == []
    assert 0.05 <= virtual < 5


def test_an_anyio_thread_is_waited_for_and_not_overtaken_by_a_timeout():
    async def main():
        with anyio.fail_after(5):
            await anyio.to_thread.run_sync(time.sleep, 0.05)
        return asyncio.get_running_loop().jumps

    assert run_virtual(main()) == []


def test_an_anyio_thread_that_blocks_is_timed_out_in_real_time():
    released = threading.Event()

    async def main():
        started = time.monotonic()
        with anyio.move_on_after(0.1) as scope:
            await anyio.to_thread.run_sync(released.wait, abandon_on_cancel=True)
        released.set()
        return scope.cancelled_caught, time.monotonic() - started

    cancelled, seconds = run_virtual(main())
    assert cancelled
    assert seconds >= 0.09


def test_time_is_skipped_again_when_a_worker_thread_has_become_idle():
    async def main():
        await anyio.to_thread.run_sync(int)
        await asyncio.sleep(3600)

    assert real_seconds(main())[0] < 5


def test_a_thread_unknown_to_the_loop_can_wake_it():
    async def main():
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        thread = threading.Timer(0.05, loop.call_soon_threadsafe, [woken.set])
        thread.start()
        await woken.wait()
        thread.join()

    run_virtual(main())


def test_an_open_socket_makes_the_time_real():
    async def main():
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        reading = asyncio.create_task(asyncio.get_running_loop().sock_recv(ours, 1))
        threading.Timer(0.05, theirs.send, [b"x"]).start()
        async with asyncio.timeout(30):
            received = await reading
        ours.close()
        theirs.close()
        return received, asyncio.get_running_loop().time()

    received, virtual = run_virtual(main())
    assert received == b"x"
    assert 0.04 <= virtual < 30


def test_time_is_skipped_again_when_the_socket_is_closed():
    async def main():
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        server.close()
        await server.wait_closed()
        await asyncio.sleep(3600)

    assert real_seconds(main())[0] < 5


def test_the_wall_clock_follows_the_virtual_loop():
    clock = VirtualClock()
    assert clock.now() == EPOCH

    async def main():
        await asyncio.sleep(90)
        assert clock.now() == pytest.approx(EPOCH + 90)
        clock.advance(10)
        assert asyncio.get_running_loop().time() == pytest.approx(100)

    run_virtual(main())
    assert clock.elapsed == pytest.approx(100)


def test_the_wall_clock_goes_on_in_a_second_loop():
    clock = VirtualClock()

    async def main():
        clock.now()
        await asyncio.sleep(60)

    run_virtual(main())
    run_virtual(main())
    assert clock.elapsed == pytest.approx(120)


def test_the_wall_clock_follows_an_ordinary_loop_and_can_be_advanced_there():
    clock = VirtualClock(base=1000)

    async def main():
        clock.now()
        await asyncio.sleep(0.02)
        clock.advance(50)
        return clock.now()

    assert 1050.01 < asyncio.run(main()) < 1060


def test_a_function_serves_as_clock():
    clock = as_clock(lambda: 500.0)
    clock.advance(7)
    assert (clock.now(), clock.elapsed) == (507, 7)


def test_without_a_source_the_clock_starts_now():
    assert as_clock(None).now() == pytest.approx(time.time(), abs=60)
