"""until(condition): waits for what must come. A machine that is busy takes its time, so the limit is there to end a test, not to
measure; what has to be fast is measured in bench/."""
import time


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.03)
