"""uninterrupted: Ctrl-C waits, is not lost, and changes nothing where it cannot come."""

import signal
import threading

import pytest

from minidl._core import uninterrupted


def test_ctrl_c_waits_for_the_end_of_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted(), uninterrupted():
        signal.raise_signal(signal.SIGINT)
        done.append(1)
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_users_own_handler_is_called_and_kept():
    calls = []
    before = signal.signal(signal.SIGINT, lambda *args: calls.append(args))
    try:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            assert not calls
        assert len(calls) == 1
        with pytest.raises(ZeroDivisionError), uninterrupted():
            raise ZeroDivisionError
        signal.raise_signal(signal.SIGINT)
        assert len(calls) == 2
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_nothing_changes():
    entered = []

    def work():
        with uninterrupted():
            entered.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [signal.default_int_handler]
