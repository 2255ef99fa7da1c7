"""What helps to test: `telex.testing.conformance`, the suite that holds an engine to its contract.

It needs nothing but telex. Under pytest its assertions show what they compared.
"""

import sys
from importlib import import_module

if "pytest" in sys.modules:
    import_module("pytest").register_assert_rewrite("telex.testing.conformance")
