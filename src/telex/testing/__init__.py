"""Help for tests: a pytest plugin, a recorder, a virtual clock, and `telex.testing.conformance`, which tests an engine.

All but the plugin need only telex. Under pytest the assertions of the suite show the compared values.
"""

import sys
from importlib import import_module

if "pytest" in sys.modules:
    import_module("pytest").register_assert_rewrite("telex.testing.conformance")
