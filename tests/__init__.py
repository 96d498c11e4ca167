"""The promises of the package, and the tests that show them."""
