# SPDX-License-Identifier: Apache-2.0
"""Serves requests traced by ddtrace on several threads; each spends its time in a
C function of its own. usage: serve.py CPU_SECONDS THREADS REPORT LIBRARY
"""

import ctypes
import json
import os
import random
import sys
import threading
import time

from ddtrace.trace import tracer

REQUESTS = 12
library = ctypes.CDLL(sys.argv[4])
burns = [getattr(library, f"burn{n}") for n in range(REQUESTS)]
nobody = library.burn_for_nobody
for function in [*burns, nobody]:
    function.argtypes = [ctypes.c_uint64, ctypes.c_double]

spans = []


def serve(thread):
    choice = random.Random(thread)
    end = time.thread_time() + float(sys.argv[1])
    while time.thread_time() < end:
        number = choice.randrange(REQUESTS)
        with tracer.trace("request") as span:
            before = time.thread_time()
            burns[number](1, 0.002)
            own = time.thread_time() - before
            with tracer.trace("query") as child:
                before = time.thread_time()
                burns[number](1, 0.001)
                spans.append((number, child, time.thread_time() - before))
        spans.append((number, span, own))
        nobody(1, 0.0002)


with tracer.trace("first"):
    pass
for _ in range(10):
    nobody(1, 0.02)
    time.sleep(0.05)
threads = [threading.Thread(target=serve, args=[n]) for n in range(int(sys.argv[2]))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

with open(sys.argv[3], "w") as out:
    for number, span, seconds in spans:
        line = {
            "function": f"burn{number}",
            "trace_id": f"{span.trace_id:032x}",
            "span_id": f"{span.span_id:016x}",
            "cpu_seconds": seconds,
        }
        print(json.dumps(line), file=out)
# Without waiting for an agent that would take the spans.
os._exit(0)
