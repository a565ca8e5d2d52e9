"""A report of `ltzoo doctor`, for tests."""

from ltzoo.doctor import Report
from ltzoo.doctor.report import Advice, Check, Machine, Speed

MACHINE = Machine("cpu", "AMD EPYC", 1, 25.3, 17.5, "AVX512", None, 2, {"torch": "2.14.1", "CUDA": "none"})
SPEEDS = (
    Speed("float32", 91.26, 431.2, 1, False),
    Speed("float16", 1.2, None, 1, False, "float16 cannot be used on cpu"),
)
ADVICE = Advice("float32", 1, False, 2, 1, {"precision": "float32: it is the fastest"})
REPORT = Report(MACHINE, 19.04, SPEEDS, (Check("device", "ok", "a sum of 2000"),), ADVICE, 21.4)
