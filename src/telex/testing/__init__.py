"""Help for tests: a virtual clock, and `telex.testing.conformance`, the suite that tests an engine.

Both need only telex. Under pytest the assertions of the suite show the compared values.
"""

import sys
from importlib import import_module

if "pytest" in sys.modules:
    import_module("pytest").register_assert_rewrite("telex.testing.conformance")
